"""Kills: around every step of every action in every way, at a thousand random instants, and in the full sandbox.

`DEPLOYKIT_KILLS` is how many random ones there are. The sandbox takes a deployment for each kill, so half an hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploykit.checklist import checklist
from deploykit.databases import REVIEWED
from deploykit.errors import Exit
from deploykit.journal.events import Type
from deploykit.model import Kind
from deploykit.sandbox.box import Sandbox
from tests.e2e.conftest import Project, open_project, until
from tests.kills.filed import ACTIONS, Aim, environment
from tests.kills.kernels import in_jupyter, under_papermill
from tests.kills.matrix import Tally, Way, matrix, plainly, survive

#: Where the full sandbox is killed: around an effect, of each step that goes forward, and of each that goes back.
AROUND = ("between intent and effect", "between effect and outcome")
FORWARD = (
    "prepare.announced",
    "database.backup",
    "database.migrate/0002",
    "blue-green.deploy",
    *(f"blue-green.traffic/{share}" for share in (10, 50, 100)),
    *(f"finish.log/{place}" for place in ("repository", "errors", "events")),
    "finish.announced",
)
BACKWARD = (
    "rollback.platform",
    "rollback.stop-traffic",
    "rollback.migration/0002",
    *(f"rollback.restart/{part}" for part in ("green", "traffic", "blue")),
    "rollback.notified/chat",
    "rollback.notified/pager",
    "rollback.incident-report",
    "rollback.post-mortem/calendar",
    "rollback.post-mortem",
)
#: What the sandbox is not asked here; what is done, and what that rests on, is.
SPARED = [
    item.id
    for item in checklist().item
    if item.kind not in {Kind.ACTION, Kind.POLICY}
    and item.phase not in {"blue-green", "rollback"}
    and item.id != REVIEWED
]
WAYS: dict[str, tuple[Way, bool]] = {
    "a plain process": (plainly, False),
    "papermill, runner and kernel": (under_papermill, True),
    "a person's kernel": (in_jupyter, False),
}


def say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


@pytest.mark.parametrize("way", WAYS)
def test_the_matrix(way: str, team_folder: Path, tmp_path: Path) -> None:
    kill, with_parent = WAYS[way]
    ends: Counter[str] = Counter()
    for item in ACTIONS:
        ends.update(matrix(team_folder, tmp_path / item.id, item, kill, with_parent=with_parent))
    good = ends["resumed"] + ends["unknown"]
    told = ", ".join(f"{count} {end}" for end, count in ends.items())
    say(f"{way}: {good} of {ends.total()} ({told}); 0 effects twice, 0 acknowledged events lost")
    assert good == ends.total()


def test_random_instants(team_folder: Path, tmp_path: Path) -> None:
    tally, wanted = Tally(), int(os.environ.get("DEPLOYKIT_KILLS", "1000"))
    while tally.kills < wanted:
        survive(team_folder, tmp_path / f"team-{tally.runs}", Random(tally.runs), tally)
    say(str(tally))


def test_the_full_sandbox(tmp_path: Path) -> None:
    """v1.5.0 all the way forward and all the way back, with its migration; killed once on each way."""
    assert len(FORWARD) == len(BACKWARD)
    with Sandbox.start(tmp_path / "sandbox", rate=150, load_seconds=7200) as box:
        box.vendors.state("datadog", history=150)
        box.wait_for_metrics()
        for point in AROUND:
            for number, (there, back) in enumerate(zip(FORWARD, BACKWARD, strict=True)):
                project = open_project(box, tmp_path / f"{point}-{number}", SPARED)
                told = _killed_in(project, Aim(there, point, with_parent=True), Aim(back, point, with_parent=True))
                say(f"{there} and {back}, {point}: {told}")


def _killed_in(project: Project, there: Aim, back: Aim) -> str:
    """Go forward and back through both kills, and say what was done how often."""
    project.set(guard='"60s"')
    run = project.plan("v1.5.0")
    _go_on(project, run, there, "run")
    _go_on(project, run, back, "rollback", run, "--database")
    happened = [event.step for event in project.events(run) if event.type is Type.STEP_HAPPENED]
    assert len(happened) == len(set(happened)), happened
    assert {*FORWARD, *BACKWARD} <= set(happened), {*FORWARD, *BACKWARD} - set(happened)
    until(lambda: project.weights() == {"green": 100, "blue": 0}, "all traffic on live")
    return f"{len(happened)} effects, each once; weights {project.weights()}"


def _go_on(project: Project, run: str, aim: Aim, *words: str) -> None:
    """Until it is done: past the kill, and past what a person signs."""
    aimed, killed = {**project.environment, **environment(project.home, aim, real=True)}, False
    quiet = subprocess.DEVNULL
    for _ in range(5):
        process = subprocess.Popen(
            [*project.command, *words, *(() if run in words else (run,))],
            env=project.environment if killed else aimed,
            cwd=project.home,
            stdout=quiet,
            stderr=quiet,
        )
        code = process.wait(timeout=300)
        if code == Exit.DONE:
            break
        killed = killed or code == -signal.SIGKILL
        if code == Exit.WAITING:
            signed = project.call("sign", run, REVIEWED, "--key", "keys/anna")
            assert signed.returncode == Exit.DONE, signed.stderr
        else:
            assert code == -signal.SIGKILL, code
    assert (code, killed) == (Exit.DONE, True), aim
