"""How a run of notebooks ends, as the journal says it; without a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploykit import engine, progress, runner
from deploykit.checklist import checklist
from deploykit.engine import CellRan, CellStatus, Executed
from deploykit.errors import (
    BrokenRecordError,
    DeploykitError,
    Exit,
    HeldError,
    LockedError,
    NotPassedError,
    RefusedError,
    RollbackIncompleteError,
    RolledBackError,
    StepUnknownError,
    StoreError,
    Waiting,
)
from deploykit.journal import spool
from deploykit.journal.events import Type
from deploykit.journal.state import Status
from deploykit.model import Outcome, Result
from deploykit.run import Run
from tests.world import LIVE, SERVICE, Fault, World

BACK = "weights blue 0, green 100"


def quiet(_line: str) -> None:
    """Nobody listens."""


class Kernel:
    """Stands in for the engine: what each notebook writes into the journal, without a kernel or a cell."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.executed: list[tuple[str, str]] = []
        self.given: dict[str, Any] = {}
        self.does: dict[str, Callable[[], None]] = {}

    def __call__(self, source: Path, target: Path, parameters: dict[str, str], **given: Any) -> Executed:
        self.given = {"parameters": parameters, **given}
        self.executed.append((source.stem, given["mode"]))
        (phase,) = (phase for phase in checklist().phase if phase.notebook == source.stem)
        target.parent.mkdir(exist_ok=True)
        target.write_text("{}", "utf-8")
        self.does.get(phase.id, lambda: self.passes(phase.id))()
        return Executed(CellStatus.COMPLETED, cells=(CellRan(1, "03-01", CellStatus.COMPLETED, 0.1),), error="")

    def passes(self, phase: str) -> None:
        for item in checklist().items(phase):
            self.run.settle(Result(item=item.id, outcome=Outcome.PASS, summary="well"))
        self.run.append(Type.PHASE_ENDED, item=phase, data={"result": "passed"})

    def fails(self, item: str, outcome: Outcome = Outcome.FAIL) -> Callable[[], None]:
        def fail() -> None:
            self.run.settle(Result(item=item, outcome=outcome, summary="not well"))

        return fail


@pytest.fixture
def run(world: World) -> Run:
    return world.plan()


@pytest.fixture
def kernel(run: Run, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(run)
    monkeypatch.setattr(engine, "execute", made)
    return made


def ends(run: Run) -> list[object]:
    return [event.data["status"] for event in run.events() if event.type is Type.RUN_ENDED]


def begin_traffic(run: Run) -> None:
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="op", data={})
    run.append(Type.STEP_HAPPENED, item="blue-green.traffic", step="blue-green.traffic/10", op="op")


# --- to the end


def test_phases_run_in_order_and_the_notebook_of_each_is_noted(run: Run, kernel: Kernel) -> None:
    told: list[str] = []
    runner.forward(run, told.append)
    assert kernel.executed == [("03_blue_green", "run"), ("04_watch", "run"), ("05_finish", "run")]
    assert kernel.given["parameters"] == {"run": run.id}
    assert kernel.given["env"] == {"DEPLOYKIT_SETTINGS": str(run.settings.home / "deploykit.toml")}
    assert ends(run) == ["done"]
    archived = [event for event in run.events() if event.type is Type.NOTEBOOK_ARCHIVED]
    assert [event.item for event in archived] == ["blue-green", "watch", "finish"]
    assert archived[0].data["cells"] == [{"cell": 1, "status": "completed"}]
    assert told[0] == "phase blue-green: Blue-green deployment"


def test_a_phase_that_passed_is_not_run_again(run: Run, kernel: Kernel) -> None:
    kernel.does["watch"] = kernel.fails("success.health")
    with pytest.raises(NotPassedError):
        runner.forward(run, quiet)
    kernel.does.clear()
    runner.forward(run, quiet)
    ran = ["03_blue_green", "04_watch", "04_watch", "05_finish"]
    assert kernel.executed == [(notebook, "run") for notebook in ran]


def test_what_papermill_says_of_its_cells_proves_nothing(run: Run, kernel: Kernel) -> None:
    kernel.does["blue-green"] = lambda: None
    with pytest.raises(NotPassedError, match=r"blue-green\.deploy is not done"):
        runner.forward(run, quiet)
    assert ends(run) == []


@pytest.mark.parametrize("scale", [1, 60])
def test_a_cell_has_patience_for_all_that_the_plan_allows(world: World, kernel: Kernel, scale: int) -> None:
    world.edit("time_scale = 6000", f"time_scale = {scale}")
    run = world.plan()
    longest = sum(step.seconds + run.plan.hold_limit_seconds for step in run.plan.steps) + run.plan.watch_seconds
    assert runner._patience(run) > longest / scale
    world.edit("[shift]", '[shift]\ncell_timeout = "7s"')
    assert runner._patience(world.plan(approved=False)) == 7


# --- short of it


def rolled_back(run: Run) -> None:
    run.append(Type.ROLLBACK_ASKED, data={"reason": "errors"})
    run.append(Type.TRAFFIC_RETURNED, data={"reason": "errors"})


def test_a_run_that_was_rolled_back_finishes_its_rollback_and_says_so(run: Run, kernel: Kernel) -> None:
    kernel.does["blue-green"] = lambda: rolled_back(run)
    with pytest.raises(RolledBackError, match="errors") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.ROLLED_BACK
    assert kernel.executed == [("03_blue_green", "run"), ("90_rollback", "run")]
    assert ends(run) == ["rolled-back"]


def test_a_rollback_whose_items_do_not_all_pass_is_incomplete(run: Run, kernel: Kernel) -> None:
    kernel.does |= {"blue-green": lambda: rolled_back(run), "rollback": kernel.fails("rollback.health")}
    with pytest.raises(RollbackIncompleteError, match=r"rollback\.health is fail") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.ROLLBACK_INCOMPLETE
    assert f"deploykit rollback {run.id}" in caught.value.mend
    assert ends(run) == ["rolled-back"]


def test_traffic_that_went_back_without_a_rollback_is_held(run: Run, kernel: Kernel) -> None:
    kernel.does["blue-green"] = lambda: run.append(Type.TRAFFIC_RETURNED, data={"reason": "held too long"})  # type: ignore[assignment]  # what it returns is not looked at
    with pytest.raises(HeldError, match="held too long") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.HELD
    assert ends(run) == ["held"]


def test_an_unknown_step_asks_for_its_probe(run: Run, kernel: Kernel) -> None:
    kernel.does["blue-green"] = lambda: run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})  # type: ignore[assignment]  # what it returns is not looked at
    with pytest.raises(StepUnknownError, match=r"the end of blue-green\.deploy was not seen") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.UNKNOWN
    assert ends(run) == []


def test_before_traffic_moved_a_failure_is_a_failure(run: Run, kernel: Kernel) -> None:
    kernel.does["blue-green"] = kernel.fails("blue-green.deploy")
    with pytest.raises(NotPassedError, match=r"blue-green\.deploy is fail") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.FAILED
    assert f"deploykit resume {run.id}" in caught.value.mend


def test_with_all_traffic_on_the_candidate_a_shut_gate_waits_for_a_person(run: Run, kernel: Kernel) -> None:
    def shifted() -> None:
        begin_traffic(run)
        kernel.passes("blue-green")

    kernel.does |= {"blue-green": shifted, "watch": kernel.fails("success.error-rate", Outcome.INCONCLUSIVE)}
    with pytest.raises(Waiting, match="the candidate has all traffic") as caught:
        runner.forward(run, quiet)
    assert caught.value.exit_code is Exit.WAITING
    assert f"deploykit rollback {run.id}" in caught.value.mend
    assert ends(run) == []


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        (Type.ROLLBACK_ASKED, Type.TRAFFIC_RETURNED, RolledBackError),
        (Type.TRAFFIC_RETURNED, Type.STEP_INTENDED, HeldError),
    ],
)
def test_what_weighs_most_is_said(
    run: Run, kernel: Kernel, first: Type, second: Type, error: type[DeploykitError]
) -> None:
    def both() -> None:
        for kind in (first, second):
            run.append(kind, item="blue-green.deploy", step="blue-green.deploy", op="o", data={"reason": "so"})

    kernel.does["blue-green"] = both
    with pytest.raises(error):
        runner.forward(run, quiet)


# --- what refuses before a notebook is executed


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OPEN])
def test_an_ended_run_goes_no_further(run: Run, kernel: Kernel, status: Status) -> None:
    run.append(Type.RUN_ENDED, data={"status": status.value})
    with pytest.raises(RefusedError, match=f"the run is {status.value}"):
        runner.forward(run, quiet)
    assert kernel.executed == []


def test_a_sealed_run_goes_no_further(run: Run, kernel: Kernel) -> None:
    run.append(Type.RUN_SEALED)
    with pytest.raises(RefusedError, match="sealed"):
        runner.forward(run, quiet)
    assert kernel.executed == []


def test_a_run_that_is_being_rolled_back_names_the_command_that_finishes_it(run: Run, kernel: Kernel) -> None:
    run.append(Type.ROLLBACK_ASKED, data={"reason": "bob says so"})
    with pytest.raises(RefusedError, match="being rolled back") as caught:
        runner.forward(run, quiet)
    assert caught.value.mend == f"`deploykit rollback {run.id}`"
    assert kernel.executed == []


def test_what_the_guard_spooled_counts_before_anything_is_run(run: Run, kernel: Kernel) -> None:
    spool.write(run.store.folder, run.id, SERVICE, Type.ROLLBACK_ASKED, {"reason": "while the disk was full"})
    with pytest.raises(RefusedError, match="being rolled back"):
        runner.forward(run, quiet)


def test_without_approval_no_lock_is_taken_and_no_notebook_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.plan(approved=False)
    kernel = Kernel(run)
    monkeypatch.setattr(engine, "execute", kernel)
    with pytest.raises(Waiting):
        runner.forward(run, quiet)
    assert (kernel.executed, run.store.lock(*run.place)) == ([], None)


def test_another_runs_environment_is_not_entered(run: Run, kernel: Kernel) -> None:
    run.store.take_lock(run.place, "another-run", "bob")
    with pytest.raises(LockedError):
        runner.forward(run, quiet)
    assert kernel.executed == []


def test_changed_settings_run_no_notebook(world: World, run: Run, kernel: Kernel) -> None:
    world.edit("[shift]", "# a word\n[shift]")
    with pytest.raises(RefusedError, match="settings changed"):
        runner.forward(world.again(run), quiet)
    assert kernel.executed == []


def frozen(run: Run) -> Path:
    return run.folder / "frozen" / "03_blue_green.ipynb"


def smuggle(run: Run) -> None:
    notebook = json.loads(frozen(run).read_text("utf-8"))
    for source in ("pass", "import os"):
        tags = {"tags": ["injected-parameters"]}
        notebook["cells"].insert(2, {"cell_type": "code", "metadata": tags, "outputs": [], "source": source})
    frozen(run).write_text(json.dumps(notebook), "utf-8")


CHANGES: dict[str, Callable[[Run], object]] = {
    "changed": lambda run: frozen(run).write_text(frozen(run).read_text("utf-8").replace("gate", "done"), "utf-8"),
    "no notebook": lambda run: frozen(run).write_text("{", "utf-8"),
    "missing": lambda run: frozen(run).unlink(),
    "with code that calls itself parameters": smuggle,
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_frozen_notebook_that_is_not_the_planned_one_is_not_run(run: Run, kernel: Kernel, how: str) -> None:
    CHANGES[how](run)
    with pytest.raises(BrokenRecordError, match="not the one that was planned") as caught:
        runner.forward(run, quiet)
    assert caught.value.where == "frozen/03_blue_green.ipynb"
    assert kernel.executed == []


def test_outputs_in_a_frozen_notebook_change_nothing(run: Run, kernel: Kernel) -> None:
    notebook = json.loads(frozen(run).read_text("utf-8"))
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
    frozen(run).write_text(json.dumps(notebook), "utf-8")
    runner.forward(run, quiet)
    assert ends(run) == ["done"]


# --- weights are never left split


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, SystemExit, OSError])
def test_weights_that_a_notebook_left_split_are_sent_back_however_it_ended(
    world: World, run: Run, kernel: Kernel, error: type[BaseException] | None
) -> None:
    def split() -> None:
        begin_traffic(run)
        world.shift(10)
        if error:
            raise error

    kernel.does["blue-green"] = split
    with pytest.raises(error or HeldError):
        runner.forward(run, quiet)
    assert world.weights == LIVE
    assert run.state().returned == "03_blue_green ended while weights were split"


def test_a_replay_never_touches_traffic(world: World, run: Run, kernel: Kernel) -> None:
    world.shift(10)
    kernel.does["blue-green"] = lambda: None
    runner.execute(run, checklist().find_phase("blue-green"), "replay", quiet)
    assert kernel.executed == [("03_blue_green", "replay")]
    assert world.effects == []


def test_whole_weights_are_left_as_they_are(world: World, run: Run) -> None:
    for weights in (dict(LIVE), {"blue": 100, "green": 0}):
        world.weights.update(weights)  # type: ignore[arg-type]  # the keys are colours
        runner.make_whole(run, "it ended")
    assert world.effects == []


def test_split_weights_of_another_run_are_left_to_it(world: World, run: Run) -> None:
    world.shift(10)
    run.store.take_lock(run.place, "another-run", "bob")
    runner.make_whole(run, "it ended")
    assert world.effects == []


def test_a_full_disk_does_not_keep_weights_from_being_made_whole(world: World, run: Run) -> None:
    world.shift(10)

    def full(*_: object, **__: object) -> None:
        raise StoreError("database or disk is full")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("append", "lock", "lines"):
            patch.setattr(run.store, name, full)
        runner.make_whole(run, "it ended")
    assert world.effects == [BACK]


def test_a_silent_router_calls_for_a_person_once_traffic_was_moved(world: World, run: Run) -> None:
    world.broken["router.weights"] = Fault.DOWN
    runner.make_whole(run, "it ended")
    begin_traffic(run)
    with pytest.raises(RollbackIncompleteError, match="the weights are not known") as caught:
        runner.make_whole(run, "it ended")
    assert "all traffic belongs on green" in caught.value.mend


def test_the_guard_is_stood_down_once_weights_are_whole(run: Run) -> None:
    beat = run.settings.path(run.settings.state) / "guard" / f"{run.id}.beat"
    beat.parent.mkdir(parents=True, exist_ok=True)
    beat.write_text("{}", "utf-8")
    runner.make_whole(run, "it ended")
    assert not beat.exists()


# --- what is told meanwhile, and a replay apart


def test_each_item_is_told_as_it_settles(run: Run) -> None:
    told: list[str] = []
    run.settle(Result(item="blue-green.deploy", outcome=Outcome.PASS, summary="before"))
    run.state()
    with runner._told(run, told.append):
        run.settle(Result(item="blue-green.health", outcome=Outcome.FAIL, summary="ill"))
        progress.say(run, "10 %: pass")
    assert told == ["  fail         blue-green.health: ill", "  … 10 %: pass"]


def test_a_replay_that_fails_passes_on_why(world: World, run: Run) -> None:
    frozen(run).unlink()
    with pytest.raises(NotPassedError, match="not the one that was planned"):
        runner.replay_apart(run, checklist().find_phase("blue-green"))


def test_a_replay_of_a_run_that_there_is_not_says_so(world: World) -> None:
    command = [sys.executable, "-m", "deploykit.runner", str(world.settings_file), "no-such-run", "blue-green"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (Exit.USAGE, "'no-such-run' is not a run\n")
