"""What ends in the middle of a shift: traffic goes back, the archive says so, and nothing runs twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploykit.errors import Exit
from deploykit.journal.events import Type
from tests.e2e.conftest import Project, start_shifting, until

pytestmark = pytest.mark.sandbox
LIVE = {"green": 100, "blue": 0}
Shifting = tuple[Project, str, subprocess.Popen[str]]


def kernel_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The notebook's kernel below a runner."""
    kernels = [c for c in psutil.Process(process.pid).children() if "kernelside.py" in " ".join(c.cmdline())]
    assert len(kernels) == 1
    return kernels[0]


def cell_statuses(notebook: dict[str, Any]) -> list[str]:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell["metadata"]["deploykit"]["status"] for cell in cells]


def ended(shifting: Shifting, code: Exit, status: str) -> None:
    """What is true after each of them."""
    project, run, process = shifting
    _, said = process.communicate(timeout=90)
    assert process.returncode == code, said
    assert project.weights() == LIVE
    statuses = cell_statuses(project.notebook(run, "03_blue_green"))
    assert statuses[-2:] == [status, "never-run"]
    nothing_twice(project, run)


def nothing_twice(project: Project, run: str) -> None:
    before = project.effects(run)
    again = project.call("resume", run)
    assert again.returncode in {Exit.HELD, Exit.REFUSED}, again.stderr
    assert project.effects(run) == before == ["blue-green.deploy", "blue-green.traffic/10"]
    assert project.weights() == LIVE


def test_the_kernel_is_killed(shifting: Shifting) -> None:
    kernel_of(shifting[2]).kill()
    ended(shifting, Exit.HELD, "died")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_runner_is_told_to_stop(shifting: Shifting, number: signal.Signals) -> None:
    shifting[2].send_signal(number)
    ended(shifting, Exit.HELD, "interrupted")


def test_a_cell_takes_too_long(project: Project) -> None:
    project.set(cell_timeout='"15s"', seconds="900")  # the cells before it need less, the shift needs 45 s
    run = project.plan("v1.5.0")
    ended((project, run, project.start("run", run)), Exit.HELD, "timed-out")


def test_the_runner_is_killed_and_the_guard_returns_traffic(shifting: Shifting) -> None:
    project, run, process = shifting
    process.kill()
    process.wait()
    until(lambda: project.weights() == LIVE, "the guard")
    until(lambda: any(e.type is Type.TRAFFIC_RETURNED for e in project.events(run)), "its word in the journal")
    returned = [e for e in project.events(run) if e.type is Type.TRAFFIC_RETURNED]
    assert [e.actor.kind for e in returned] == ["guard"]
    statuses = cell_statuses(project.notebook(run, "03_blue_green"))
    assert statuses[-2:] == ["running", "never-run"]
    known = json.loads(project.call("status", run, "--json").stdout)
    assert known["weights"] == "whole: blue 0, green 100"
    (told,) = known["notebooks"]
    assert "died" in told
    assert 'phase.act("blue-green.traffic")' in told
    nothing_twice(project, run)
    assert any(e.data.get("status") == "died" for e in project.events(run) if e.type is Type.NOTEBOOK_ARCHIVED)


def test_a_resume_before_the_guard_acts_goes_on_where_it_was(project: Project) -> None:
    project.set(guard='"60s"')
    run, process = start_shifting(project)
    kernel = kernel_of(process)
    process.kill()
    process.communicate()
    until(lambda: not kernel.is_running(), "the kernel to notice")
    done = project.call("resume", run)
    assert done.returncode == Exit.DONE, done.stderr
    steps = ["blue-green.deploy", *(f"blue-green.traffic/{share}" for share in (10, 50, 100))]
    assert project.effects(run) == steps


def test_a_rollback_from_another_shell_stops_the_run(shifting: Shifting) -> None:
    project, run, process = shifting
    rolled = project.call("rollback", run, "--traffic-only")
    assert rolled.returncode == Exit.DONE, rolled.stderr
    assert project.weights() == LIVE
    _, said = process.communicate(timeout=90)
    assert process.returncode == Exit.ROLLED_BACK, said
    assert project.weights() == LIVE


def test_papermill_runs_a_notebook_with_our_engine(project: Project, tmp_path: Path) -> None:
    run = project.plan("v1.5.0")
    notebook = project.run(run).folder / "frozen" / "03_blue_green.ipynb"
    command = [sys.executable, "-m", "papermill", "--engine", "deploykit", str(notebook), str(tmp_path / "out.ipynb")]
    done = subprocess.run(
        [*command, "-p", "run", run],
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert project.run(run).state().phases["blue-green"] == "passed"
