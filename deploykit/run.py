"""One run: its plan, its folder, and its journal."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from deploykit import __version__, redact
from deploykit.errors import BrokenRecordError, LockedError, RefusedError, StoreError, UsageError
from deploykit.files import write_atomically
from deploykit.journal import chain, spool, witness
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.locks import Lock, one_process
from deploykit.journal.state import State
from deploykit.journal.store import PATIENCE, Known, RunRow, Store, stored
from deploykit.model import Evidence, Json, Plan, Result, canonical, sha256

if TYPE_CHECKING:
    from deploykit.settings import EnvironmentSettings, Settings

#: What a plan says that it was made with.
MADE_WITH = f"deploykit {__version__}"
#: How often the lock's heartbeat is written, at most.
BEAT_SECONDS = 10.0


def new_id(service: str, environment: str) -> str:
    """A run id that needs no server: time, service, environment, four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{service}-{environment}-{secrets.token_hex(2)}"


def login() -> str:
    """Who this process says it is. It proves nothing; a signature does."""
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return f"uid-{os.getuid()}"


class Run:
    """A run that exists.

    Args:
        settings: The settings it is run with.
        store: Where its journal is.
        row: Its row in the index.
        actor: Who acts through this object.
    """

    def __init__(self, settings: Settings, store: Store, row: RunRow, actor: Actor) -> None:
        self.settings, self.store, self.row, self.actor = settings, store, row, actor
        settings.learn()
        self.id = row.run
        self.folder = settings.path(settings.archive) / row.service / row.run
        self.plan = read_plan(self.folder)
        self.lock: Lock | None = None
        self._events: list[Event] = []
        self._state = State()
        self._intended: set[str] = set()
        self._reading = threading.Lock()
        self._beaten = 0.0

    @classmethod
    def find(cls, settings: Settings, name: str, actor: Actor, *, patience: float = PATIENCE) -> Run:
        """Open an existing run by its id, number or the end of its id."""
        store = Store(settings.path(settings.state), patience=patience)
        return cls(settings, store, store.find(name), actor)

    @classmethod
    def create(
        cls, settings: Settings, row: RunRow, actor: Actor, make: Callable[[int], tuple[Plan, dict[str, bytes]]]
    ) -> Run:
        """Enter a new run: the index, the folder with its frozen files, and the first event, or nothing at all.

        Args:
            settings: The settings it is run with.
            row: The run, without its number.
            actor: Who opens it.
            make: Makes the plan, and the files to freeze beside it, from the run's number.

        Raises:
            StoreError: Something could not be written; nothing of the run is left.
        """
        store = Store(settings.path(settings.state))
        folder = settings.path(settings.archive) / row.service / row.run

        def first(number: int) -> Draft:
            plan, files = make(number)
            files = {**files, "plan.json": canonical(plan.model_dump(mode="json")) + b"\n"}
            with stored(folder):
                for name, data in files.items():
                    write_atomically(folder / name, data)
            said: Json = {"plan": plan.hash, "release": plan.release, "number": number, "sandbox": plan.sandbox}
            return Draft(run=row.run, actor=actor, type=Type.RUN_OPENED, data=said)

        try:
            opened = store.open_run(row, first)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        run = cls(settings, store, store.find(row.run), actor)
        run._tell(opened)
        return run

    @property
    def environment(self) -> EnvironmentSettings:
        """The settings of the plan's environment."""
        return self.settings.environment(self.plan.environment)

    @property
    def place(self) -> tuple[str, str]:
        """Service and environment: what a lock is on."""
        return self.plan.service, self.plan.environment

    def require_planned_version(self) -> None:
        """Refuse to go forward with another version of deploykit than the one that was approved with the plan.

        Raises:
            RefusedError: Another version made the plan.
        """
        if self.plan.made_with != MADE_WITH:
            raise RefusedError(
                f"{self.plan.made_with} made the plan and this is {MADE_WITH}, which may only roll it back",
                where="plan",
                mend=f"go on with {self.plan.made_with}, or make a new plan; `deploykit rollback` still works",
            )

    def require_planned_settings(self) -> None:
        """Refuse to go on by settings that are not the ones that were approved.

        Raises:
            RefusedError: The file changed since the plan was made.
        """
        if self.settings.digest != self.plan.settings:
            raise RefusedError(
                "the settings changed since the plan was made, so nobody approved them",
                where="deploykit.toml",
                mend="put them back, or make a new plan; `deploykit rollback` still works",
            )

    def append(self, kind: Type, *, item: str = "", step: str = "", op: str = "", data: Json | None = None) -> Event:
        """Commit one event; after some, those outside are told how long the journal is."""
        event = self.store.append(self._draft(kind, item, step, op, data or {}))
        self._tell(event)
        return event

    def _tell(self, event: Event) -> None:
        for kind, said in witness.tell(self.settings, event):
            self.append(kind, data=said)

    def intend(
        self, *, item: str, step: str, op: str, data: Json, forward: bool = True, known: Known | None = None
    ) -> Event:
        """Commit the intent of an effect, under the lock.

        Args:
            item: The item.
            step: The step of it.
            op: The operation's id.
            data: What is about to be done.
            forward: Whether freeze and clock are asked as well; what belongs to a rollback asks neither.
            known: What was read of the journal when it was decided, and must still stand.

        Raises:
            LockedError: The lock is not ours, or no longer.
            RefusedError: The environment is frozen, the clock jumped, or what it rests on was taken back.
        """
        if self.lock is None:
            self.take_lock()
        draft = self._draft(Type.STEP_INTENDED, item, step, op, data)
        intent = self.store.append(draft, fence=self.lock, place=self.place, forward=forward, known=known)
        self._intended.add(step)
        return intent

    def begun(self) -> set[str]:
        """Steps whose intent was committed; where the store is gone, as far as this object knows."""
        with suppress(StoreError, BrokenRecordError):
            self.state()
        return self._intended | set(self._state.steps)

    def take_lock(self, *, by_force: bool = False) -> None:
        """Take the environment for this run, and note it when it was not ours before."""
        before = self.store.lock(*self.place)
        owner, release = self.plan.operator or self.actor.id, self.plan.release
        reason = f"rolls {release} back" if by_force else f"deploys {release}"
        self.lock = self.store.take_lock(self.place, self.id, owner, reason=reason, by_force=by_force)
        if before is None or (before.run, before.fence) != (self.lock.run, self.lock.fence):
            taken_from = before.run if before and before.run != self.id else ""
            self.append(Type.LOCK_TAKEN, data={"fence": self.lock.fence, "by_force": by_force, "from": taken_from})

    def beat(self) -> None:
        """Say that this run is there, a few times a minute; without the lock it says nothing."""
        if time.monotonic() - self._beaten >= BEAT_SECONDS:
            self._beaten = time.monotonic()
            with suppress(StoreError):  # the lock only grows older; who works meets the store's fault and says it
                self.store.beat(self.place, self.id)

    def require_lock(self) -> None:
        """The fence that this object's effects carry is still in force.

        Raises:
            LockedError: It is not; it says who has the environment.
        """
        if self.lock is not None:
            self.store.require_lock(self.place, self.lock)

    def release_lock(self) -> None:
        """Let the next run have the environment."""
        if self.store.release_lock(self.place, self.id):
            self.append(Type.LOCK_RELEASED)
        self.lock = None

    @contextmanager
    def alone(self, purpose: str = "") -> Iterator[None]:
        """Only one process of this machine acts on an environment at a time, for each purpose.

        Args:
            purpose: A rollback is not kept waiting by forward work that is stuck.

        Raises:
            LockedError: Another one does. The system lets its lock go when that process ends, however it ends.
            StoreError: The file of the lock cannot be made.
        """
        path = self.store.folder / ".".join(filter(None, ("-".join(self.place), purpose, "lock")))
        with stored(path):
            stream = path.open("ab")
        with stream, one_process(stream) as ours:
            if not ours:
                held = self.store.lock(*self.place)
                said = held.holder if held else "without the lock"
                raise LockedError(
                    f"another process acts on this environment right now; {said}",
                    where=" in ".join(self.place),
                    mend=f"`deploykit status {self.id}` shows what it does; wait for it, or end it",
                )
            yield

    def _draft(self, kind: Type, item: str, step: str, op: str, data: Json) -> Draft:
        fence = self.lock.fence if self.lock else 0
        return Draft(run=self.id, actor=self.actor, fence=fence, type=kind, item=item, step=step, op=op, data=data)

    def state(self) -> State:
        """Where the run stands now; only new events are read, and what is only spooled counts.

        Raises:
            StoreError: The journal cannot be read.
            BrokenRecordError: Its chain does not hold.
        """
        with self._reading:
            spooled = spool.waiting(self.store.folder, self.id)
            self._read()
            for entry in spooled:
                self._state.hear(entry)
            return self._state

    def events(self) -> tuple[Event, ...]:
        """Every event, with the chain checked."""
        with self._reading:
            self._read()
            return tuple(self._events)

    def _read(self) -> None:
        newest = self._events[-1] if self._events else None
        lines = self.store.lines(self.id, after=newest.seq if newest else 0)
        for event in chain.follow(lines, run=self.id, after=newest):
            self._events.append(event)
            self._state.add(event)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the run's folder, whole or not at all.

        Raises:
            StoreError: It could not be written.
        """
        with stored(self.folder / name):
            write_atomically(self.folder / name, data)

    def read(self, name: str) -> bytes | None:
        """A file of the run's folder; None where there is none."""
        return path.read_bytes() if (path := self.folder / name).is_file() else None

    def keep(self, evidence: Evidence) -> str:
        """Write evidence into the archive under its hash, and return the hash."""
        data = canonical(redact.tree(evidence.model_dump(mode="json")))
        digest = sha256(data)
        if not (self.folder / "evidence" / digest).exists():
            self.write(f"evidence/{digest}", data)
        return digest

    def evidence(self, digest: str) -> Evidence:
        """Read evidence back.

        Raises:
            BrokenRecordError: It is not there, or not what its name says.
        """
        path = self.folder / "evidence" / digest
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BrokenRecordError("evidence is missing", where=f"evidence/{digest}") from error
        if sha256(data) != digest:
            raise BrokenRecordError("evidence is not what its name says", where=f"evidence/{digest}")
        return Evidence.model_validate_json(data)

    def settle(self, result: Result) -> Event:
        """Record how an item, or a step of one, ended: the evidence first, then the word on it."""
        data: Json = {
            "outcome": result.outcome.value,
            "summary": result.summary,
            "mend": result.mend,
            "evidence": self.keep(result.evidence),
            # There is nothing yet that a person could sign over.
            **({"gathered": False} if result.evidence.facts.get("gathered") is False else {}),
        }
        return self.append(Type.ITEM_SETTLED, item=result.item, data=data)

    def result(self, item: str) -> Result | None:
        """The recorded result of an item, with its evidence."""
        settled = self.state().items.get(item)
        if settled is None:
            return None
        shown = self.evidence(settled.evidence)
        return Result(item=item, outcome=settled.outcome, summary=settled.summary, evidence=shown, mend=settled.mend)


def read_plan(folder: Path) -> Plan:
    """Read a run's plan from its folder.

    Raises:
        UsageError: There is none.
        BrokenRecordError: It is not a plan that this version knows.
    """
    path = folder / "plan.json"
    try:
        return Plan.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError("there is no plan here", where=str(folder), mend="name the folder of a run") from error
    except ValidationError as error:
        raise BrokenRecordError(f"not a plan of this version: {error.error_count()} faults", where=path.name) from error
