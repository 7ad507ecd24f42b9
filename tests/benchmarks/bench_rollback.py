"""From the shell to the last request that the candidate served, seen by the users of the sandbox.

`DEPLOYKIT_ROLLBACKS` is how many of each kind, `DEPLOYKIT_BAD` how many releases that fail are sent back by the judge.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import nbformat
import pytest

from deploykit.errors import Exit
from deploykit.journal.events import Type
from deploykit.sandbox import Sandbox
from deploykit.sandbox.addresses import VENDORS
from tests.e2e.conftest import Project, open_project, until

COLD = int(os.environ.get("DEPLOYKIT_ROLLBACKS", "20"))
BAD = int(os.environ.get("DEPLOYKIT_BAD", "20"))
STEP = "blue-green.traffic/50"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path_factory.mktemp("sandbox"), rate=150, load_seconds=7200) as started:
        started.vendors.state("datadog", history=150)
        started.wait_for_metrics()
        yield started


def say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def told(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p90 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
    return f"median {statistics.median(ordered):.2f} s, p90 {p90:.2f}, longest {ordered[-1]:.2f} ({len(ordered)} times)"


def split(project: Project) -> str:
    """A run in the middle of its shift, as the journal has it after a step: half of the traffic is the candidate's."""
    name = project.plan("v1.5.0", approved=False)
    run = project.run(name)
    run.intend(item="blue-green.traffic", step=STEP, op="op", data={})
    run.append(Type.STEP_HAPPENED, item="blue-green.traffic", step=STEP, op="op")
    run.store.close()
    weights = {"routing.traffic_split.blue": 50, "routing.traffic_split.green": 50}
    httpx.post(f"{project.box.addresses.envoy_admin_url}/runtime_modify", params=weights).raise_for_status()
    began = time.time()
    until(lambda: last_of_blue(project.box) > began, "the candidate's requests")
    return name


def last_of_blue(box: Sandbox) -> float:
    """When the candidate last answered a user."""
    return max((tally.last for tally in box.served().get("blue", {}).values()), default=0.0)


def cold(project: Project, *, vendors: bool) -> float:
    """Seconds from the start of the shell's process to the candidate's last answer."""
    name = split(project)
    for vendor in () if vendors else VENDORS:
        project.box.vendors.stop(vendor)
    try:
        began = time.time()
        process = project.start("rollback", name, "--traffic-only")
        said = process.communicate(timeout=300)
        assert process.returncode == Exit.DONE, said
        assert project.weights() == {"green": 100, "blue": 0}
        time.sleep(0.6)  # the users' tally is a quarter of a second old
        return last_of_blue(project.box) - began
    finally:
        for vendor in () if vendors else VENDORS:
            project.box.vendors.start(vendor)


def papermill(folder: Path) -> float:
    """Seconds that papermill takes for a notebook without a cell."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "empty.ipynb")
    began = time.time()
    command = [sys.executable, "-m", "papermill", "empty.ipynb", "out.ipynb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.time() - began


def test_from_the_shell(box: Sandbox, tmp_path: Path) -> None:
    project = open_project(box, tmp_path / "team")
    up, alone, beside = [], [], []
    for _ in range(COLD):
        up.append(cold(project, vendors=True))
        alone.append(cold(project, vendors=False))
        beside.append(papermill(tmp_path))
    say(
        f"`deploykit rollback`, cold, half of 150 requests/s on the candidate, to its last answer: {told(up)}; "
        f"every vendor unreachable: {told(alone)}; papermill, an empty notebook: {told(beside)}"
    )
    assert statistics.median(up) < 2
    assert statistics.median(alone) < 2


def test_from_the_first_bad_request(box: Sandbox, tmp_path: Path) -> None:
    """v1.6.0 fails one in ten; the judge sees it, and traffic goes back. His part, and ours."""
    whole, judged, ours = [], [], []
    for number in range(BAD):
        project = open_project(box, tmp_path / f"{number}")
        started = time.time()
        name = project.plan("v1.6.0")
        done = project.call("run", name)
        assert done.returncode == Exit.ROLLED_BACK, done.stderr
        (asked,) = [event for event in project.events(name) if event.type is Type.ROLLBACK_ASKED]
        said = datetime.fromisoformat(asked.at).timestamp()
        first = first_bad(box, started)
        last = last_of_blue(box)
        whole.append(last - first)
        judged.append(said - first)
        ours.append(last - said)
    say(
        f"from the first bad request to the candidate's last answer: {told(whole)}; "
        f"until the judge said so: {told(judged)}; from there on: {told(ours)}"
    )


def first_bad(box: Sandbox, since: float) -> float:
    """When a user first met a failure of the release in this run, from the lines a second of the load.

    A second's line says when the first failure in it came.
    """
    for text in (box.addresses.folder / "load-seconds.jsonl").read_text("utf-8").splitlines():
        line = json.loads(text)
        failed = line["served"].get("blue", {}).get("v1.6.0", {}).get("failed", 0.0)
        if failed >= since:
            return float(failed)
    pytest.fail("no user met a failure")
