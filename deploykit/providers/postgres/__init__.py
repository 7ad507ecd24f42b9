"""PostgreSQL: migrations written by Alembic, reviewed by squawk, run by psycopg; backups by `pg_dump`.

What was reviewed is what is tried and run: Alembic writes a release's migrations down as SQL, and those statements go
to the server, no others. A migration that cannot be written so (it reads data as it runs) is refused with the reason.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploykit.errors import Rejected, Unreachable, UsageError
from deploykit.ports.database import (
    Applied,
    Backup,
    Contents,
    Copy,
    Linted,
    Migrations,
    Revision,
    Statistics,
)
from deploykit.providers.postgres import applying, backups, linting, reading, releases, sessions, swapping
from deploykit.providers.postgres.applying import Limits, Way
from deploykit.providers.postgres.programs import Programs, last_words
from deploykit.settings import FILE, DatabaseSettings, EnvironmentSettings, Settings

#: Seconds for a question that is small.
QUESTION = 10.0


@dataclass(frozen=True)
class PostgresCopy:
    """One database: a `ports.database.Copy`."""

    conninfo: str
    limits: Limits
    programs: Programs

    def contents(self) -> Contents:
        """Schema, and rows counted in one snapshot."""
        return reading.contents(self.conninfo, self.programs)

    def upgrade(self, revision: Revision) -> Applied:
        """Apply one revision."""
        return self._apply(Way(revision.id, revision.before, revision.id, revision.up))

    def downgrade(self, revision: Revision) -> Applied:
        """Take one revision back."""
        if revision.no_way_back:
            what = f"{revision.id} has no way back: {revision.no_way_back}"
            raise Rejected(what, where=revision.id, mend="write its downgrade()")
        return self._apply(Way(revision.id, revision.id, revision.before, revision.down))

    def _apply(self, way: Way) -> Applied:
        with sessions.session(self.conninfo, QUESTION) as connection:
            return applying.apply(connection, way, self.limits)


@dataclass(frozen=True)
class PostgresDatabase(PostgresCopy):
    """Production: a `ports.database.Database`.

    Attributes:
        server: Address of the server for scratch databases.
        folder: The folder of backups.
        alembic: Path of the release's `alembic.ini`, with its placeholders.
        python: The interpreter for the team's `env.py`.
    """

    server: str
    folder: Path
    alembic: str
    python: Path | None = None

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether the server for scratch databases, the programs and the folder of backups will do."""
        return {"scratch": self._scratch_server, "programs": self._programs_there, "backups": self._backups_kept}

    def _scratch_server(self) -> str:
        place = "environments.NAME.database.scratch"
        try:
            with sessions.session(self.server, QUESTION) as connection:
                may = connection.execute(
                    "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
        except Unreachable as error:
            mend = f"see whether the server is up, and look at {place}"
            raise Unreachable(error.what, where=place, mend=mend) from error
        if may is None or may[0] is not True:
            mend = f"ALTER ROLE ... CREATEDB for the role of {place}"
            raise Rejected("its role may not create databases", where=place, mend=mend)
        return "databases can be created there"

    def _programs_there(self) -> str:
        found = [self.programs.find(name) for name in ("pg_dump", "pg_restore", "squawk")]
        said = self.programs.must([found[0], "--version"], mend="look at environments.NAME.database.programs")
        return f"{last_words(said)}, pg_restore and squawk are there"

    def _backups_kept(self) -> str:
        folder = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            mend = "make the folder that environments.NAME.database.backups names writable"
            raise Rejected(f"{folder} cannot be written", where="environments.NAME.database.backups", mend=mend)
        return f"backups go to {self.folder}"

    def revision(self) -> str:
        """The revision in force."""
        with sessions.session(self.conninfo, QUESTION) as connection:
            return reading.revision(connection)

    def migrating(self) -> bool:
        """Whether a session holds the lock of deploykit's migrations there, and for longer than one takes to end."""
        with sessions.session(self.conninfo, QUESTION) as connection:
            return applying.is_held(connection)

    def release(self, release: str, commit: str, *, since: str | None = None) -> Migrations:
        """What the release brings."""
        ini = Path(self.alembic.replace("$release", release).replace("$commit", commit))
        start = self.revision() if since is None else since
        return releases.read(ini, commit, start, self.python, self.programs)

    def lint(self, revisions: tuple[Revision, ...]) -> Linted:
        """What squawk finds."""
        with sessions.session(self.conninfo, QUESTION) as connection:
            version = connection.info.server_version
        return linting.lint(self.programs, revisions, f"{version // 10000}.{version % 10000}")

    def try_out(self, revisions: tuple[Revision, ...]) -> tuple[Applied, ...]:
        """Apply them in one transaction that is rolled back."""
        if not revisions or not all(revision.transactional for revision in revisions):
            raise Rejected("not all of it is one transaction", where="dry run", mend="try it on a scratch copy")
        ways = [Way(revision.id, revision.before, revision.id, revision.up) for revision in revisions]
        with sessions.session(self.conninfo, QUESTION) as connection:
            return applying.try_out(connection, ways, self.limits)

    def backups(self) -> tuple[Backup, ...]:
        """All backups, the newest first."""
        return backups.listed(self.folder)

    def back_up(self, name: str) -> Backup:
        """Make a backup now."""
        return backups.make(self.conninfo, self.folder, name, self.programs)

    @contextmanager
    def scratch(self, backup: Backup) -> Iterator[Copy]:
        """A scratch database with the backup in it."""
        file = backups.file_of(self.folder, backup)
        with swapping.scratch(self.server, self.conninfo, file, self.programs) as address:
            yield PostgresCopy(address, dataclasses.replace(self.limits, scratch=True), self.programs)

    def restore(self, backup: Backup, aside: str) -> None:
        """Restore beside production, compare, then swap."""
        file = backups.file_of(self.folder, backup)
        swapping.replace(self.conninfo, file, backup.contents, aside, self.programs)

    def restored(self, aside: str) -> bool:
        """Whether production's old self is there under that name."""
        return swapping.exists(self.conninfo, aside, QUESTION)

    def statistics(self) -> Statistics:
        """What the statements took so far."""
        with sessions.session(self.conninfo, QUESTION) as connection:
            return reading.statistics(connection)


def connect(settings: Settings, environment: EnvironmentSettings) -> PostgresDatabase:
    """The database of an environment. Nothing is asked yet.

    Raises:
        UsageError: None is set up, or a secret is not there or no address.
    """
    database = environment.database
    if database is None:
        raise UsageError("no database is set up", where=FILE, mend="write [environments.NAME.database]")
    found = _limits(database)
    return PostgresDatabase(
        conninfo=_address(settings, database, "url"),
        limits=found,
        programs=Programs(settings.path(database.programs) if database.programs else None, database.deadline),
        server=_address(settings, database, "scratch"),
        folder=settings.path(database.backups),
        alembic=str(settings.path(Path(database.alembic))),
        python=database.python,
    )


def _limits(database: DatabaseSettings) -> Limits:
    return Limits(database.lock_timeout, database.statement_timeout, database.retries, database.retry_after)


def _address(settings: Settings, database: DatabaseSettings, key: str) -> str:
    reference = getattr(database, key)
    try:
        return sessions.check(settings.resolve(reference), reference)
    except ValueError as error:
        where = f"environments.NAME.database.{key}"
        mend = "write it like postgresql://USER:PASSWORD@HOST/DATABASE"
        raise UsageError(f"what {reference} names is not an address of PostgreSQL", where=where, mend=mend) from error
