"""What is known after a kill: which cell, which weights, whether the guard lives; and that the archive is mended."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploykit import archive, executed, reconcile
from deploykit.executed import CellStatus, Ending
from deploykit.guard import GuardProcess
from deploykit.journal.events import Type
from deploykit.journal.state import Status
from deploykit.run import Run
from tests.world import Fault, World

NAME = "03_blue_green.ipynb"
#: The statuses of a notebook that came to an end of its own, but not a good one.
ENDED = [s for s in CellStatus if s not in {CellStatus.COMPLETED, CellStatus.RUNNING, CellStatus.NEVER_RUN}]


@pytest.fixture
def run(world: World) -> Run:
    return world.plan()


def notebook(run: Run, *statuses: CellStatus) -> Path:
    """An executed notebook whose cells have these statuses; it is under way while one of them is."""
    cells: list[Any] = [{"cell_type": "markdown", "metadata": {}, "source": "# 03"}]
    for number, status in enumerate(statuses):
        told = {"deploykit": {"status": status.value}, "papermill": {"status": status.value}}
        source = [f"phase.act({number})\n", "more"]
        cells.append({"cell_type": "code", "metadata": told, "source": source, "outputs": []})
    whole = CellStatus.RUNNING if CellStatus.RUNNING in statuses else CellStatus.COMPLETED
    metadata = {"deploykit": {"status": whole.value}, "papermill": {}}
    path = run.folder / "notebooks" / NAME
    path.parent.mkdir(exist_ok=True)
    tree = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(tree), "utf-8")
    return path


def killed(run: Run) -> Path:
    return notebook(run, CellStatus.COMPLETED, CellStatus.RUNNING, CellStatus.NEVER_RUN)


def begin_traffic(run: Run) -> None:
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="op", data={})


def lines(run: Run) -> list[Any]:
    found = reconcile.look(run)["notebooks"]
    assert isinstance(found, list)
    return found


# --- what is said


def test_the_cell_that_was_running_is_named(run: Run) -> None:
    killed(run)
    (line,) = lines(run)
    assert line.startswith(f"{NAME}: died, at code cell 2: phase.act(1) (no end was written")


def test_a_notebook_that_somebody_executes_is_under_way(run: Run) -> None:
    log = killed(run).with_name(f".{NAME}.log")
    with log.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert lines(run) == [f"{NAME}: under way, at code cell 2: phase.act(1)"]
        reconcile.mend(run)
    assert [event for event in run.events() if event.type is Type.NOTEBOOK_ARCHIVED] == []


@pytest.mark.parametrize("status", ENDED)
def test_each_way_to_end_is_said_in_its_own_word(run: Run, status: CellStatus) -> None:
    path = notebook(run, CellStatus.COMPLETED, CellStatus.NEVER_RUN)
    tree = json.loads(path.read_bytes())
    executed.stop(tree, Ending(status, "the reason"), 2)
    path.write_text(json.dumps(tree), "utf-8")
    assert lines(run) == [f"{NAME}: {status.value}: the reason"]


def test_what_completed_and_what_a_person_worked_in_is_not_told_of(run: Run) -> None:
    notebook(run, CellStatus.COMPLETED)
    (run.folder / "notebooks" / "03.interactive.ipynb").write_text("{}", "utf-8")
    assert lines(run) == []


def test_a_notebook_that_cannot_be_read_is_told_of_and_keeps_nothing_from_going_on(run: Run) -> None:
    killed(run).write_text("{", "utf-8")
    (line,) = lines(run)
    assert "not a notebook that can be read" in line
    reconcile.mend(run)


@pytest.mark.parametrize(
    ("blue", "said"),
    [(0, "whole: blue 0, green 100"), (10, "split: blue 10, green 90"), (100, "whole: blue 100, green 0")],
)
def test_weights_are_read_from_the_router_once_traffic_was_begun(world: World, run: Run, blue: int, said: str) -> None:
    world.shift(blue)
    assert reconcile.look(run)["weights"] == ""
    begin_traffic(run)
    assert reconcile.look(run)["weights"] == said


def test_a_router_that_does_not_answer_is_said_so(world: World, run: Run) -> None:
    begin_traffic(run)
    world.broken["router.weights"] = Fault.DOWN
    assert reconcile.look(run)["weights"] == "not known: router.weights did not answer"


@pytest.fixture
def guarded(run: Run) -> Iterator[Run]:
    folder = run.settings.path(run.settings.state) / "guard"
    folder.mkdir(parents=True)
    with (folder / f"{run.id}.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield run


def test_the_guard_is_said_to_live_when_it_does(guarded: Run) -> None:
    begin_traffic(guarded)
    assert reconcile.look(guarded)["guard"] == "alive"


def test_a_guard_that_is_gone_is_said_to_be(run: Run) -> None:
    begin_traffic(run)
    assert not GuardProcess(run).alive()
    assert reconcile.look(run)["guard"] == "not there"


# --- what is mended


def test_what_was_killed_is_mended_once_in_file_and_journal(run: Run) -> None:
    path = killed(run)
    reconcile.mend(run)
    reconcile.mend(run)
    (event,) = (event for event in run.events() if event.type is Type.NOTEBOOK_ARCHIVED)
    assert (event.item, event.data["name"], event.data["status"]) == ("blue-green", NAME, "died")
    assert event.data["cells"] == [
        {"cell": 1, "status": "completed"},
        {"cell": 2, "status": "died"},
        {"cell": 3, "status": "never-run"},
    ]
    mended, _ = executed.read(path)
    assert "died" in json.dumps(mended["cells"][2]["outputs"])
    assert mended["cells"][2]["metadata"]["papermill"]["status"] == "failed"
    assert mended["metadata"]["papermill"]["exception"] is True


def test_closing_mends(run: Run) -> None:
    path = killed(run)
    run.append(Type.RUN_ENDED, data={"status": Status.FAILED.value})
    archive.close(run)
    assert executed.status(json.loads(path.read_bytes())) is CellStatus.DIED
    report = (run.folder / "report.html").read_text("utf-8")
    assert "1 completed, 1 died, 1 never-run" in report
    assert f"notebook {NAME}: died: no end was written" in report
