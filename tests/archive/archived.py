"""A whole run, from its approval to its seal, for the tests that read archives."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import deploykit.archive
from deploykit.checklist import checklist
from deploykit.files import write_atomically
from deploykit.journal.events import Type
from deploykit.model import (
    Answer,
    DecisionKind,
    Evidence,
    Figure,
    Finding,
    Json,
    Outcome,
    Series,
    Table,
    Verdict,
    sha256,
)
from deploykit.run import Run
from deploykit.signoff.policy import decide
from tests.signoff.team import Team, settle

START = 1_790_000_000.0


def figure(title: str = "Error share") -> Figure:
    points = tuple((START + 20 * i, 0.0002 + (0.002 if i > 20 else 0)) for i in range(40))
    series = (Series(name="errors, candidate", unit="fraction", query="sum:errors{blue}", points=points),)
    return Figure(title=title, series=series, limit=0.001, marks=((START + 200, "traffic 10 %"),))


def rich() -> Evidence:
    """Evidence with everything that evidence can have."""
    finding = Finding(
        metric="errors", answer=Answer.PASS, reason="0.02 % under 0.1 %", numbers={"rate": 0.0002, "n": None}
    )
    return Evidence(
        facts={"requests": 30000, "share": 0.0002, "versions": ["v1", "v2"]},
        tables=(Table(title="Endpoints", columns=("path", "ms"), rows=(("/health", 12), ("/cart", None))),),
        figures=(figure(), figure("Again")),
        verdict=Verdict(answer=Answer.PASS, reason="nothing speaks against it", findings=(finding,)),
        text="smoke: 3 passed",
        links={"dashboard": "https://metrics.example.com/d/1"},
    )


def notebook(text: str = "hello", status: str = "completed") -> bytes:
    output = {"output_type": "stream", "name": "stdout", "text": [text + "\n"]}
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "a",
        "metadata": {"papermill": {"status": status}},
        "outputs": [output] if text else [],
        "source": ["phase.gate()"],
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def keep_notebook(run: Run, name: str, data: bytes) -> None:
    write_atomically(run.folder / "notebooks" / name, data)
    run.append(Type.NOTEBOOK_ARCHIVED, data={"name": name, "sha256": sha256(data)})


def go_through(run: Run, team: Team) -> None:
    """Everything that a good run does until its end."""
    decide(run, "plan", DecisionKind.SIGNED, key=team.key("ann"), comment="read it")
    run.take_lock()
    run.append(Type.PHASE_STARTED, item="blue-green")
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="o1", data={})
    run.append(Type.STEP_HAPPENED, item="blue-green.traffic", step="blue-green.traffic/10", op="o1")
    settle(run, "blue-green.traffic/10", Outcome.PASS, rich(), "10 % held for 60 s")
    for item in checklist().item:
        if item.when == "always" and item.id != "watch.errors":
            settle(run, item.id, Outcome.PASS)
    settle(run, "watch.errors", Outcome.FAIL, rich(), "errors rose")
    decide(run, "watch.errors", DecisionKind.OVERRIDDEN, key=team.key("ann"), comment="known noise")
    decide(run, "watch.errors", DecisionKind.REVIEWED, key=team.key("dev"), comment="it was")
    run.append(Type.PHASE_ENDED, item="blue-green", data={"result": "passed"})
    keep_notebook(run, "03_blue_green.ipynb", notebook())
    write_atomically(run.folder / "work" / "03_blue_green.ipynb", notebook("mine"))
    write_atomically(run.folder / "work" / "04_watch.ipynb", notebook(""))
    run.append(Type.WITNESS_GIVEN, data=_seen(run))
    run.append(Type.RUN_ENDED, data={"status": "done"})


def _seen(run: Run) -> Json:
    last = run.events()[-1]
    return {"seq": last.seq, "hash": last.hash, "place": "chat"}


def closed_with(team: Team, meanwhile: Callable[[Run], None], *, last: bool = False) -> Path:
    """The folder of a run that went through, in which something else happened as well, first or last."""
    with team.run() as run:
        if not last:
            meanwhile(run)
        go_through(run, team)
        if last:
            meanwhile(run)
        with past_the_product():
            deploykit.archive.close(run)
        return run.folder


def past_the_product() -> AbstractContextManager[object]:
    """Sealed by somebody who has the key and the store, and does not care what holds."""
    return patch("deploykit.archive._require_decisions")


def sealed(home: Path) -> tuple[Team, Path]:
    """A team and the folder of its sealed run."""
    team = Team(home)
    with team.run() as run:
        go_through(run, team)
        deploykit.archive.close(run)
        return team, run.folder
