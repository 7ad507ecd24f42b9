"""One run: its plan, its folder, and its journal."""

from __future__ import annotations

import getpass
import os
import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from deploykit import redact
from deploykit.errors import BrokenRecordError, RefusedError, StoreError, UsageError
from deploykit.journal import chain
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.state import State
from deploykit.journal.store import Lock, RunRow, Store
from deploykit.model import Evidence, Json, Plan, Result, canonical, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploykit.settings import EnvironmentSettings, Settings


def new_id(service: str, environment: str) -> str:
    """A run id that needs no server: time, service, environment, four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{service}-{environment}-{secrets.token_hex(2)}"


def login() -> str:
    """Who this process says it is. It proves nothing; a signature does."""
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return f"uid-{os.getuid()}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old bytes or the new ones, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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
        self.id = row.run
        self.folder = settings.path(settings.archive) / row.service / row.run
        self.plan = read_plan(self.folder)
        self.lock: Lock | None = None
        self._state = State()
        self._intended: set[str] = set()
        self._reading = threading.Lock()

    @classmethod
    def find(cls, settings: Settings, name: str, actor: Actor) -> Run:
        """Open an existing run by its id, number or the end of its id."""
        store = Store(settings.path(settings.state))
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
        """
        store = Store(settings.path(settings.state))
        folder = settings.path(settings.archive) / row.service / row.run

        def first(number: int) -> Draft:
            plan, files = make(number)
            files = {**files, "plan.json": canonical(plan.model_dump(mode="json")) + b"\n"}
            for name, data in files.items():
                write_atomically(folder / name, data)
            said: Json = {"plan": plan.hash, "release": plan.release, "number": number, "sandbox": plan.sandbox}
            return Draft(run=row.run, actor=actor, type=Type.RUN_OPENED, data=said)

        store.open_run(row, first)
        return cls(settings, store, store.find(row.run), actor)

    @property
    def environment(self) -> EnvironmentSettings:
        """The settings of the plan's environment."""
        return self.settings.environment(self.plan.environment)

    @property
    def place(self) -> tuple[str, str]:
        """Service and environment: what a lock is on."""
        return self.plan.service, self.plan.environment

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
        """Commit one event."""
        return self.store.append(self._draft(kind, item, step, op, data or {}))

    def intend(self, *, item: str, step: str, op: str, data: Json) -> Event:
        """Commit the intent of a forward effect, under the lock.

        Raises:
            LockedError: The lock is not ours, or no longer.
            RefusedError: The clock jumped.
        """
        if self.lock is None:
            self.take_lock()
        draft = self._draft(Type.STEP_INTENDED, item, step, op, data)
        intent = self.store.append(draft, fence=self.lock, place=self.place)
        self._intended.add(step)
        return intent

    def begun(self) -> set[str]:
        """Steps whose intent was committed; where the store is gone, as far as this object knows."""
        with suppress(StoreError):
            self.state()
        return self._intended | set(self._state.steps)

    def take_lock(self, *, by_force: bool = False) -> None:
        """Take the environment for this run, and note it when it was not ours before."""
        before = self.store.lock(*self.place)
        self.lock = self.store.take_lock(self.place, self.id, self.plan.operator or self.actor.id, by_force=by_force)
        if before is None or (before.run, before.fence) != (self.lock.run, self.lock.fence):
            taken_from = before.run if before and before.run != self.id else ""
            self.append(Type.LOCK_TAKEN, data={"fence": self.lock.fence, "by_force": by_force, "from": taken_from})

    def release_lock(self) -> None:
        """Let the next run have the environment."""
        if self.store.release_lock(self.place, self.id):
            self.append(Type.LOCK_RELEASED)
        self.lock = None

    def _draft(self, kind: Type, item: str, step: str, op: str, data: Json) -> Draft:
        fence = self.lock.fence if self.lock else 0
        return Draft(run=self.id, actor=self.actor, fence=fence, type=kind, item=item, step=step, op=op, data=data)

    def state(self) -> State:
        """Where the run stands now; only new events are read."""
        with self._reading:
            after = self._state.last.seq if self._state.last else 0
            for line in self.store.lines(self.id, after=after):
                self._state.add(Event.parse(line))
            return self._state

    def events(self) -> tuple[Event, ...]:
        """Every event, with the chain checked."""
        return tuple(chain.follow(self.store.lines(self.id), run=self.id))

    def read(self, name: str) -> bytes | None:
        """A file of the run's folder; None where there is none."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None

    def keep(self, evidence: Evidence) -> str:
        """Write evidence into the archive under its hash, and return the hash."""
        data = canonical(redact.tree(evidence.model_dump(mode="json")))
        digest = sha256(data)
        path = self.folder / "evidence" / digest
        if not path.exists():
            write_atomically(path, data)
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
        }
        return self.append(Type.ITEM_SETTLED, item=result.item, data=data)

    def result(self, item: str) -> Result | None:
        """The recorded result of an item, with its evidence."""
        settled = self.state().items.get(item)
        if settled is None:
            return None
        return Result(
            item=item,
            outcome=settled.outcome,
            summary=settled.summary,
            evidence=self.evidence(settled.evidence),
            mend=settled.mend,
        )


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
