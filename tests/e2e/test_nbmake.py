"""nbmake over the runbook: each notebook as it stands in the repository, on a run that a fixture opened."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploykit.errors import Exit
from tests.e2e.conftest import ROOT, Project

pytestmark = pytest.mark.sandbox


def nbmake(project: Project, run: str, *names: str) -> subprocess.CompletedProcess[str]:
    notebooks = [str(ROOT / "runbooks" / f"{name}.ipynb") for name in names]
    options = ["--nbmake", "--nbmake-timeout=120", "-q", "-p", "no:cacheprovider", f"--rootdir={project.home}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", *options, *notebooks],
        env=project.environment | {"DEPLOYKIT_RUN": run, "DEPLOYKIT_MODE": "run"},
        cwd=project.home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_forward_notebooks_run_as_they_stand(project: Project) -> None:
    run = project.plan("v1.5.0")
    done = nbmake(project, run, "03_blue_green", "04_watch")
    assert done.returncode == 0, done.stdout
    phases = project.run(run).state().phases
    assert (phases["blue-green"], phases["watch"]) == ("passed", "passed")


def test_the_rollback_notebook_runs_as_it_stands(project: Project) -> None:
    run = project.plan("v1.5.0")
    assert project.call("rollback", run, "--traffic-only").returncode == Exit.DONE
    done = nbmake(project, run, "90_rollback")
    assert done.returncode == 0, done.stdout
    assert project.run(run).state().phases["rollback"] == "passed"
