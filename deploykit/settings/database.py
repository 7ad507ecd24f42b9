"""`[environments.NAME.database]`: the database, its migrations, its backups, and where they are tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Seconds, Secret


class DatabaseSettings(Record):
    """One environment's database. Paths are relative to the settings.

    Attributes:
        url: Names the secret that holds the address, as libpq takes it. Its role owns the database and may read all.
        scratch: Names the secret that holds the address of a server on which deploykit may create and drop databases
            of its own; better not the server that `url` names.
        alembic: The release's `alembic.ini`, in a checkout of the release; `$release` and `$commit` stand for them.
            The checkout is of the plan's commit when git says so, or a file `REVISION` beside `alembic.ini`.
        python: The interpreter that has Alembic and what the team's `env.py` imports; else deploykit's own.
        backups: The folder of backups, `*.dump` in `pg_dump`'s custom format.
        max_age: How old the newest backup may be.
        min_size: How small it may be, in bytes.
        programs: The folder of `pg_dump`, `pg_restore` and `squawk`; else they are beside Python or in `PATH`.
        lock_timeout: How long a migration waits for a lock before it lets everybody else go on.
        statement_timeout: How long one statement of a migration may take.
        retries: How often a migration that did not get its lock is tried again.
        retry_after: How long it waits before that.
        deadline: How long a dump, a restore, or the counting of all rows may take.
        slow_query: From which mean time on a statement that grew slower is a fault.
        slower: How many times slower than before that is.
    """

    kind: Literal["postgres"] = "postgres"
    url: Secret
    scratch: Secret
    alembic: Annotated[str, Field(min_length=1)]
    python: Path | None = None
    backups: Path = Path("backups")
    max_age: Seconds = 86400.0
    min_size: Annotated[int, Field(ge=0)] = 1024
    programs: Path | None = None
    lock_timeout: Seconds = 2.0
    statement_timeout: Seconds = 60.0
    retries: Annotated[int, Field(ge=0)] = 3
    retry_after: Seconds = 1.0
    deadline: Seconds = 1800.0
    slow_query: Seconds = 0.1
    slower: Annotated[float, Field(gt=1)] = 2.0
