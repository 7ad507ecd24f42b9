"""The store behind every journal: SQLite at full durability, through SQLAlchemy Core."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from deploykit import redact
from deploykit.errors import LockedError, StoreError, UsageError
from deploykit.journal import clock
from deploykit.journal.events import GENESIS, Draft, Event
from deploykit.model import Record

FILE = "store.sqlite3"

_tables = sa.MetaData()
_runs = sa.Table(
    "runs",
    _tables,
    sa.Column("run", sa.String, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("service", sa.String, nullable=False),
    sa.Column("environment", sa.String, nullable=False),
    sa.Column("release", sa.String, nullable=False),
)
_events = sa.Table(
    "events",
    _tables,
    sa.Column("run", sa.ForeignKey("runs.run"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("line", sa.LargeBinary, nullable=False),
)
_locks = sa.Table(
    "locks",
    _tables,
    sa.Column("service", sa.String, primary_key=True),
    sa.Column("environment", sa.String, primary_key=True),
    sa.Column("run", sa.String, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("since", sa.String, nullable=False),
)


class RunRow(Record):
    """A run as the index lists it."""

    run: str
    number: int
    service: str
    environment: str
    release: str


class Lock(Record):
    """Who holds an environment. `run` is empty when nobody does; the fence only ever grows."""

    run: str
    fence: int
    owner: str
    since: str


@cache
def _host() -> str:
    return socket.gethostname()


class Store:
    """All journals, the index of runs, and the locks.

    Args:
        folder: Where the store's file is, made when it is not there.

    Raises:
        StoreError: The folder or the file cannot be made, read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"cannot make the folder: {error.strerror}", where=str(folder)) from error
        self._engine = sa.create_engine(f"sqlite:///{folder / FILE}", connect_args={"timeout": 10})
        sa.event.listen(self._engine, "connect", _durable)
        sa.event.listen(self._engine, "begin", _write_lock)
        with self._transaction() as connection:
            _tables.create_all(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise StoreError(
                f"{error.orig}",
                where=str(self.folder / FILE),
                mend="free space, or mend permissions, then `deploykit resume`; nothing was done without its record",
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def open_run(self, row: RunRow, first: Callable[[int], Draft]) -> Event:
        """Enter a run into the index with the next number and its first event, in one transaction.

        Args:
            row: The run; its number is given here.
            first: Makes the first event from the number.
        """
        with self._transaction() as connection:
            newest = connection.scalar(sa.select(sa.func.max(_runs.c.number)))
            number = (newest or 0) + 1
            connection.execute(_runs.insert().values(**row.model_dump(exclude={"number"}), number=number))
            return _add(connection, first(number), None)

    def runs(self) -> tuple[RunRow, ...]:
        """All runs, newest first."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_runs).order_by(_runs.c.number.desc())).mappings()
            return tuple(RunRow.model_validate(dict(row)) for row in rows)

    def find(self, name: str) -> RunRow:
        """The run of this id, number, or unambiguous end of an id."""
        rows = self.runs()
        found = [row for row in rows if name in {row.run, str(row.number)}] or [
            row for row in rows if len(name) >= 4 and row.run.endswith(name)
        ]
        if len(found) != 1:
            what = "is more than one run" if found else "is not a run"
            raise UsageError(f"{name!r} {what}", mend="`deploykit runs` lists them")
        return found[0]

    def append(self, draft: Draft, *, fence: Lock | None = None, place: tuple[str, str] | None = None) -> Event:
        """Commit one event to its run's chain.

        Args:
            draft: What the event says.
            fence: The lock that must still be in force at the moment of the commit, for intents.
            place: Service and environment of that lock.

        Raises:
            LockedError: The lock is no longer ours.
            RefusedError: The clock jumped (for intents only).
            StoreError: It could not be written; nothing may be done without its record.
        """
        with self._transaction() as connection:
            if fence is not None:
                _require_fence(connection, fence, place)
            newest = _newest(connection, draft.run)
            if newest is not None and fence is not None:
                clock.require_steady(newest, clock.read())
            return _add(connection, draft, newest)

    def lines(self, run: str, *, after: int = 0) -> tuple[bytes, ...]:
        """The lines of a run's journal, as they were written."""
        with self._transaction() as connection:
            query = sa.select(_events.c.line).where(_events.c.run == run, _events.c.seq > after)
            return tuple(connection.scalars(query.order_by(_events.c.seq)))

    def lock(self, service: str, environment: str) -> Lock | None:
        """The lock's row, or None where the environment was never locked."""
        with self._transaction() as connection:
            return _lock(connection, (service, environment))

    def take_lock(self, place: tuple[str, str], run: str, owner: str, *, by_force: bool = False) -> Lock:
        """Take the environment for a run; the run that has it already keeps its fence.

        Args:
            place: Service and environment.
            run: Who takes it.
            owner: The person or service behind the run, for whoever comes second.
            by_force: A rollback takes the fence without the holder's consent; older fences are void from then on.

        Raises:
            LockedError: Another run has it.
        """
        with self._transaction() as connection:
            held = _lock(connection, place)
            if held and held.run == run and not by_force:
                return held
            if held and held.run not in {"", run} and not by_force:
                raise LockedError(
                    f"{place[0]} in {place[1]} belongs to run {held.run} of {held.owner} since {held.since}",
                    where="lock",
                    mend=f"`deploykit status {held.run}` shows where it stands; close it or roll it back first",
                )
            lock = Lock(run=run, fence=held.fence + 1 if held else 1, owner=owner, since=clock.read().at)
            _put(connection, place, lock)
            return lock

    def release_lock(self, place: tuple[str, str], run: str) -> bool:
        """Let go of the environment, if this run has it. The fence keeps its number."""
        with self._transaction() as connection:
            held = _lock(connection, place)
            if held is None or held.run != run:
                return False
            _put(connection, place, held.model_copy(update={"run": "", "owner": ""}))
            return True


def _durable(connection: object, _record: object) -> None:
    """Full durability, and transactions begun by us, not by the driver."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _write_lock(connection: sa.Connection) -> None:
    """Every transaction takes the write lock first, so that reading the chain's end and adding to it are one."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _newest(connection: sa.Connection, run: str) -> Event | None:
    of_run = sa.select(_events.c.line).where(_events.c.run == run)
    line = connection.scalar(of_run.order_by(_events.c.seq.desc()).limit(1))
    return Event.parse(line) if line is not None else None


def _add(connection: sa.Connection, draft: Draft, newest: Event | None) -> Event:
    event = Event(
        **draft.model_dump(exclude={"data", "step", "item", "op"}),
        item=redact.text(draft.item),
        step=redact.text(draft.step),
        op=redact.text(draft.op),
        data=redact.tree(draft.data),
        seq=newest.seq + 1 if newest else 1,
        prev=newest.hash if newest else GENESIS,
        host=_host(),
        **clock.read()._asdict(),
    )
    connection.execute(_events.insert().values(run=event.run, seq=event.seq, hash=event.hash, line=event.line))
    return event


def _lock(connection: sa.Connection, place: tuple[str, str]) -> Lock | None:
    here = (_locks.c.service == place[0]) & (_locks.c.environment == place[1])
    row = connection.execute(sa.select(_locks).where(here)).mappings().first()
    return Lock.model_validate({k: row[k] for k in ("run", "fence", "owner", "since")}) if row else None


def _put(connection: sa.Connection, place: tuple[str, str], lock: Lock) -> None:
    connection.execute(_locks.delete().where(_locks.c.service == place[0], _locks.c.environment == place[1]))
    connection.execute(_locks.insert().values(service=place[0], environment=place[1], **lock.model_dump()))


def _require_fence(connection: sa.Connection, fence: Lock, place: tuple[str, str] | None) -> None:
    held = _lock(connection, place) if place else None
    if held is None or (held.run, held.fence) != (fence.run, fence.fence):
        holder = f"run {held.run} of {held.owner} since {held.since}" if held and held.run else "nobody"
        raise LockedError(
            f"the lock is no longer ours (fence {fence.fence}); {holder} holds it",
            where="lock",
            mend="nothing was done; `deploykit status` shows what happened meanwhile",
        )
