"""Two at once on one environment, and one that was stopped while another took over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploykit.errors import Exit
from deploykit.journal.events import Event, Type
from deploykit.model import Json
from deploykit.rollback import traffic_back
from deploykit.run import Run
from tests.kills.filed import ENDED, REPEATABLE, Aim, Filed, planned, start
from tests.kills.kernels import IDLE, cells, kernel
from tests.world import SERVICE, item

ENDS = {Type.STEP_HAPPENED, Type.STEP_REJECTED}


@pytest.fixture
def filed(team_folder: Path, tmp_path: Path) -> Iterator[Filed]:
    with planned(team_folder, tmp_path / "team") as made:
        yield made


def another(filed: Filed) -> Filed:
    """A second run on the same environment."""
    run = filed.disk.world.plan()
    filed.disk.world.close()
    filed.disk.world._runs.clear()
    return Filed(filed.home, filed.disk, run.id)


def performing(filed: Filed) -> int:
    return start(lambda: filed.perform(filed.run(), until="watch.errors"))


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def events(*runs: Filed) -> list[Event]:
    """All runs' events in the order of one clock."""
    found: list[Event] = []
    for filed in runs:
        run = filed.run()
        found += run.events()
        run.store.close()
    return sorted(found, key=lambda event: event.boot_ns)


def at_once(*runs: Filed) -> int:
    """The most forward effects that were ever under way together."""
    most, under_way = 0, set()
    for event in events(*runs):
        if event.type is Type.STEP_INTENDED:
            under_way.add(event.op)
        elif event.type in ENDS:
            under_way.discard(event.op)
        most = max(most, len(under_way))
    return most


def test_of_many_processes_one_acts_at_a_time_and_each_effect_happens_once(filed: Filed) -> None:
    other = another(filed)
    codes = {ended(pid) for pid in [performing(one) for one in (filed, other, filed, other)]}
    assert codes <= {0, ENDED + Exit.REFUSED}
    assert at_once(filed, other) == 1
    assert filed.twice() == []
    assert [*filed.lost(), *other.lost()] == []


def test_two_kernels_of_one_run_do_each_thing_once(filed: Filed) -> None:
    filed.perform(filed.run(), until="blue-green.deploy")
    before = filed.effects()
    with kernel(filed, None) as one, kernel(filed, None) as two:
        for source in [*cells(filed, item("blue-green.deploy")), IDLE]:
            for stepped, asked in [(stepped, stepped.begin(source)) for stepped in (one, two)]:
                assert stepped.ends(asked)
    assert filed.effects() == [*before, "deploy shop-blue"]
    assert at_once(filed) == 1


def stopped(filed: Filed, point: str) -> int:
    """A process that stops at its first shift, with the lock in its hand."""

    def work() -> None:
        filed.disk.aim = Aim("blue-green.traffic/10", point, signal=signal.SIGSTOP)
        filed.perform(filed.run(), until="watch.errors")

    pid = start(work)
    os.waitpid(pid, os.WUNTRACED)
    return pid


def rolled_back(filed: Filed) -> None:
    run = filed.run()
    traffic_back(run, "it hangs")
    run.store.close()


def said(filed: Filed, kind: Type) -> list[Json]:
    return [event.data for event in events(filed) if event.type is kind]


def test_a_holder_that_was_stopped_before_its_intent_starts_no_effect(filed: Filed) -> None:
    pid = stopped(filed, "before the intent")
    rolled_back(filed)
    os.kill(pid, signal.SIGCONT)
    assert ended(pid) == ENDED + Exit.REFUSED
    assert [effect for effect in filed.effects() if effect.startswith("weights") and effect != REPEATABLE] == []


def test_an_effect_that_was_under_way_lands_and_is_found_as_drift_and_goes_back(filed: Filed) -> None:
    pid = stopped(filed, "between intent and effect")
    rolled_back(filed)
    assert said(filed, Type.DRIFT_FOUND) == []
    os.kill(pid, signal.SIGCONT)
    assert ended(pid) == ENDED + Exit.ROLLED_BACK
    (drift,) = said(filed, Type.DRIFT_FOUND)
    assert "blue-green.traffic/10 landed after traffic went back: it hangs" in str(drift["text"])
    assert filed.effects()[-2:] == ["weights blue 10, green 90", REPEATABLE]


def test_a_stopped_holder_does_nothing_while_another_run_has_the_environment(filed: Filed) -> None:
    other = another(filed)
    pid = stopped(filed, "before the intent")
    run = other.run()
    run.store.take_lock(run.place, run.id, "bob", reason="took over", by_force=True)
    run.store.close()
    before = filed.effects()
    os.kill(pid, signal.SIGCONT)
    assert ended(pid) == ENDED + Exit.REFUSED
    assert filed.effects() == before


def test_a_killed_holder_keeps_no_process_out(filed: Filed) -> None:
    pid = stopped(filed, "between intent and effect")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert filed.resume(item("blue-green.traffic")) == "resumed"
    assert Run.find(filed.run().settings, filed.id, SERVICE).state().opens("blue-green.traffic")
