"""Who may act on an environment: a lock with a fencing number, and a freeze, which is another thing than a lock.

Each function works inside a transaction of the store's. An expired lock never starts work: it only allows a person to
break it, signed. A freeze says "no deployments until"; it is asked before each forward effect, and by no rollback.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from deploykit.errors import LockedError, RefusedError, UsageError
from deploykit.journal import clock
from deploykit.journal.tables import freezes, locks
from deploykit.model import Record, now, sha256

#: Service and environment.
Place = tuple[str, str]


class Lock(Record):
    """Who holds an environment. `run` is empty when nobody does; the fence only ever grows.

    Attributes:
        owner: The person or service behind the run.
        since: When it was taken, in UTC.
        reason: What it is held for, for whoever comes second.
        host: The one machine that deploys there; empty for one that an older version took.
        beat_at: The heartbeat's three readings.
    """

    run: str
    fence: int
    owner: str
    since: str
    reason: str = ""
    host: str = ""
    beat_at: str = ""
    beat_boot: str = ""
    beat_boot_ns: int = 0

    @property
    def age(self) -> float:
        """Seconds since the holder was last heard of; one that an older version took was, when it took it."""
        return clock.since(clock.Reading(self.beat_at or self.since, self.beat_boot, self.beat_boot_ns))

    @property
    def holder(self) -> str:
        """One clause that says who holds it, since when, and whether they are still there."""
        if not self.run:
            return "nobody holds it"
        reason = f" ({self.reason})" if self.reason else ""
        return (
            f"run {self.run} of {self.owner}{reason} holds it since {self.since}; last heard of {lasted(self.age)} ago"
        )


class Freeze(Record):
    """No deployments to an environment until a time."""

    service: str
    environment: str
    at: str
    by: str
    until: str
    reason: str

    @property
    def sentence(self) -> str:
        """Who froze what, until when, and why."""
        return f"{self.environment} is frozen until {self.until} by {self.by}: {self.reason}"


def lasted(seconds: float) -> str:
    """A duration for a reader."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@cache
def machine() -> str:
    """This machine's name, and a part of the hash of its id, since two machines may have one name."""
    try:
        identity = Path("/etc/machine-id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):  # not every system has one; then the name has to do
        identity = ""
    name = socket.gethostname()
    return f"{name}/{sha256(f'deploykit {identity}'.encode())[:8]}" if identity else name


# --- the lock


def read(connection: sa.Connection, place: Place) -> Lock | None:
    """The lock's row, or None where the environment was never locked."""
    row = connection.execute(sa.select(locks).where(_is(place))).mappings().first()
    return Lock.model_validate({name: row[name] for name in Lock.model_fields}) if row else None


def take(connection: sa.Connection, place: Place, wanted: Lock, *, by_force: bool) -> Lock:
    """Take the environment for a run; the run that has it already keeps its fence.

    Args:
        connection: The transaction.
        place: Service and environment.
        wanted: Run, owner and reason; the rest is given here.
        by_force: A rollback takes the fence without the holder's consent; older fences are void from then on.

    Raises:
        LockedError: Another run has it, or another machine deploys there.
    """
    held = read(connection, place)
    if held and not by_force:
        _require_machine(place, held)
        if held.run == wanted.run:
            beat(connection, place, held.run)
            return held
        if held.run:
            raise LockedError(
                f"{place[0]} in {place[1]} is locked: {held.holder}",
                where="lock",
                mend=f"`deploykit status {held.run}` shows where it stands; close it or roll it back. "
                f"If its people are gone: `deploykit unlock {held.run}`, signed",
            )
    here = held.host if held and held.host else machine()
    lock = wanted.model_copy(update={"fence": held.fence + 1 if held else 1, "host": here, **_now()})
    _put(connection, place, lock)
    return lock


def _require_machine(place: Place, held: Lock) -> None:
    if held.host not in {"", machine()}:
        raise LockedError(
            f"{place[0]} is deployed to {place[1]} from {held.host}, and this is {machine()}",
            where="lock",
            mend="deploy from there; if it is gone for good: `deploykit unlock RUN` with its last run, signed",
        )


def beat(connection: sa.Connection, place: Place, run: str) -> bool:
    """Say that the holder is there; False where the run does not hold the environment."""
    reading = _now()
    reading.pop("since")
    done = connection.execute(locks.update().where(_is(place), locks.c.run == run).values(**reading))
    return bool(done.rowcount)


def release(connection: sa.Connection, place: Place, run: str) -> bool:
    """Let go of the environment, if this run has it. The fence keeps its number."""
    held = read(connection, place)
    if held is None or held.run != run:
        return False
    _put(connection, place, held.model_copy(update={"run": "", "owner": "", "reason": ""}))
    return True


def require(connection: sa.Connection, place: Place | None, fence: Lock) -> None:
    """The lock is still ours, at this moment.

    Raises:
        LockedError: It is not; it says who has it.
    """
    held = read(connection, place) if place else None
    if held is None or (held.run, held.fence) != (fence.run, fence.fence):
        raise LockedError(
            f"the lock is no longer ours (fence {fence.fence}); {held.holder if held else 'nobody holds it'}",
            where="lock",
            mend="nothing was done; `deploykit status` shows what happened meanwhile",
        )


def require_breakable(held: Lock | None, run: str, expires: float) -> Lock:
    """A lock that a person may break: its holder has not been heard of for too long, or another machine is meant.

    Raises:
        UsageError: There is nothing to break.
        RefusedError: The holder is alive.
    """
    if held is None or (held.run not in {run, ""}) or (not held.run and held.host in {"", machine()}):
        said = held.holder if held else "it was never locked"
        raise UsageError(f"run {run} keeps nobody out: {said}", where="lock", mend="`deploykit run` takes the lock")
    if held.run and held.age < expires:
        raise RefusedError(
            f"the holder was heard of {lasted(held.age)} ago, and counts as gone after {lasted(expires)}",
            where="lock",
            mend=f"`deploykit status {run}`; a rollback asks no lock: `deploykit rollback {run}`",
        )
    return held


def break_(connection: sa.Connection, place: Place, held: Lock) -> None:
    """Void the fence of a holder who is gone, and forget the machine; the next run takes it as any other.

    Raises:
        LockedError: Somebody was faster.
    """
    require(connection, place, held)
    void = {"run": "", "owner": "", "reason": "", "host": "", "fence": held.fence + 1}
    _put(connection, place, held.model_copy(update=void))


def _put(connection: sa.Connection, place: Place, lock: Lock) -> None:
    connection.execute(locks.delete().where(_is(place)))
    connection.execute(locks.insert().values(service=place[0], environment=place[1], **lock.model_dump()))


def _is(place: Place) -> sa.ColumnElement[bool]:
    return (locks.c.service == place[0]) & (locks.c.environment == place[1])


def _now() -> dict[str, str | int]:
    reading = clock.read()
    return {
        "since": reading.at,
        "beat_at": reading.at,
        "beat_boot": reading.boot,
        "beat_boot_ns": reading.boot_ns,
    }


@contextmanager
def one_process(stream: BinaryIO) -> Iterator[bool]:
    """Whether this process has a file to itself; the system lets it go when the process ends, however it ends."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True


# --- the freeze


def freeze(connection: sa.Connection, said: Freeze) -> None:
    """Write down a freeze, or with an empty `until` that it is lifted."""
    connection.execute(freezes.insert().values(**said.model_dump()))


def frozen(connection: sa.Connection, place: Place) -> Freeze | None:
    """The freeze in force."""
    here = (freezes.c.service == place[0]) & (freezes.c.environment == place[1])
    newest = sa.select(freezes).where(here).order_by(freezes.c.number.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    if row is None or not row["until"] or datetime.fromisoformat(row["until"]) <= now():
        return None
    return Freeze.model_validate({name: row[name] for name in Freeze.model_fields})


def require_thawed(connection: sa.Connection, place: Place) -> None:
    """No freeze is in force.

    Raises:
        RefusedError: One is.
    """
    found = frozen(connection, place)
    if found is not None:
        raise RefusedError(
            found.sentence, where="freeze", mend=f"wait, or `deploykit thaw -e {place[1]}`; a rollback is not affected"
        )
