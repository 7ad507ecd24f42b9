"""Runs a plan's phases in order, headless, and archives each notebook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deploykit import progress, reconcile
from deploykit import settings as settings_module
from deploykit.checklist import Phase, checklist
from deploykit.errors import (
    BrokenRecordError,
    DeploykitError,
    Exit,
    HeldError,
    NotPassedError,
    ProviderError,
    RefusedError,
    RollbackIncompleteError,
    RolledBackError,
    StepUnknownError,
    StoreError,
    UsageError,
    Waiting,
)
from deploykit.execution import make_context
from deploykit.execution.checks import leave_out
from deploykit.execution.rules import BEFORE_CHANGES, BEFORE_RUN, require_rules
from deploykit.guard import GuardProcess
from deploykit.journal import spool
from deploykit.journal.events import Actor, Type
from deploykit.journal.state import State, Status, StepPhase
from deploykit.model import Json, Outcome
from deploykit.planning import FROZEN, code_hash
from deploykit.providers import connect
from deploykit.reconcile import NOTEBOOKS, moved_traffic
from deploykit.returning import is_split
from deploykit.rollback import return_traffic
from deploykit.run import Run
from deploykit.signoff import gate, glass
from deploykit.signoff.gate import require_approval

if TYPE_CHECKING:
    from deploykit.engine import Executed

Say = Callable[[str], None]
#: Phases whose actions leave production as it is.
BEFORE_PRODUCTION = ("readiness", "prepare")


def forward(run: Run, say: Say) -> None:
    """Execute the phases up to the next gate that does not open, or to the end.

    Raises:
        Waiting: A person has to decide first.
        RefusedError: A rule, a lock, or the run's own end forbids it.
        HeldError, RolledBackError, NotPassedError, StepUnknownError, RollbackIncompleteError: How it ended.
    """
    spool.merge(run.store, run.id, run.actor)
    reconcile.mend(run)
    run.require_planned_version()
    _require_open(run)
    run.require_planned_settings()
    glass.alert_all(run)
    if not run.plan.rehearsal:
        run.store.require_thawed(run.place)
        require_approval(run)
        require_rules(run, make_context(run), BEFORE_RUN)
        run.take_lock()
    for phase in checklist().phase:
        if phase.when != "always" or run.state().phases.get(phase.id) == "passed" or leave_out(run, phase.id):
            continue
        say(f"phase {phase.id}: {phase.title}")
        executed = execute(run, phase, "run", say)
        _go_on_or_raise(run, phase, executed, say)
    _end(run, Status.DONE)


def roll_back(run: Run, say: Say) -> None:
    """Do what is left of a rollback after traffic is back: notebook 90, and the run's end.

    Raises:
        RollbackIncompleteError: An item of it did not pass.
    """
    reconcile.mend(run)
    (phase,) = (phase for phase in checklist().phase if phase.id == "rollback")
    say(f"phase {phase.id}: {phase.title}")
    executed = execute(run, phase, "run", say)
    _end(run, Status.ROLLED_BACK)
    if run.state().phases.get(phase.id) != "passed":
        raise RollbackIncompleteError(
            f"the rollback is not finished: {executed.error or _shut(run, phase)}",
            where=run.id,
            mend=f"traffic is on {run.plan.live.colour}; mend what is left, or `deploykit rollback {run.id}` again",
        )


def abort(run: Run, reason: str) -> None:
    """End a run before production was touched.

    Raises:
        RefusedError: It was touched, or nobody knows; or the run has ended.
        LockedError: It is under way.
    """
    with run.alone():
        _require_open(run)
        harmless = {item.id for item in checklist().item if item.phase in BEFORE_PRODUCTION}
        begun = run.state().steps.values()
        touched = [s.step for s in begun if s.phase is not StepPhase.REJECTED and s.item not in harmless]
        if touched:
            raise RefusedError(
                f"production was touched, or may have been: {', '.join(touched)}",
                where=run.id,
                mend=f"`deploykit rollback {run.id}`",
            )
        run.append(Type.RUN_ENDED, data={"status": Status.ABORTED.value, "reason": reason})
        run.release_lock()


def execute(run: Run, phase: Phase, mode: Literal["run", "replay"], say: Say) -> Executed:
    """Execute one frozen notebook, archive it, and be sure that no weights are left split."""
    from deploykit import engine  # noqa: PLC0415 - papermill takes over a second to load

    source = run.folder / FROZEN / f"{phase.notebook}.ipynb"
    _require_frozen(run, source)
    target = run.folder / NOTEBOOKS / source.name
    variables = {settings_module.VARIABLE: str(run.settings.source)}
    try:
        with _told(run, say):
            executed = engine.execute(
                source, target, {"run": run.id}, mode=mode, env=variables, cell_timeout=_patience(run)
            )
    finally:
        if mode == "run":
            make_whole(run, f"{phase.notebook} ended while weights were split")
    cells = [(cell.index, cell.status) for cell in executed.cells]
    more: Json = {"reason": executed.error, "terminated": list(executed.terminated), "left": list(executed.left)}
    reconcile.archived(run, phase.id, target, executed.status, cells, more)
    return executed


def _patience(run: Run) -> float:
    """For how long one cell may run: what the settings say, else twice what the plan allows, and some."""
    given = run.settings.shift.cell_timeout
    if given is not None:
        return given
    plan = run.plan
    shift = sum(step.seconds + plan.hold_limit_seconds for step in plan.steps)
    return 300 + 2 * (run.environment.platform.deploy_timeout + plan.scaled(shift + plan.watch_seconds))


def make_whole(run: Run, reason: str) -> None:
    """Never leave weights split behind.

    Raises:
        RollbackIncompleteError: The router does not answer, so nobody knows.
    """
    try:
        split = is_split(connect(run.settings, run.environment).router.weights())
    except ProviderError as error:
        if not moved_traffic(run.begun()):
            return
        raise RollbackIncompleteError(
            f"the router does not answer, so the weights are not known: {error.what}",
            where="router",
            mend=f"look at the router now; all traffic belongs on {run.plan.live.colour}",
        ) from error
    if split:
        return_traffic(run, reason)
    GuardProcess(run).stand_down()


def _require_open(run: Run) -> None:
    state = run.state()
    if state.sealed or state.status is not Status.OPEN:
        said = "sealed" if state.sealed else state.status.value
        raise RefusedError(f"the run is {said}", where=run.id, mend="make a new plan")
    if state.rolled_back:
        raise RefusedError("the run is being rolled back", where=run.id, mend=f"`deploykit rollback {run.id}`")


def _require_frozen(run: Run, source: Path) -> None:
    try:
        found = code_hash(source.read_bytes())
    except (OSError, UsageError):  # told below: it is not the one that was planned
        found = ""
    if found != run.plan.notebooks.get(source.name):
        raise BrokenRecordError(
            "the notebook is not the one that was planned", where=f"{FROZEN}/{source.name}", mend="make a new plan"
        )


def _go_on_or_raise(run: Run, phase: Phase, executed: Executed, say: Say) -> None:
    """The journal says how a phase ended; what papermill says of its cells proves nothing."""
    state = run.state()
    if state.rolled_back:
        roll_back(run, say)
        raise RolledBackError(state.rolled_back, where=run.id, mend="read incident.md in the run's folder")
    if state.returned:
        _end(run, Status.HELD)
        mend = f"`deploykit rollback {run.id}` clears the candidate away; or look again and make a new plan"
        raise HeldError(f"traffic is back on {run.plan.live.colour}: {state.returned}", where=run.id, mend=mend)
    if state.unknown:
        step = state.unknown[0]
        raise StepUnknownError(
            f"the end of {step.step} was not seen", where=run.id, mend=f"`deploykit resume {run.id}` asks its probe"
        )
    if state.phases.get(phase.id) == "passed":
        return
    _require_no_refusal(run, phase)
    _require_rules_kept(run)
    waited_for = waiting(run, phase.id)
    if waited_for:
        ready = [item for item in waited_for if state.gathered(item)]
        early = [f"{item}: {state.items[item].summary}" for item in waited_for if item not in ready]
        said = [f"{', '.join(ready)}: a person has to sign"] if ready else []
        does = [f"deploykit sign {run.plan.number} {item}" for item in ready]
        mend = "; ".join([*does, f"then deploykit resume {run.plan.number}"])
        raise Waiting("; ".join([*said, *early]), where=f"phase {phase.id}", mend=mend)
    if moved_traffic(state.steps):
        mend = f"`deploykit rollback {run.id}`, or `deploykit resume {run.id}` to look again"
        raise Waiting(f"{_shut(run, phase)}; the candidate has all traffic", where=run.id, mend=mend)
    raise NotPassedError(
        executed.error or _shut(run, phase),
        where=f"phase {phase.id}",
        mend=f"mend it, then `deploykit resume {run.id}`",
    )


def waiting(run: Run, phase: str) -> tuple[str, ...]:
    """The sign-offs that a phase waits for, where nothing else keeps its gate shut but what comes after them."""
    state = run.state()
    shut = [item for item in checklist().gate(phase) if not gate.opens(run, item.id)]
    asked = tuple(item.id for item in shut if not item.automated and _inconclusive(state, item.id))
    others = [item for item in shut if item.id not in asked and item.id in state.items]
    return () if others else asked


def _inconclusive(state: State, item: str) -> bool:
    return item in state.items and state.items[item].outcome is Outcome.INCONCLUSIVE


def _require_no_refusal(run: Run, phase: Phase) -> None:
    refused = run.state().words.refused
    for item in checklist().gate(phase.id):
        if item.id in refused:
            said = f"{refused[item.id].signer} refused {item.id}: {refused[item.id].comment}"
            mend = f"deploykit rollback {run.plan.number}, or a new plan"
            raise RefusedError(said, where=f"phase {phase.id}", mend=mend)


def _require_rules_kept(run: Run) -> None:
    """A rule that a notebook met is told as what it is, and not as a cell that raised."""
    state = run.state()
    broken = [state.items[rule] for rule in BEFORE_CHANGES if rule in state.items and not gate.opens(run, rule)]
    if broken:
        said = "; ".join(f"{rule.item}: {rule.summary}" for rule in broken)
        signs = "; ".join(f"deploykit sign {run.plan.number} {rule.item} --override -m WHY" for rule in broken)
        raise RefusedError(said, where=run.id, mend=f"mend it, or {signs}; then deploykit resume {run.plan.number}")


def _shut(run: Run, phase: Phase) -> str:
    shut = [f"{item.id} is {why}" for item in checklist().gate(phase.id) if (why := gate.shut(run, item.id))]
    return "; ".join(shut) or "the gate was not reached"


def _end(run: Run, status: Status) -> None:
    if run.state().status is not status:
        run.append(Type.RUN_ENDED, data={"status": status.value})


@contextmanager
def _told(run: Run, say: Say) -> Iterator[None]:
    """Tell what happens while the kernel works: each item as it settles, and the newest line of progress."""
    done = threading.Event()
    mirror = Run(run.settings, run.store, run.row, run.actor)
    told, said = dict(mirror.state().items), progress.last(run)

    def look() -> None:
        nonlocal said
        for item, settled in list(mirror.state().items.items()):
            if told.get(item) != settled:
                told[item] = settled
                say(f"  {settled.outcome.value:<12} {item}: {settled.summary}")
        line = progress.last(run)
        if line and line != said:
            said = line
            say(f"  … {line}")

    def follow() -> None:
        over = False
        while not over:
            over = done.wait(0.5)
            run.beat()
            with suppress(StoreError):  # who works meets it too, and says so
                look()

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def replay_apart(run: Run, phase: Phase) -> None:
    """Archive a phase that a person stepped through, from inside a kernel: in a process of its own.

    Raises:
        NotPassedError: It could not be archived; what was done is in the journal all the same.
    """
    command = [sys.executable, "-m", "deploykit.runner", str(run.settings.source), run.id, phase.id]
    environment = {name: value for name, value in os.environ.items() if name != settings_module.MODE}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != Exit.DONE:
        said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise NotPassedError(f"the notebook could not be archived: {said[0]}", mend="run this cell again")


def main(arguments: list[str]) -> int:
    """`python -m deploykit.runner SETTINGS RUN PHASE`: archive one phase in replay."""
    try:
        settings = settings_module.load(Path(arguments[0]))
        run = Run.find(settings, arguments[1], Actor(kind="runner", id=f"pid-{os.getpid()}"))
        execute(run, checklist().find_phase(arguments[2]), "replay", lambda _line: None)
    except DeploykitError as error:
        where = f"{error.where}: " if error.where else ""
        sys.stderr.write(f"{where}{error.what}\n")  # the caller passes on the last line
        return error.exit_code
    return Exit.DONE


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the kernel that asked
    sys.exit(main(sys.argv[1:]))
