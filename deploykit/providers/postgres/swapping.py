"""Restores: into a scratch database that cannot be production, and beside production, to take its place."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploykit.errors import ProviderError, Rejected
from deploykit.ports.database import Contents
from deploykit.providers.postgres.programs import Programs
from deploykit.providers.postgres.reading import contents
from deploykit.providers.postgres.sessions import Session, identity, session

#: Databases that deploykit makes on the scratch server, and drops, are called so.
SCRATCH = "deploykit_scratch_"
#: Seconds that sessions have to end once they are told to.
LEAVE = 10.0
#: What can be granted on a database, as SQL.
_RIGHTS = {name: sql.SQL(name) for name in ("CONNECT", "CREATE", "TEMPORARY")}
_MEND = "see whether the backup is whole, and made by the same version"


@contextmanager
def scratch(server: str, production: str, file: Path, programs: Programs) -> Iterator[str]:
    """A new database with a backup in it, dropped at the end.

    Yields:
        Its address.

    Raises:
        Rejected: It would be production, or the backup cannot be restored.
    """
    name, limit = SCRATCH + secrets.token_hex(6), programs.deadline
    made = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    with session(server, limit) as connection:
        connection.execute(made)
    try:
        address = make_conninfo(server, dbname=name)
        require_other(address, production, limit)
        fill(address, file, programs, "--no-owner", "--no-privileges")
        yield address
    finally:
        with session(server, limit) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def require_other(address: str, production: str, limit: float) -> None:
    """Refuse to write into production, by whatever address it was reached.

    Raises:
        Rejected: It is production.
    """
    with session(address, limit) as there, session(production, limit) as here:
        same = identity(there) == identity(here)
    if same:
        raise Rejected("that is production itself", where="environments.NAME.database.scratch", mend="name another")


def fill(address: str, file: Path, programs: Programs, *options: str) -> None:
    """Restore a backup into an empty database, as a whole or not at all."""
    program = programs.find("pg_restore")
    programs.must([program, "--list", str(file)], mend=_MEND)
    command = [program, "--exit-on-error", "--single-transaction", *options, str(file)]
    programs.must(command, conninfo=address, mend=_MEND)


def replace(production: str, file: Path, expected: Contents | None, aside: str, programs: Programs) -> None:
    """Restore beside production, compare, and swap the names in one transaction. The old database is kept.

    Raises:
        Rejected: Production is as before.
        Unreachable: Whether it was swapped is not known.
    """
    name, limit = str(conninfo_to_dict(production)["dbname"]), programs.deadline
    fresh = f"{aside}_new"
    with session(make_conninfo(production, dbname="postgres"), limit) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(fresh)))
        _create_like(server, name, fresh)
        try:
            address = make_conninfo(production, dbname=fresh)
            fill(address, file, programs)
            if expected is not None and contents(address, programs) != expected:
                raise Rejected("what was restored is not what the backup held", where=fresh, mend="take another backup")
            _swap(server, name, fresh, aside)
        except ProviderError:
            with suppress(psycopg.Error):  # the reason matters more than what is left lying there
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(fresh)))
            raise


def exists(production: str, name: str, limit: float) -> bool:
    """Whether the server has a database of that name."""
    with session(production, limit) as connection:
        return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _create_like(server: Session, name: str, fresh: str) -> None:
    """An empty database with the owner, encoding, locale, settings and rights of another."""
    query = (
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datacl IS NOT NULL"
        " FROM pg_database WHERE datname = %s"
    )
    found = server.execute(query, (name,)).fetchone()
    if found is None:
        raise Rejected(
            f"there is no database {name}", where="PostgreSQL", mend="look at environments.NAME.database.url"
        )
    owner, *locale, guarded = found
    made = "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}"
    names = (sql.Identifier(fresh), sql.Identifier(str(owner)), *map(sql.Literal, locale))
    server.execute(sql.SQL(made).format(*names))
    if guarded:
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(names[0]))
    rights = (
        "SELECT a.privilege_type, r.rolname FROM pg_database d, aclexplode(d.datacl) a"
        " LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = %s"
    )
    for right, role in server.execute(rights, (name,)).fetchall():
        grantee = sql.SQL("PUBLIC") if role is None else sql.Identifier(str(role))
        grant = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(_RIGHTS[str(right)], names[0], grantee)
        server.execute(grant)
    settings = (
        "SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE d.datname = %s AND s.setrole = 0"
    )
    for (setting,) in server.execute(settings, (name,)).fetchall():
        key, _, value = str(setting).partition("=")
        command = sql.SQL("ALTER DATABASE {} SET {} TO {}").format(names[0], sql.Identifier(key), sql.Literal(value))
        server.execute(command)


def _swap(server: Session, name: str, fresh: str, aside: str) -> None:
    """Close production to new sessions, end those that there are, and swap the names."""
    old, new, kept = map(sql.Identifier, (name, fresh, aside))
    server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(old))
    standing = name
    try:
        _empty(server, name)
        with server.transaction():
            server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(old, kept))
            server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(new, old))
        standing = aside
    finally:
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(standing)))


def _empty(server: Session, name: str) -> None:
    ends = time.monotonic() + LEAVE
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    while server.execute(query, (name,)).fetchall():
        if time.monotonic() > ends:
            raise Rejected(f"sessions in {name} do not end", where="PostgreSQL", mend="end them, then try again")
        time.sleep(0.05)
