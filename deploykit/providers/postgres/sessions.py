"""Sessions with a server: opening one, who it is, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploykit import redact
from deploykit.errors import ProviderError, Rejected, Unreachable

CONNECT_SECONDS = 5
Session = psycopg.Connection[tuple[object, ...]]


def check(conninfo: str, where: str) -> str:
    """The address as libpq takes it, its password masked from now on in all that is written.

    Raises:
        ValueError: It is none; what it says is not repeated.
    """
    try:
        parts = conninfo_to_dict(conninfo)
    except psycopg.Error:
        raise ValueError(where) from None
    for name in ("password", "sslpassword"):
        if parts.get(name):
            redact.learn(str(parts[name]))
    return make_conninfo("", **parts)


@contextmanager
def session(conninfo: str, seconds: float) -> Iterator[Session]:
    """A session without a transaction of its own, in which no statement takes longer than so many seconds.

    Raises:
        Unreachable: No connection, or it broke.
        Rejected: The server said no.
    """
    with worded():
        address = make_conninfo(conninfo, connect_timeout=CONNECT_SECONDS, application_name="deploykit")
        connection = psycopg.connect(address, autocommit=True)
        try:
            connection.execute(sql.SQL("SET statement_timeout = {}").format(round(seconds * 1000)))
            yield connection
        finally:
            connection.close()


@contextmanager
def worded() -> Iterator[None]:
    """Turn the client's errors into ours. What was asked in between must be harmless to ask again."""
    try:
        yield
    except psycopg.Error as error:
        raise told(error) from error


def told(error: psycopg.Error) -> ProviderError:
    """Our error for the client's: the server's words where it spoke, without secrets."""
    said = redact.visible(redact.text(error.diag.message_primary or " ".join(redact.text(str(error)).split())))
    if error.diag.message_detail:
        said += f" ({redact.visible(redact.text(error.diag.message_detail))})"
    state = error.sqlstate or ""
    if isinstance(error, psycopg.OperationalError) and (not state or state[:2] in {"08", "57"}) and state != "57014":
        mend = "see whether the server is up, and look at environments.NAME.database.url"
        return Unreachable(said, where="PostgreSQL", mend=mend)
    mends = {
        "55P03": "somebody else holds the lock: look at pg_stat_activity for old transactions",
        "57014": "it took too long: raise the time-out it names, or make it do less",
        "42501": "give the role of environments.NAME.database.url that right",
    }
    return Rejected(
        f"{said} [{state}]" if state else said, where="PostgreSQL", mend=mends.get(state, "mend what it says")
    )


def identity(connection: Session) -> tuple[object, ...]:
    """Which database this is, however it was reached: the cluster's number, the database's, and its name."""
    query = (
        "SELECT system_identifier, oid::bigint, datname::text FROM pg_control_system(), pg_database"
        " WHERE datname = current_database()"
    )
    found = connection.execute(query).fetchone()
    if found is None:
        raise Rejected("it does not say which database it is", where="PostgreSQL", mend="look at pg_control_system()")
    return found
