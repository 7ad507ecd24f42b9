"""The store's tables, and how an older store gets the columns that it lacks."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("release", sa.String, nullable=False),
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("line", sa.LargeBinary, nullable=False),
)
#: One row an environment. `run` is empty when nobody holds it; the fence only ever grows.
locks = sa.Table(
    "locks",
    metadata,
    sa.Column("service", sa.String, primary_key=True),
    sa.Column("environment", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("since", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False, server_default=""),
    sa.Column("host", sa.String, nullable=False, server_default=""),
    sa.Column("beat_at", sa.String, nullable=False, server_default=""),
    sa.Column("beat_boot", sa.String, nullable=False, server_default=""),
    sa.Column("beat_boot_ns", sa.BigInteger, nullable=False, server_default="0"),
)
#: Only ever added to; of an environment the newest row counts, and one without `until` lifts those before.
freezes = sa.Table(
    "freezes",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("by", sa.String, nullable=False),
    sa.Column("until", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
)


def complete(connection: sa.Connection) -> bool:
    """Whether the store has every table and column already, so that opening it need not write."""
    found = sa.inspect(connection)
    known = set(found.get_table_names())
    return set(metadata.tables) <= known and not _missing(found)


def prepare(connection: sa.Connection) -> None:
    """Make what is not there yet."""
    metadata.create_all(connection)
    for column in _missing(sa.inspect(connection)):
        definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {locks.name} ADD COLUMN {definition}")


def _missing(found: sa.Inspector) -> list[sa.Column[object]]:
    """Columns of the lock that a store of 0.1.0 does not have; all of them have defaults."""
    there = {column["name"] for column in found.get_columns(locks.name)}
    return [column for column in locks.columns if column.name not in there]
