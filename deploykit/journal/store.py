"""The store behind every journal: SQLite at full durability, through SQLAlchemy Core."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from deploykit import redact
from deploykit.errors import OvertakenError, StoreError, UsageError
from deploykit.journal import clock, locks, tables
from deploykit.journal.events import GENESIS, Draft, Event
from deploykit.journal.locks import Freeze, Lock, Place
from deploykit.model import Record

FILE = "store.sqlite3"
#: Seconds to wait for another process that writes; and for a rollback, which writes to the spool instead.
PATIENCE, HURRY = 10.0, 0.5
_MEND = "free space, or mend permissions, then `deploykit resume`; nothing was done without its record"
_READING = "deploykit_reading"


@contextmanager
def stored(path: Path) -> Iterator[None]:
    """A file of the record that cannot be written is the store's error: nothing goes on without it.

    Raises:
        StoreError: With the place and the mend.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path), mend=_MEND) from error


@dataclass(frozen=True)
class Known:
    """What somebody had read of a journal before they add to it.

    Attributes:
        seq: The newest event that they knew.
        voids: Whether a later one takes away what theirs rests on.
    """

    seq: int
    voids: Callable[[Event], bool] = lambda _event: True


class RunRow(Record):
    """A run as the index lists it."""

    run: str
    number: int
    service: str
    environment: str
    release: str


@cache
def _host() -> str:
    return socket.gethostname()


class Store:
    """All journals, the index of runs, and the locks.

    Args:
        folder: Where the store's file is, made when it is not there.
        patience: Seconds to wait for another process that writes.

    Raises:
        StoreError: The folder or the file cannot be made, read or written.
    """

    def __init__(self, folder: Path, *, patience: float = PATIENCE) -> None:
        self.folder, self.patience = folder, patience
        self._thread = threading.local()
        with stored(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._engine = sa.create_engine(f"sqlite:///{folder / FILE}", connect_args={"timeout": patience})
        sa.event.listen(self._engine, "connect", _durable)
        sa.event.listen(self._engine, "begin", self._begin)
        with self._reading() as connection:
            complete = tables.complete(connection)
        if not complete:
            with self._writing() as connection:
                tables.prepare(connection)

    def _begin(self, connection: sa.Connection) -> None:
        """A writer takes the write lock first, so that reading the chain's end and adding to it are one."""
        reading = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {self._wait() * 1000:.0f}")
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    @contextmanager
    def _writing(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._engine.execution_options(**{_READING: reading}).begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise StoreError(f"{error.orig}", where=str(self.folder / FILE), mend=_MEND) from error

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._writing(reading=True)

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """Wait for nobody who writes: a rollback goes to the spool instead."""
        before = getattr(self._thread, "hurried", False)
        self._thread.hurried = True
        try:
            yield
        finally:
            self._thread.hurried = before

    def _wait(self) -> float:
        """How long this thread waits; only the one that rolls back is in a hurry."""
        return min(HURRY, self.patience) if getattr(self._thread, "hurried", False) else self.patience

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def require_writable(self) -> None:
        """Take the lock that a writer takes, and let go of it.

        Raises:
            StoreError: It cannot be had.
        """
        with self._writing():
            return

    # --- runs and their journals

    def open_run(self, row: RunRow, first: Callable[[int], Draft]) -> Event:
        """Enter a run into the index with the next number and its first event, in one transaction.

        Args:
            row: The run; its number is given here.
            first: Makes the first event from the number.
        """
        with self._writing() as connection:
            newest = connection.scalar(sa.select(sa.func.max(tables.runs.c.number)))
            number = (newest or 0) + 1
            connection.execute(tables.runs.insert().values(**row.model_dump(exclude={"number"}), number=number))
            return _add(connection, first(number), None)

    def runs(self) -> tuple[RunRow, ...]:
        """All runs, newest first."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.runs).order_by(tables.runs.c.number.desc())).mappings()
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

    def append(
        self,
        draft: Draft,
        *more: Draft,
        fence: Lock | None = None,
        place: Place | None = None,
        forward: bool = True,
        known: Known | None = None,
    ) -> Event:
        """Commit an event, or several of one run, to its chain, all or none.

        Args:
            draft: What the event says.
            *more: What those after it say.
            fence: The lock that must still be in force at the moment of the commit, for intents.
            place: Service and environment of that lock.
            forward: Whether an intent asks freeze and clock as well; a rollback asks neither.
            known: What it rests on, which must still stand at the moment of the commit.

        Returns:
            The last of them.

        Raises:
            LockedError: The lock is no longer ours.
            RefusedError: The environment is frozen, or the clock jumped (for intents only).
            OvertakenError: What it rests on no longer stands.
            StoreError: It could not be written; nothing may be done without its record.
        """
        with self._writing() as connection:
            if known is not None:
                _require_known(connection, draft.run, known)
            if fence is not None:
                locks.require(connection, place, fence)
            newest = _newest(connection, draft.run)
            if newest is not None and fence is not None and place is not None and forward:
                locks.require_thawed(connection, place)
                clock.require_steady(newest, clock.read())
            added = _add(connection, draft, newest)
            for following in more:
                added = _add(connection, following, added)
            return added

    def lines(self, run: str, *, after: int = 0) -> tuple[bytes, ...]:
        """The lines of a run's journal, as they were written."""
        with self._reading() as connection:
            return _lines(connection, run, after)

    # --- who may act

    def lock(self, service: str, environment: str) -> Lock | None:
        """The lock's row, or None where the environment was never locked."""
        with self._reading() as connection:
            return locks.read(connection, (service, environment))

    def take_lock(self, place: Place, run: str, owner: str, *, reason: str = "", by_force: bool = False) -> Lock:
        """Take the environment for a run; the run that has it already keeps its fence. See `locks.take`."""
        with self._writing() as connection:
            wanted = Lock(run=run, fence=1, owner=owner, since="", reason=reason)
            return locks.take(connection, place, wanted, by_force=by_force)

    def beat(self, place: Place, run: str) -> bool:
        """The holder's heartbeat; False where the run does not hold the environment."""
        with self._writing() as connection:
            return locks.beat(connection, place, run)

    def release_lock(self, place: Place, run: str) -> bool:
        """Let go of the environment, if this run has it. The fence keeps its number."""
        with self._writing() as connection:
            return locks.release(connection, place, run)

    def require_lock(self, place: Place, fence: Lock) -> None:
        """The lock is still ours. See `locks.require`."""
        with self._reading() as connection:
            locks.require(connection, place, fence)

    def break_lock(self, place: Place, draft: Draft, expires: float) -> Event:
        """Void the fence of the draft's run and write down who broke it, in one transaction.

        Raises:
            RefusedError, UsageError: The holder is there, or the run keeps nobody out. See `locks.require_breakable`.
        """
        with self._writing() as connection:
            held = locks.require_breakable(locks.read(connection, place), draft.run, expires)
            locks.break_(connection, place, held)
            return _add(connection, draft, _newest(connection, draft.run))

    def freeze(self, said: Freeze) -> None:
        """Write down a freeze, or with an empty `until` that it is lifted."""
        with self._writing() as connection:
            locks.freeze(connection, said)

    def frozen(self, place: Place) -> Freeze | None:
        """The freeze in force."""
        with self._reading() as connection:
            return locks.frozen(connection, place)

    def require_thawed(self, place: Place) -> None:
        """No freeze is in force. See `locks.require_thawed`."""
        with self._reading() as connection:
            locks.require_thawed(connection, place)


def _durable(connection: object, _record: object) -> None:
    """Full durability, and transactions begun by us, not by the driver."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _lines(connection: sa.Connection, run: str, after: int) -> tuple[bytes, ...]:
    query = sa.select(tables.events.c.line).where(tables.events.c.run == run, tables.events.c.seq > after)
    return tuple(connection.scalars(query.order_by(tables.events.c.seq)))


def _require_known(connection: sa.Connection, run: str, known: Known) -> None:
    for event in map(Event.parse, _lines(connection, run, known.seq)):
        if known.voids(event):
            said = f"{event.type} at event {event.seq} came before it"
            raise OvertakenError(said, where=event.item or run, mend="look again; nothing was done")


def _newest(connection: sa.Connection, run: str) -> Event | None:
    of_run = sa.select(tables.events.c.line).where(tables.events.c.run == run)
    line = connection.scalar(of_run.order_by(tables.events.c.seq.desc()).limit(1))
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
    connection.execute(tables.events.insert().values(run=event.run, seq=event.seq, hash=event.hash, line=event.line))
    return event
