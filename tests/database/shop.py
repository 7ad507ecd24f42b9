"""A shop's database on a real server, and checkouts of releases with the migrations that a test gives them."""

from __future__ import annotations

import hashlib
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploykit.context import Context
from deploykit.errors import DeploykitError
from deploykit.execution import could_not_look
from deploykit.model import Result
from deploykit.ports.database import Migrations
from deploykit.providers.postgres import PostgresDatabase
from deploykit.providers.postgres.applying import Limits
from deploykit.providers.postgres.programs import Programs
from deploykit.sandbox import shop as sandbox_shop
from deploykit.sandbox.postgres import find_binaries

COMMIT = "c" * 40
LIMITS = Limits(lock=0.2, statement=10.0, retries=2, retry_after=0.05)
ORDERS = 7


@dataclass(frozen=True)
class Migration:
    """A migration to write: statements up and down; `outside` of them run outside of a transaction."""

    id: str
    up: Sequence[str]
    down: Sequence[str] | None = ()
    before: str = "0001"
    flag: str = ""
    outside: Sequence[str] = ()
    title: str = "A migration"

    @property
    def source(self) -> str:
        lines = [repr(self.title), "from alembic import op", f"revision = {self.id!r}"]
        lines += [f"down_revision = {self.before or None!r}"]
        lines += [f"feature_flag = {self.flag!r}"] if self.flag else []
        lines += ["def upgrade():", *(f"    op.execute({statement!r})" for statement in self.up)]
        if self.outside:
            lines += ["    with op.get_context().autocommit_block():"]
            lines += [f"        op.execute({statement!r})" for statement in self.outside]
        lines += ["    pass", "def downgrade():"]
        lines += ["    raise NotImplementedError('nobody wrote it')"] if self.down is None else []
        lines += [f"    op.execute({statement!r})" for statement in self.down or ()]
        return "\n".join([*lines, "    pass", ""])


NOTES = Migration("0002", ["ALTER TABLE orders ADD COLUMN note text"], ["ALTER TABLE orders DROP COLUMN note"])
INDEX = Migration(
    "0002", [], ["DROP INDEX by_channel"], outside=["CREATE INDEX CONCURRENTLY by_channel ON orders (channel)"]
)
DROPS = Migration(
    "0002",
    ["ALTER TABLE products DROP COLUMN legacy_code"],
    ["ALTER TABLE products ADD COLUMN legacy_code text"],
)


@dataclass
class Shop:
    """Production's database of one test, and the folders around it."""

    dsn: str
    server: str
    home: Path
    programs: Path = field(default_factory=find_binaries)

    @property
    def backups(self) -> Path:
        return self.home / "backups"

    def adapter(self, **changes: Any) -> PostgresDatabase:
        made = PostgresDatabase(
            conninfo=self.dsn,
            limits=LIMITS,
            programs=Programs(self.programs, 60.0),
            server=self.server,
            folder=self.backups,
            alembic=str(self.home / "checkouts" / "$release" / "alembic.ini"),
        )
        return replace(made, **changes)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def order(self) -> None:
        self.ask("INSERT INTO orders (product_id, quantity) VALUES (1, 1)")

    @property
    def checkout(self) -> Path:
        return self.home / "checkouts" / "v2"

    def check_out(self, *migrations: Migration, commit: str = COMMIT) -> Path:
        """The release v2 is checked out, with these migrations after the shop's first."""
        shutil.rmtree(self.checkout, ignore_errors=True)
        versions = self.checkout / "migrations" / "versions"
        versions.mkdir(parents=True)
        shutil.copy(sandbox_shop.SOURCE / "alembic.ini", self.checkout)
        shutil.copy(sandbox_shop.SOURCE / "migrations" / "env.py", versions.parent)
        shutil.copy(sandbox_shop.SOURCE / "migrations" / "versions" / "0001.py", versions)
        for migration in migrations:
            (versions / f"{hashlib.sha256(migration.id.encode()).hexdigest()[:9]}.py").write_text(migration.source)
        (self.checkout / "REVISION").write_text(commit + "\n")
        return self.checkout

    def dump(self, name: str = "nightly", *options: str) -> Path:
        """A backup as a team's own job makes it."""
        path = self.backups / f"{name}.dump"
        command = [str(self.programs / "pg_dump"), "-Fc", *options, f"--file={path}", f"--dbname={self.dsn}"]
        subprocess.run(command, check=True)
        return path

    @contextmanager
    def holding(self, table: str = "orders") -> Iterator[None]:
        """Somebody else has locked a table."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
            yield
            connection.rollback()


def looked(check: Callable[..., Result], context: Context, *more: Any) -> Result:
    """What a check says; where it could not look, what the run writes down instead."""
    try:
        return check(context, *more)
    except DeploykitError as error:
        return could_not_look("item", error)


def remembering(read: Callable[..., Migrations]) -> Callable[..., Migrations]:
    """What a checkout brings is asked of Alembic once for the same files; its start takes half a second."""
    known: dict[tuple[object, ...], Migrations] = {}

    def reading(ini: Path, commit: str, since: str, python: Path | None, programs: Programs) -> Migrations:
        files = tuple((path.name, path.read_bytes()) for path in sorted(ini.parent.rglob("*")) if path.is_file())
        key = (files, ini.is_file(), commit, since, python)
        if key not in known:
            known[key] = read(ini, commit, since, python, programs)
        return known[key]

    return reading


class Wire:
    """A socket before the server's own, which breaks the connection at a word of the client's.

    `after` lets the server do what the word asks for, and loses its reply; `before` loses the word.
    """

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder, self.after, self.before, self.broken = folder, b"", b"", 0
        self._server = f"{conninfo_to_dict(dsn)['host']}/.s.PGSQL.5432"
        self.dsn = make_conninfo(dsn, host=str(folder))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, until either side ends it, or it breaks."""
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._server)
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data or not self._pass_on(data, client, server, asked=ready is client):
                        return

    def _pass_on(self, data: bytes, client: socket.socket, server: socket.socket, *, asked: bool) -> bool:
        """Whether the connection goes on."""
        if asked and self.before and self.before in data:
            self.before, self.broken = b"", self.broken + 1
            return False
        (server if asked else client).sendall(data)
        if asked and self.after and self.after in data:
            self.after, self.broken = b"", self.broken + 1
            server.recv(65536)  # it was done, and nobody is told
            return False
        return True
