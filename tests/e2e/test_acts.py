"""The two acts, as a person types them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploykit.errors import Exit
from deploykit.model import Outcome
from tests.e2e.conftest import Archived, Project

pytestmark = pytest.mark.sandbox


def changes(project: Project) -> list[str]:
    """Every changing operation that a vendor saw."""
    vendors = ("railway", "slack", "datadog", "github")
    return [call.name for vendor in vendors for call in project.box.vendors.calls(vendor) if call.changing]


def test_without_a_signature_nothing_happens_anywhere(project: Project) -> None:
    run = project.plan("v1.5.0", approved=False)
    before, events = changes(project), len(project.events(run))
    done = project.call("run", run)
    assert done.returncode == Exit.WAITING
    assert "anna@sandbox.invalid" in done.stderr
    assert f"deploykit sign {run} plan" in done.stderr
    assert changes(project) == before
    assert project.weights() == {"green": 100, "blue": 0}
    assert len(project.events(run)) == events


def test_a_healthy_release_gets_all_traffic_and_leaves_a_record_that_holds(archived: Archived) -> None:
    project, run, folder = archived.project, archived.run, archived.folder
    assert archived.weights == {"green": 0, "blue": 100}
    steps = ["blue-green.deploy", *(f"blue-green.traffic/{share}" for share in (10, 50, 100))]
    assert project.effects(run) == steps
    assert {s.outcome for s in project.run(run).state().items.values()} == {
        Outcome.PASS,
        Outcome.NOT_NEEDED,
        Outcome.LEFT_OUT,
    }
    verified = project.call("verify", str(folder), "--allowed-signers", "allowed_signers")
    assert verified.returncode == Exit.DONE, verified.stdout
    sums = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False, capture_output=True)
    assert sums.returncode == 0, sums.stderr
    read_back(folder)


def read_back(folder: Path) -> None:
    """scrapbook finds each item's outcome and the verdicts; a frame tells runs apart."""
    import scrapbook  # noqa: PLC0415 - three seconds that only this test needs

    import deploykit  # noqa: PLC0415 - beside the line above

    scraps = scrapbook.read_notebook(str(folder / "notebooks" / "03_blue_green.ipynb")).scraps
    assert scraps["blue-green.traffic"].data["outcome"] == "pass"
    assert scraps["blue-green.traffic/verdict"].data["answer"] == "pass"
    frame = deploykit.runs_frame(folder.parents[1])
    assert list(frame["blue-green.traffic"]) == ["pass"]


def test_a_release_that_does_not_start_gets_no_traffic(project: Project) -> None:
    run = project.plan("v1.8.0")
    done = project.call("run", run)
    assert done.returncode == Exit.FAILED, done.stderr
    assert "blue-green.traffic/10" not in project.effects(run)
    assert project.weights() == {"green": 100, "blue": 0}


def test_without_metrics_the_run_holds_and_returns_traffic(
    shifting: tuple[Project, str, subprocess.Popen[str]],
) -> None:
    project, run, process = shifting
    project.box.vendors.stop("datadog")
    try:
        _, said = process.communicate(timeout=120)
    finally:
        project.box.vendors.start("datadog")
    assert process.returncode == Exit.HELD, said
    assert project.weights() == {"green": 100, "blue": 0}
    assert project.run(run).state().items["blue-green.traffic"].outcome is Outcome.INCONCLUSIVE
    again = project.call("resume", run)
    assert again.returncode == Exit.REFUSED
    assert project.effects(run) == ["blue-green.deploy", "blue-green.traffic/10"]
