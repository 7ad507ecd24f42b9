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

from deploykit.errors import Exit
from deploykit.journal.events import Type
from deploykit.sandbox.box import Sandbox
from tests.e2e.conftest import Project, open_project, until
from tests.kills.filed import ACTIONS, POINTS, Aim, environment
from tests.kills.kernels import in_jupyter, under_papermill
from tests.kills.matrix import Tally, Way, matrix, plainly, survive

#: What a rollback does that leaves the database where it is, as the judge's does.
BACKWARD = (
    "rollback.platform",
    "rollback.notified/chat",
    "rollback.notified/pager",
    "rollback.incident-report",
    "rollback.post-mortem/calendar",
    "rollback.post-mortem",
)
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
    """v1.5.0 for what goes forward, v1.6.0, which is rolled back by the judge, for what a rollback does."""
    forward = ["blue-green.deploy", *(f"blue-green.traffic/{share}" for share in (10, 50, 100))]
    releases = dict.fromkeys(forward, "v1.5.0")
    releases |= dict.fromkeys(BACKWARD, "v1.6.0")
    kills = [(Aim(step, point, with_parent=True), release) for step, release in releases.items() for point in POINTS]
    with Sandbox.start(tmp_path / "sandbox", rate=150, load_seconds=7200) as box:
        for number, (aim, release) in enumerate(kills):
            project = open_project(box, tmp_path / f"{number}")
            say(f"{aim.step}, {aim.point}: {_killed_in(project, aim, release)}")


def _killed_in(project: Project, aim: Aim, release: str) -> str:
    """Run until the kill, go on to the end, and say what was done how often."""
    project.set(guard='"60s"')
    run = project.plan(release)
    aimed = {**project.environment, **environment(project.home, aim, real=True)}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*project.command, "run", run], env=aimed, cwd=project.home, stderr=quiet)
    assert process.wait(timeout=300) == -signal.SIGKILL
    going_on = ("resume",) if release == "v1.5.0" else ("rollback",)
    done = project.call(*going_on, run)
    assert done.returncode == Exit.DONE, done.stderr
    happened = [event.step for event in project.events(run) if event.type is Type.STEP_HAPPENED]
    assert len(happened) == len(set(happened)), happened
    until(lambda: sorted(project.weights().values()) == [0, 100], "whole weights")
    return f"{len(happened)} effects, each once; weights {project.weights()}"
