"""A world whose every system is a file, and processes that are killed in it at a named point.

Nothing in the product knows of it: the ports come in where the product looks for adapters, and the points are the
commits of the journal. Effects are counted by the world's file, which is replaced whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploykit import providers
from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.databases import REVIEWED
from deploykit.errors import DeploykitError, NotPassedError, StepUnknownError
from deploykit.execution import context as context_module
from deploykit.execution import run_action
from deploykit.execution.checks import look_at
from deploykit.journal.events import Draft, Event, Type
from deploykit.journal.store import Store
from deploykit.model import Evidence, Kind, Outcome, Result
from deploykit.notebook import live
from deploykit.rollback import traffic_back
from deploykit.run import Run
from deploykit.settings import load
from tests.world import DATABASE, SERVICE, FakeGuard, Fault, World, inject

ROOT = Path(__file__).parents[2]
#: Sending traffic back may be done again and again; everything else may not.
REPEATABLE = "weights blue 0, green 100"
#: Where a process may be killed around a step: at which event, and whether before or after its commit.
POINTS = {
    "before the intent": (Type.STEP_INTENDED, "before"),
    "between intent and effect": (Type.STEP_INTENDED, "after"),
    "between effect and outcome": (Type.STEP_HAPPENED, "before"),
    "after the outcome": (Type.STEP_HAPPENED, "after"),
    "after the result": (Type.ITEM_SETTLED, "after"),
}
ACTIONS = [item for item in checklist().item if item.kind is Kind.ACTION]
#: Bytes of a line that acknowledges an event. They divide a page of memory, where a kill can tear a write in two.
LINE = 128
#: What a forked process adds to the exit code of a deliberate error, to tell it from a fault of the test.
ENDED = 100
#: Tells a process that it is in such a world, and where it is to be killed.
VARIABLE = "DEPLOYKIT_TEST_FILED"
#: What belongs to one process alone, and not to the world.
_OWN = {"home", "file", "journal_then", "at_effect", "pauses", "guard_calls", "progress", "_runs"}


@dataclass(frozen=True)
class Aim:
    """Where a process is killed, or stopped: around which step, at which point; its parent may go too."""

    step: str
    point: str
    with_parent: bool = False
    signal: int = signal.SIGKILL


class Disk:
    """The world's file: each call of a port reads it and replaces it, one process at a time.

    Attributes:
        aim: Where this process is to be killed.
    """

    def __init__(self, world: World) -> None:
        self.world, self.file = world, world.home / "world.pickle"
        self.aim: Aim | None = None
        self.names = [name for name in vars(world) if name not in _OWN]

    @contextmanager
    def turn(self) -> Iterator[World]:
        with self.file.with_suffix(".lock").open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if self.file.exists():
                vars(self.world).update(pickle.loads(self.file.read_bytes()))  # noqa: S301 - we wrote it
            try:
                yield self.world
            finally:
                fresh = self.file.with_suffix(f".{os.getpid()}")
                fresh.write_bytes(pickle.dumps({name: vars(self.world)[name] for name in self.names}))
                fresh.replace(self.file)

    def breaks(self, call: str) -> None:
        """From now on, the system says no to a call."""
        with self.turn() as world:
            world.broken[call] = Fault.REJECTED


class Port:
    """A fake of a port, whose every call is a turn at the disk."""

    def __init__(self, fake: Any, disk: Disk) -> None:
        self._fake, self._disk = fake, disk

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with self._disk.turn():
                return getattr(self._fake, name)(*arguments, **named)

        return call


def enter(home: Path, patch: pytest.MonkeyPatch) -> Disk:
    """Have this process live in the world of this folder, until it meets its aim, if it is given one."""
    world = World(home)
    inject(world, patch)
    disk = Disk(world)
    for name in {name for named in providers.ADAPTERS.values() for name in named.values()}:
        port = Port(sys.modules[name].connect(None, None), disk)
        patch.setattr(sys.modules[name], "connect", lambda _settings, _environment, port=port: port)
    patch.setattr(Context, "look_every", 0.002)
    patch.setattr(context_module, "GuardProcess", lambda _run: FakeGuard(world))
    patch.setattr(live.Display, "_draw", lambda *_: None)
    patch.setattr(Store, "append", _acknowledging(Store.append, home / "acknowledged", lambda: disk.aim))
    return disk


def enter_by_environment() -> None:
    """The same for a process that another one started: its `sitecustomize` calls this."""
    told = json.loads(os.environ[VARIABLE])
    home, aim, patch = Path(told["home"]), Aim(**told["aim"]) if told["aim"] else None, pytest.MonkeyPatch()
    if told["real"]:
        patch.setattr(Store, "append", _acknowledging(Store.append, home / "acknowledged", lambda: aim))
    else:
        enter(home, patch).aim = aim


def environment(home: Path, aim: Aim | None, *, real: bool = False) -> dict[str, str]:
    """What a process started with this knows; one in the real sandbox has its aim only."""
    site = home / "site"
    site.mkdir(exist_ok=True)
    program = "import tests.kills.filed; tests.kills.filed.enter_by_environment()"
    (site / "sitecustomize.py").write_text(program, "utf-8")
    told = {"home": str(home), "aim": vars(aim) if aim else None, "real": real}
    return {
        VARIABLE: json.dumps(told),
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        "DEPLOYKIT_SETTINGS": str(home / "deploykit.toml"),
    }


def _line(event: Event) -> str:
    return f"{event.run} {event.seq} {event.hash}"


def _acknowledging(
    append: Callable[..., Event], acknowledged: Path, aimed: Callable[[], Aim | None]
) -> Callable[..., Event]:
    """The store's own append, which writes down outside what it acknowledged, and dies at the aim."""

    def die_if_met(draft: Draft, moment: str) -> None:
        aim = aimed()
        if aim and (draft.step or draft.item, draft.type, moment) == (aim.step, *POINTS[aim.point]):
            if aim.with_parent:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), aim.signal)

    def appended(store: Store, draft: Draft, *rest: Any, **named: Any) -> Event:
        die_if_met(draft, "before")
        event = append(store, draft, *rest, **named)
        with acknowledged.open("ab", buffering=0) as stream:
            stream.write(_line(event).ljust(LINE - 1).encode() + b"\n")
        die_if_met(draft, "after")
        return event

    return appended


# --- a run in it


@dataclass
class Filed:
    """A planned and approved run in a world of files."""

    home: Path
    disk: Disk
    id: str

    def run(self) -> Run:
        """The run as a process finds it that knows only what was written."""
        return Run.find(load(self.home / "deploykit.toml"), self.id, SERVICE)

    def perform(self, run: Run, until: str = "", *, rolled_back: bool = False) -> None:
        """Every item in order, up to one or all: an action for real, anything else as if it had passed.

        Args:
            run: The run.
            until: The item before which to stop.
            rolled_back: Have it rolled back at the end, which a rollback's item has in any case.
        """
        rolled_back = rolled_back or (bool(until) and checklist().find(until).when == "rolled-back")
        for phase in checklist().phase:
            if phase.when == "rolled-back":
                if not rolled_back:
                    continue
                if not run.state().returned:
                    traffic_back(run, "asked for", database=True)
                if until == "rollback.restore":
                    self.disk.breaks("database.downgrade")
            for item in checklist().items(phase.id):
                if item.id == until:
                    return
                self.settle(run, item)
            if run.state().phases.get(phase.id) != "passed":
                run.append(Type.PHASE_ENDED, item=phase.id, data={"result": "passed"})

    def settle(self, run: Run, item: Item) -> None:
        context = self.disk.world.context(run)
        if item.id in run.state().items:
            return
        if item.kind is Kind.ACTION:
            with suppress(NotPassedError) if item.id == "rollback.migration" else nullcontext():
                run_action(run, context, item)
        else:
            # What is migrated must be what was reviewed.
            evidence = look_at(context, item).evidence if item.id == REVIEWED else Evidence()
            run.settle(Result(item=item.id, outcome=Outcome.PASS, summary="as if it had passed", evidence=evidence))

    def effects(self) -> list[str]:
        """What really happened, counted by the world's file."""
        with self.disk.turn() as world:
            return list(world.effects)

    def twice(self) -> list[str]:
        """The effects that happened more than once, and may not."""
        return [effect for effect, times in Counter(self.effects()).items() if times > 1 and effect != REPEATABLE]

    def lost(self) -> list[str]:
        """Events that were acknowledged, and that the journal does not have. Its chain is checked on the way."""
        run = self.run()
        kept = {_line(event) for event in run.events()}
        run.store.close()
        known = (line.rstrip() for line in (self.home / "acknowledged").read_text().splitlines())
        return [line for line in known if line.startswith(self.id) and line not in kept]

    def save(self, snapshot: Path) -> None:
        shutil.copytree(self.home, snapshot)

    def restore(self, snapshot: Path) -> None:
        """The world and the run as they were; paths stay the same."""
        shutil.rmtree(self.home)
        shutil.copytree(snapshot, self.home)

    def steps(self, item: Item) -> list[str]:
        """The steps that the action takes in this world, which it changes."""
        self.resume(item)
        run = self.run()
        steps = [event.step for event in run.events() if event.type is Type.STEP_INTENDED and event.item == item.id]
        run.store.close()
        return steps

    def resume(self, item: Item) -> str:
        """Go on with one item: `resumed` or `unknown`, which are the two good ends."""
        run = self.run()
        try:
            return "resumed" if run_action(run, self.disk.world.context(run), item).outcome.opens else "not passed"
        except StepUnknownError:
            return "unknown"
        finally:
            run.store.close()


@contextmanager
def planned(template: Path, home: Path) -> Iterator[Filed]:
    """A run of v2, planned and approved, in a new world of files."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        disk = enter(home, patch)
        disk.world.edit('window = "10000h"', f'window = "10000h"\n{DATABASE}')
        run = disk.world.plan(begin="readiness")
        disk.world.close()
        disk.world._runs.clear()
        yield Filed(home, disk, run.id)


def killed(filed: Filed, work: Callable[[], object], aim: Aim) -> bool:
    """Do the work in a process of its own, aimed at; whether it was killed, and not ended by itself."""

    def aimed() -> None:
        filed.disk.aim = aim
        work()

    return was_killed(fork(aimed))


def was_killed(ended: int) -> bool:
    return os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL


def fork(work: Callable[[], object]) -> int:
    """A copy of this process that does the work and ends; returns how it ended, as `os.waitpid` does."""
    return os.waitpid(start(work), 0)[1]


def start(work: Callable[[], object]) -> int:
    """The same, under way; returns its process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except DeploykitError as error:
            code = ENDED + error.exit_code
        except BaseException:  # noqa: BLE001 - told on stderr, and by the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid
