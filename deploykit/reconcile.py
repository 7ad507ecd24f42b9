"""What is known of a run whose process ended unseen: journal, notebooks, weights and guard, laid side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploykit import executed
from deploykit.checklist import checklist
from deploykit.errors import BrokenRecordError, DeploykitError
from deploykit.executed import CellStatus
from deploykit.guard import GuardProcess
from deploykit.journal.events import Type
from deploykit.model import Json, sha256
from deploykit.providers import connect
from deploykit.returning import is_split
from deploykit.run import Run

NOTEBOOKS = "notebooks"


def look(run: Run) -> Json:
    """What can be seen from outside of the run's own processes; nothing is changed.

    Returns:
        `notebooks`: a line for each that has not simply completed; `weights` and `guard`: a line each while the run is
        open and has moved traffic, else empty.
    """
    state = run.state()
    asked = moved_traffic(state.steps) and not state.sealed
    return {
        "notebooks": [line for path in _notebooks(run) if (line := _line(path))],
        "weights": _weights(run) if asked else "",
        "guard": ("alive" if GuardProcess(run).alive() else "not there") if asked else "",
    }


def mend(run: Run) -> None:
    """Say in each notebook whose process was killed that it was, and note so in the journal."""
    phases = {phase.notebook: phase.id for phase in checklist().phase}
    for path in _notebooks(run):
        notebook = None
        with suppress(BrokenRecordError):  # `status`, `report` and `verify` tell of it, and a rollback goes on
            notebook = executed.mend(path)
        if notebook is not None:
            cells = [(index, executed.status(cell)) for index, cell in executed.code(notebook)]
            archived(run, phases.get(path.stem, ""), path, CellStatus.DIED, cells, {"reason": executed.KILLED.reason})


def archived(
    run: Run, phase: str, path: Path, status: CellStatus, cells: Iterable[tuple[int, CellStatus | None]], more: Json
) -> None:
    """Note in the journal what an executed notebook says, and its hash."""
    data: Json = {
        "name": path.name,
        "sha256": sha256(path.read_bytes()),
        "status": status.value,
        "cells": [{"cell": index, "status": word.value} for index, word in cells if word],
        **{name: value for name, value in more.items() if value},
    }
    run.append(Type.NOTEBOOK_ARCHIVED, item=phase, data=data)


def moved_traffic(steps: Iterable[str]) -> bool:
    """Whether one of these steps is of traffic."""
    return any(step.startswith("blue-green.traffic/") for step in steps)


def _notebooks(run: Run) -> Iterator[Path]:
    """The executed notebooks, without those that a person worked in."""
    found = sorted((run.folder / NOTEBOOKS).glob("*.ipynb"))
    return (path for path in found if not path.name.endswith(".interactive.ipynb"))


def _line(path: Path) -> str:
    """What a notebook says of itself, unless it completed."""
    try:
        notebook, alive = executed.read(path)
    except DeploykitError as error:
        return f"{path.name}: {error.what}"
    status, reason = executed.status(notebook), notebook["metadata"].get(executed.OURS, {}).get("reason", "")
    if status is CellStatus.RUNNING:
        where = _where(notebook, executed.running(notebook))
        said = f"under way{where}" if alive else f"{CellStatus.DIED}{where} ({executed.KILLED.reason})"
        return f"{path.name}: {said}"
    if status in {None, CellStatus.COMPLETED}:
        return ""
    return f"{path.name}: {status}: {reason}"


def _where(notebook: Any, index: int | None) -> str:
    """The cell, by its place among the code cells and its first line."""
    if index is None:
        return ", between two cells"
    number = [place for place, _ in executed.code(notebook)].index(index) + 1
    source = "".join(notebook["cells"][index]["source"]).strip().splitlines() or [""]
    return f", at code cell {number}: {source[0]}"


def _weights(run: Run) -> str:
    try:
        found = connect(run.settings, run.environment).router.weights()
    except DeploykitError as error:
        return f"not known: {error.what}"
    told = ", ".join(f"{colour} {weight}" for colour, weight in sorted(found.items()))
    return f"{'split' if is_split(found) else 'whole'}: {told}"
