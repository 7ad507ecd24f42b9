"""Who dies while weights are split, and how long traffic stays split: the guard's part, seen at the router.

`DEPLOYKIT_DEATHS` is how many of each kind. A run takes its time to come to the shift, so this takes long.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploykit.guard import GONE
from deploykit.journal.events import Type
from deploykit.sandbox import Sandbox
from tests.e2e.conftest import PACE, Project, open_project, start_shifting, until

DEATHS = int(os.environ.get("DEPLOYKIT_DEATHS", "20"))
#: A step of 15 s here, so that nobody is quicker than the kill; three of them and the deployment fit into the window.
SECONDS = "900"
LIVE = {"green": 100, "blue": 0}
#: Seconds between two looks of a guard, and what a busy machine adds.
ROOM = 1.0 + 3.0


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path_factory.mktemp("sandbox"), rate=150, load_seconds=7200) as started:
        started.vendors.state("datadog", history=150)
        started.wait_for_metrics()
        yield started


def guard_of(project: Project, run: str) -> psutil.Process:
    started = [event for event in project.events(run) if event.type is Type.GUARD_STARTED]
    return psutil.Process(int(str(started[-1].data["pid"])))


def in_a_runner(project: Project) -> tuple[str, Callable[[], None]]:
    """`deploykit run`: its process and its kernel."""
    project.set(seconds=SECONDS)
    run, process = start_shifting(project)
    return run, lambda: die(process)


def die(process: subprocess.Popen[str]) -> None:
    """All of them at once, except for the guard, which is nobody's child any more."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    guards = [one for one in family if one.status() != psutil.STATUS_ZOMBIE and "deploykit.guard" in one.cmdline()]
    for one in family:
        if one not in guards:
            with suppress(psutil.NoSuchProcess):  # a kernel dies with its runner
                one.kill()
    process.communicate()


def test_traffic_is_back_within_the_guards_limit(box: Sandbox, tmp_path: Path) -> None:
    took = []
    for number in range(DEATHS):
        project = open_project(box, tmp_path / f"{number}")
        run, kill = in_a_runner(project)
        guard = guard_of(project, run)
        kill()
        died = time.monotonic()
        until(lambda project=project: project.weights() == LIVE, "the guard")  # type: ignore[misc]  # this round's
        took.append(time.monotonic() - died)
        guard.wait(20)
        (returned,) = [event for event in project.events(run) if event.type is Type.TRAFFIC_RETURNED]
        assert returned.actor.kind == "guard"
    sys.stdout.write(
        f"\nrunner and kernel killed while weights are split: traffic back {len(took)} of {DEATHS}, after a median of "
        f"{statistics.median(took):.1f} s, the longest {max(took):.1f} s; the guard's limit is {PACE.guard:.0f} s\n"
    )
    assert max(took) <= PACE.guard + ROOM


def test_a_guard_that_is_killed_is_found_and_replaced(box: Sandbox, tmp_path: Path) -> None:
    took = []
    project = open_project(box, tmp_path)
    run, kill = in_a_runner(project)
    deaths = min(DEATHS, 10)  # as many as the two split steps have room for
    for number in range(deaths):
        guard_of(project, run).kill()
        died = time.monotonic()
        until(lambda number=number: len(guards(project, run)) == number + 2, "another guard")  # type: ignore[misc]  # this round's
        took.append(time.monotonic() - died)
    assert [event.data.get("reason") for event in guards(project, run)] == [None, *[GONE] * deaths]
    assert all(project.weights().values()), "weights are still split"
    last = guard_of(project, run)
    kill()
    last.wait(30)
    assert project.weights() == LIVE
    sys.stdout.write(
        f"\nguard killed: replaced and said {len(took)} of {deaths}, median {statistics.median(took):.1f} s (one look "
        f"each half second), the longest {max(took):.1f} s; the last of them did its work\n"
    )


def guards(project: Project, run: str) -> list[Any]:
    return [event for event in project.events(run) if event.type is Type.GUARD_STARTED]
