"""One real sandbox for all, and a fresh project with its own journal for each test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploykit import settings as settings_module
from deploykit.checklist import checklist
from deploykit.journal.events import Actor, Event, Type
from deploykit.run import Run
from deploykit.sandbox import Sandbox
from deploykit.sandbox.project import Pace, write_project

ROOT = Path(__file__).parents[2]
#: Seconds instead of minutes; the proof of the error rate is to be had with a few hundred requests.
PACE = Pace(scale=60, step=4, watch=6, hold=6, guard=6, requests=20, error_rate=0.01)
#: These tests are about traffic, its watch and its way back; `test_scenarios` goes through everything.
KEPT = {"blue-green", "rollback"}
WATCHED = {"watch.errors", "watch.latency", "success.health", "success.error-rate", "success.latency"}
SPARED = [
    item.id
    for item in checklist().item
    if item.phase not in KEPT and item.id not in WATCHED and not item.id.startswith("rule.")
]


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path_factory.mktemp("sandbox"), rate=150, load_seconds=1800) as started:
        started.vendors.state("datadog", history=150)
        started.wait_for_metrics()
        yield started


@dataclass
class Project:
    """A team's repository that points at the sandbox, and the command line in it."""

    home: Path
    box: Sandbox

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, settings_module.VARIABLE: str(self.home / settings_module.FILE), "PYTHONPATH": str(ROOT)}

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "deploykit"]

    def set(self, **replaced: str) -> None:
        """Change values of `[shift]` before a plan is made."""
        file = self.home / settings_module.FILE
        before, head, after = file.read_text().partition("[shift]\n")
        for name, value in replaced.items():
            after, found = re.subn(rf"\b{name} = [^,\n}}]+", f"{name} = {value}", after)
            head += "" if found else f"{name} = {value}\n"
        file.write_text(before + head + after)

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.command, *words],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def plan(self, release: str, *, approved: bool = True) -> str:
        done = self.call("plan", "-e", "production", "-r", release, "--json")
        assert done.returncode == 0, done.stderr
        run = str(json.loads(done.stdout)["run"])
        if approved:
            signed = self.call("sign", run, "plan", "--key", "keys/anna")
            assert signed.returncode == 0, signed.stderr
        return run

    def run(self, run: str) -> Run:
        settings = settings_module.load(self.home / settings_module.FILE)
        return Run.find(settings, run, Actor(kind="service", id="test"))

    def events(self, run: str) -> tuple[Event, ...]:
        return self.run(run).events()

    def effects(self, run: str) -> list[str]:
        """The forward effects that were begun, in order."""
        return [event.step for event in self.events(run) if event.type is Type.STEP_INTENDED]

    def notebook(self, run: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run(run).folder / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
        return found

    def weights(self) -> dict[str, int]:
        return router_weights(self.box)


def router_weights(box: Sandbox) -> dict[str, int]:
    """What Envoy itself says, past our adapter."""
    entries = httpx.get(f"{box.addresses.envoy_admin_url}/runtime").json()["entries"]
    prefix = "routing.traffic_split."
    return {key.removeprefix(prefix): int(entries[key]["final_value"]) for key in entries if key.startswith(prefix)}


def open_project(box: Sandbox, home: Path, spared: Iterable[str] = SPARED) -> Project:
    """A fresh project without some items, with green live whatever the test before left behind."""
    prefix = "routing.traffic_split"
    query = f"{prefix}.green=100&{prefix}.blue=0"
    httpx.post(f"{box.addresses.envoy_admin_url}/runtime_modify?{query}").raise_for_status()
    for vendor in ("datadog", "slack", "railway", "github"):
        box.vendors.clear(vendor)
    file = write_project(home, box.addresses, runbooks=os.path.relpath(ROOT / "runbooks", home), pace=PACE)
    with file.open("a") as stream:
        stream.write("\n[left_out]\n" + "".join(f'"{item}" = "not what is tried here"\n' for item in spared))
    return Project(home, box)


@pytest.fixture
def project(box: Sandbox, tmp_path: Path) -> Iterator[Project]:
    """A fresh project; no test may leave weights split."""
    yield open_project(box, tmp_path)
    assert not [weight for weight in router_weights(box).values() if weight not in {0, 100}], "weights were left split"


@dataclass(frozen=True)
class Archived:
    """A healthy release, deployed headless and sealed; done once for all tests that read it."""

    project: Project
    run: str
    weights: dict[str, int]

    @property
    def folder(self) -> Path:
        return self.project.run(self.run).folder


@pytest.fixture(scope="session")
def archived(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    project = open_project(box, tmp_path_factory.mktemp("healthy"))
    run = project.plan("v1.5.0")
    done = project.call("run", run)
    assert done.returncode == 0, done.stderr
    weights = project.weights()
    closed = project.call("close", run)
    assert closed.returncode == 0, closed.stderr
    return Archived(project, run, weights)


def until(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, not for a time."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def start_shifting(project: Project) -> tuple[str, subprocess.Popen[str]]:
    """Start a run, and come back when its first traffic step has happened."""
    run = project.plan("v1.5.0")
    process = project.start("run", run)
    step, kind = "blue-green.traffic/10", Type.STEP_HAPPENED
    until(lambda: any(e.step == step and e.type is kind for e in project.events(run)), "the first traffic step")
    assert project.weights() == {"green": 90, "blue": 10}
    return run, process


@pytest.fixture
def shifting(project: Project) -> Iterator[tuple[Project, str, subprocess.Popen[str]]]:
    """A run in the middle of its first traffic step."""
    run, process = start_shifting(project)
    yield project, run, process
    if process.poll() is None:
        process.kill()
    process.communicate()
