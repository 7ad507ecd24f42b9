"""Readiness with 200 ms added to each answer of each stand-in: all checks together against the slowest alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploykit.checklist import checklist
from deploykit.execution import make_context
from deploykit.execution.checks import Looking, look_at
from deploykit.sandbox import Sandbox
from deploykit.sandbox.addresses import VENDORS
from deploykit.sandbox.project import write_project
from tests.e2e.conftest import ROOT, Project, until

LIMIT, DELAY = 1.5, 0.2


def test_all_checks_take_little_longer_than_the_slowest(tmp_path: Path) -> None:
    with Sandbox.start(tmp_path / "sandbox", rate=20, load_seconds=900) as box:
        home = tmp_path / "team"
        write_project(home, box.addresses, runbooks=os.path.relpath(ROOT / "runbooks", home))
        project = Project(home, box)
        box.back_up()  # as last night's, but after the orders that the sandbox began with
        until(lambda: project.call("doctor").returncode == 0, "a sandbox in which all is well", 120)
        run = project.run(project.plan("v1.5.0"))
        for vendor in VENDORS:
            box.vendors.fault(vendor, delay=DELAY)
        items, alone = checklist().items("readiness"), dict[str, float]()
        for item in items:
            began = time.perf_counter()
            look_at(make_context(run), item)
            alone[item.id] = time.perf_counter() - began
        looking = Looking(run, lambda _item: make_context(run), within=300)
        began, spent = time.perf_counter(), time.process_time()
        ended = dict[str, float]()
        looking.begin(items)

        def at(name: str) -> Callable[[BaseException | None], None]:
            return lambda _error: ended.update({name: time.perf_counter() - began})

        for item in items:
            looking.then(item.id, at(item.id))
        outcomes = [looking.wait(item.id).outcome.value for item in items]
        together, spent = time.perf_counter() - began, time.process_time() - spent
        for vendor in VENDORS:
            box.vendors.clear(vendor)
    slowest = max(alone, key=lambda name: alone[name])
    ratio = together / alone[slowest]
    computing = f"{spent:.1f} s of them computing"
    said = (
        f"{len(items)} items side by side {together:.1f} s ({computing}), one by one {sum(alone.values()):.1f} s; "
        f"slowest alone {slowest} {alone[slowest]:.1f} s; ratio {ratio:.2f} (at most {LIMIT}); outcomes {outcomes}"
    )
    sys.stdout.write(f"\n{said}\n")
    for name, seconds in alone.items():
        sys.stdout.write(f"  {name}: alone {seconds:.1f} s, side by side {ended[name]:.1f} s\n")
    assert ratio <= LIMIT, said
