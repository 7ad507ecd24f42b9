"""Applies a revision's statements: as one transaction where it is one, with time-outs, and never twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from deploykit.errors import ProviderError, Rejected, Unreachable
from deploykit.ports.database import BEGIN, COMMIT, Applied, one_transaction
from deploykit.providers.postgres.reading import revision
from deploykit.providers.postgres.sessions import Session, told

#: The server's lock that a migration of deploykit holds in its database: the name in base 36, modulo 2^63.
KEY = int("deploykit", 36) % 2**63
#: Milliseconds in which a server ends a session whose client is gone, unless a statement still runs in it.
ENDING = 3000
_LOCKS = """
SELECT DISTINCT l.relation::regclass::text || ' ' || l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relkind IN ('r', 'p') AND c.oid >= 16384 AND l.mode <> 'AccessShareLock' ORDER BY 1
"""
_PASSING = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


@dataclass(frozen=True)
class Limits:
    """How far a migration may go.

    Attributes:
        lock: Seconds that it waits for a lock; `statement` those that one statement may take.
        retries: How often one that did not get its lock is tried again, after `retry_after` seconds.
        scratch: The database is thrown away afterwards, so that a part of a migration is no harm there.
    """

    lock: float
    statement: float
    retries: int
    retry_after: float
    scratch: bool = False


@dataclass(frozen=True)
class Way:
    """From one revision to the next, up or down."""

    revision: str
    start: str
    end: str
    statements: tuple[str, ...]


def apply(connection: Session, way: Way, limits: Limits) -> Applied:
    """Go one way, and be sure of where it began and where it ended.

    Raises:
        Rejected: Nothing of it happened.
        Unreachable: How much of it happened is not known.
    """
    _take(connection, way)
    _limit(connection, limits)
    began, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            locks = _once(connection, way) if one_transaction(way.statements) else _piecewise(connection, way, limits)
        except _PASSING as error:
            if tries > limits.retries:
                said = told(error)
                what = f"{said.what}; tried {tries} times"
                raise Rejected(what, where=way.revision, mend=_holders(connection) or said.mend) from error
            time.sleep(limits.retry_after)
            continue
        return Applied(way.revision, time.monotonic() - began, locks, tries)


def is_held(connection: Session) -> bool:
    """Whether a migration is still under way after the time in which a server ends a session that broke."""
    connection.execute(sql.SQL("SET lock_timeout = {}").format(ENDING))
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (KEY,))
    except psycopg.errors.LockNotAvailable:
        return True
    return False


def try_out(connection: Session, ways: Sequence[Way], limits: Limits) -> tuple[Applied, ...]:
    """Go several ways in one transaction, note what each took, and roll all of it back."""
    _take(connection, ways[0])
    _limit(connection, limits)
    connection.execute(BEGIN)
    try:
        return tuple(_tried(connection, way) for way in ways)
    finally:
        if not connection.closed:
            connection.execute("ROLLBACK")


def _tried(connection: Session, way: Way) -> Applied:
    began = time.monotonic()
    try:
        _run(connection, way)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else they would be looked at only by a commit
        _require_end(connection, way)
    except psycopg.Error as error:
        said = told(error)
        raise type(said)(f"{way.revision}: {said.what}", where=said.where, mend=said.mend) from error
    return Applied(way.revision, time.monotonic() - began, _locks(connection))


def _take(connection: Session, way: Way) -> None:
    if is_held(connection):
        mend = "wait for it, or end it"
        raise Rejected("another migration of deploykit is under way there", where=way.revision, mend=mend)
    found = revision(connection)
    if found != way.start:
        what = f"the database is at {found or 'no revision'}, and {way.revision} starts from {way.start or 'none'}"
        raise Rejected(what, where=way.revision, mend="look who else migrates it, then make a new plan")


def _limit(connection: Session, limits: Limits) -> None:
    for name, seconds in (("lock_timeout", limits.lock), ("statement_timeout", limits.statement)):
        connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), max(round(seconds * 1000), 1)))


def _once(connection: Session, way: Way) -> tuple[str, ...]:
    """All of it in one transaction: it happens, or it does not."""
    try:
        connection.execute(BEGIN)
        _run(connection, way)
        locks = _locks(connection)
        _require_end(connection, way)
        connection.execute(COMMIT)
    except _PASSING:
        connection.execute("ROLLBACK")
        raise
    except psycopg.Error as error:
        raise _ended(connection, error, way) from error
    except ProviderError:
        connection.execute("ROLLBACK")
        raise
    return locks


def _run(connection: Session, way: Way) -> None:
    """The statements of one transaction, in such a way that none of them can end it: the server would refuse that."""
    for statement in way.statements[1:-1]:
        body = sql.SQL("BEGIN EXECUTE {}; END").format(sql.Literal(statement)).as_string(connection)
        connection.execute(sql.SQL("DO {}").format(sql.Literal(body)))


def _require_end(connection: Session, way: Way) -> None:
    found = revision(connection)
    if found != way.end:
        raise Rejected(
            f"after {way.revision} the database says {found or 'no revision'}, not {way.end or 'none'}",
            where=way.revision,
            mend="the migration writes Alembic's table itself; mend it",
        )


def _piecewise(connection: Session, way: Way, limits: Limits) -> tuple[str, ...]:
    """What cannot be one transaction. Where it breaks off, a part may stay."""
    committed = False
    for statement in way.statements:
        inside = connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        try:
            connection.execute(statement.encode())
        except psycopg.Error as error:
            if limits.scratch or (inside and not committed):
                if isinstance(error, _PASSING):
                    connection.execute("ROLLBACK")
                    raise
                raise _ended(connection, error, way) from error
            what = f"{told(error).what}; it is no transaction, so a part of it may have happened"
            mend = "look at the database, an index may be there and INVALID; put it right by hand"
            raise Unreachable(what, where=way.revision, mend=mend) from error
        committed = committed or statement == COMMIT or (not inside and statement != BEGIN)
    _require_end(connection, way)
    return ()


def _ended(connection: Session, error: psycopg.Error, way: Way) -> ProviderError:
    """What an error in a transaction means: rolled back, or, where the connection broke, unknown."""
    said = told(error)
    broken = connection.closed or connection.broken
    if not broken:
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:  # then the connection broke just now
            broken = True
    if broken:
        what = f"{said.what}. Whether the change happened is not known"
        return Unreachable(what, where=way.revision, mend="look at the revision table")
    return Rejected(f"{way.revision}: {said.what}", where=said.where, mend=said.mend)


def _locks(connection: Session) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(_LOCKS).fetchall())


def _holders(connection: Session) -> str:
    """Who has had a transaction open for longest, since one of them holds the lock."""
    query = (
        "SELECT pid, coalesce(application_name, ''), extract(epoch FROM now() - xact_start)::int FROM pg_stat_activity"
        " WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database()"
        " ORDER BY xact_start LIMIT 3"
    )
    rows = connection.execute(query).fetchall()
    found = ", ".join(f"pid {pid} ({name or 'no name'}, {seconds} s)" for pid, name, seconds in rows)
    return f"look at who has a transaction open: {found}" if found else ""
