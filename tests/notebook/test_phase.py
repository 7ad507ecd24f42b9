"""A phase as its notebook sees it: headless, stepped through and replayed; the display is a list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploykit import plots, runner
from deploykit.checklist import checklist
from deploykit.context import Context
from deploykit.errors import (
    DeploykitError,
    HeldError,
    NotPassedError,
    RolledBackError,
    StoreError,
    UsageError,
    Waiting,
)
from deploykit.execution import context as execution_context
from deploykit.journal import spool
from deploykit.journal.events import Type
from deploykit.model import Outcome, Result
from deploykit.notebook import Phase, live
from deploykit.rollback import traffic_back
from deploykit.run import Run
from tests.world import LIVE, SERVICE, FakeGuard, Fault, World, answered

SHARES = ("weights blue 10, green 90", "weights blue 50, green 50", "weights blue 100, green 0")
BACK = "weights blue 0, green 100"


class Screen:
    """What a notebook shows: the words of each display, the newest last."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, bool]] = []

    def __call__(self, bundle: Any, display_id: str = "", *, update: bool = False) -> None:
        self.shown.append((display_id, str(bundle.data.get("text/plain", "")), update))

    def words(self, display_id: str = "") -> list[str]:
        return [text for shown, text, _ in self.shown if shown == display_id and text]


@pytest.fixture
def screen(world: World, monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr(live, "publish", made)
    monkeypatch.setattr(plots, "draw", lambda _figure: b"png")
    monkeypatch.setattr(execution_context, "GuardProcess", lambda _run: FakeGuard(world))
    monkeypatch.setattr(Context, "look_every", 0.005)
    monkeypatch.setenv("DEPLOYKIT_SETTINGS", str(world.settings_file))
    return made


@pytest.fixture
def run(world: World, screen: Screen) -> Run:
    return world.plan()


Open = Callable[..., Phase]


@pytest.fixture
def open_phase(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a phase of the run in a mode; its own store is closed after the test."""
    opened: list[Phase] = []

    def opener(phase: str = "blue-green", mode: str = "run") -> Phase:
        monkeypatch.setenv(live.VARIABLE, mode)
        opened.append(Phase.open(phase, run=run.id))
        return opened[-1]

    yield opener
    for phase in opened:
        wait(phase)
        phase.run.store.close()


def wait(phase: Phase) -> None:
    """Until nothing is under way any more."""
    deadline = time.monotonic() + 20
    while phase.work._busy or phase.work._looking.busy():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    if phase.work._worker is not None:
        phase.work._worker._thread.join(20)


def deployed(phase: Phase) -> Phase:
    """Everything of the phase but traffic."""
    phase.act("blue-green.deploy")
    phase.check("blue-green.health")
    phase.check("blue-green.smoke")
    return phase


def settled(run: Run, *items: str) -> None:
    for name in items:
        run.settle(Result(item=name, outcome=Outcome.PASS, summary="well"))


def passed(run: Run, phase: str) -> None:
    run.append(Type.PHASE_ENDED, item=phase, data={"result": "passed"})


def kinds(run: Run) -> list[Type]:
    return [event.type for event in run.events()]


# --- opening


def test_the_head_shows_where_the_phase_stands(open_phase: Open, screen: Screen) -> None:
    open_phase()
    (head,) = screen.words("head")
    assert "release: v2 (ccccccccc)" in head
    assert "- blue-green.traffic: not done yet" in head
    assert "time scale 1/6000" in head


@pytest.mark.parametrize(("variable", "mode"), [("run", "run"), ("replay", "replay"), ("", "step"), ("else", "step")])
def test_a_kernel_without_a_known_mode_belongs_to_a_person(
    open_phase: Open, run: Run, variable: str, mode: str
) -> None:
    phase = open_phase(mode=variable)
    assert phase.mode == mode
    assert phase.run.actor.kind == ("person" if mode == "step" else "kernel")
    started = [event.data["mode"] for event in run.events() if event.type is Type.PHASE_STARTED]
    assert started == ([] if mode == "replay" else [mode])


@pytest.mark.parametrize(
    ("phase", "name", "said"),
    [("nope", "1", "no phase 'nope'"), ("watch", "", "no run is named"), ("watch", "9", "is not a run")],
)
def test_what_there_is_not_cannot_be_opened(run: Run, phase: str, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Phase.open(phase, run=name)


def test_a_phase_waits_for_the_one_before(open_phase: Open, run: Run) -> None:
    with pytest.raises(NotPassedError, match="phase blue-green comes first") as caught:
        open_phase("watch")
    assert caught.value.mend == "open 03_blue_green.ipynb"
    assert Type.PHASE_STARTED not in kinds(run)
    passed(run, "blue-green")
    open_phase("watch")
    assert Type.PHASE_STARTED in kinds(run)


def test_a_rollback_waits_for_no_phase_once_it_was_asked_for(open_phase: Open, run: Run) -> None:
    with pytest.raises(NotPassedError, match="nobody asked for a rollback"):
        open_phase("rollback")
    run.append(Type.ROLLBACK_ASKED, data={"reason": "a person did"})
    assert open_phase("rollback").phase.id == "rollback"


def test_what_the_guard_spooled_is_merged_when_a_phase_opens(open_phase: Open, run: Run) -> None:
    spool.write(run.store.folder, run.id, SERVICE, Type.TRAFFIC_RETURNED, {"reason": "the guard did"})
    open_phase()
    assert run.state().returned == "the guard did"


@pytest.mark.parametrize("mode", ["run", ""])
def test_a_sealed_run_is_only_shown(open_phase: Open, world: World, run: Run, mode: str) -> None:
    run.settle(Result(item="blue-green.deploy", outcome=Outcome.PASS, summary="well"))
    run.append(Type.RUN_SEALED)
    before = kinds(run)
    phase = open_phase(mode=mode)
    phase.act("blue-green.deploy")
    phase.check("blue-green.health")
    phase.act("blue-green.traffic")
    with pytest.raises(NotPassedError):
        phase.gate()
    assert (kinds(run), world.effects) == (before, [])


# --- headless


def test_headless_a_phase_is_worked_through_and_its_gate_opens(
    open_phase: Open, world: World, run: Run, screen: Screen
) -> None:
    phase = deployed(open_phase())
    phase.act("blue-green.traffic")
    phase.gate()
    assert world.effects == ["deploy shop-blue", *SHARES]
    assert run.state().phases["blue-green"] == "passed"
    assert screen.words()[-1] == "✔ gate open: Blue-green deployment"
    words = screen.words("blue-green.traffic/words")
    assert words[0] == "… blue-green.traffic: begins"
    assert words[-1].startswith("✔ PASS  blue-green.traffic: passed 10, 50, 100 %")
    updates = [update for shown, _, update in screen.shown if shown == "blue-green.traffic/words"]
    assert updates == [False, *[True] * (len(updates) - 1)], "replaced in place"
    phase.gate()
    assert [e.item for e in run.events() if e.type is Type.PHASE_ENDED].count("blue-green") == 1


def test_cells_out_of_order_are_refused(open_phase: Open, world: World) -> None:
    phase = open_phase()
    with pytest.raises(NotPassedError, match=r"blue-green\.deploy comes before blue-green\.traffic"):
        phase.act("blue-green.traffic")
    with pytest.raises(NotPassedError, match=r"blue-green\.deploy comes before blue-green\.health"):
        phase.check("blue-green.health")
    assert world.effects == []


def test_an_item_of_another_phase_or_kind_is_refused(open_phase: Open, world: World) -> None:
    phase = open_phase()
    calls: dict[str, Callable[[], None]] = {
        "belongs to phase watch": lambda: phase.check("watch.errors"),
        "no item 'nope'": lambda: phase.act("nope"),
        "of kind action": lambda: phase.check("blue-green.deploy"),
        "of kind check": lambda: phase.act("blue-green.health"),
    }
    for said, call in calls.items():
        with pytest.raises(UsageError, match=said):
            call()
    assert world.effects == []


def test_the_gate_lists_what_keeps_it_shut(open_phase: Open, world: World, run: Run, screen: Screen) -> None:
    world.pages["https://blue.example.com/health"] = answered(503)
    phase = deployed(open_phase())
    with pytest.raises(NotPassedError) as caught:
        phase.gate()
    assert "blue-green.health is fail: the health endpoint answers 503" in caught.value.what
    assert "blue-green.traffic is not done yet" in caught.value.what
    assert "blue-green.smoke" not in caught.value.what
    assert screen.words()[-1].startswith("✘ gate shut: Blue-green deployment\n- blue-green.health: fail")
    assert "blue-green" not in run.state().phases


def test_headless_an_action_that_did_not_pass_raises_each_time(open_phase: Open, world: World) -> None:
    world.fail("platform.deploy", Fault.REJECTED, Fault.REJECTED)
    phase = open_phase()
    for _ in range(2):
        with pytest.raises(NotPassedError, match="said no"):
            phase.act("blue-green.deploy")
    assert world.effects == []


def test_what_may_not_be_begun_is_shown_with_what_to_do(
    world: World, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.plan(approved=False)
    for before in ("readiness", "prepare", "database"):
        passed(run, before)
    monkeypatch.setenv(live.VARIABLE, "run")
    phase = Phase.open("blue-green", run=run.id)
    with pytest.raises(Waiting):
        phase.act("blue-green.deploy")
    phase.run.store.close()
    assert f"deploykit sign {run.id} plan" in screen.words("blue-green.deploy/words")[-1]


def test_pictures_are_drawn_while_it_works_and_not_at_every_look(open_phase: Open, screen: Screen) -> None:
    phase = deployed(open_phase())
    screen.shown.clear()
    phase.act("blue-green.traffic")
    pictures = [shown for shown, _, _ in screen.shown if shown.startswith("blue-green.traffic/picture/")]
    looks = [text for shown, text, _ in screen.shown if shown == "blue-green.traffic/words"]
    assert 0 < len(pictures) < 3 * len(looks)
    assert {name.rpartition("/")[2] for name in pictures} == {"0", "1", "2", "3"}


# --- the watch


WATCHED = [item.id for item in checklist().items("watch") if item.watched]


def test_a_quiet_watch_proves_its_items(open_phase: Open, world: World, run: Run) -> None:
    passed(run, "blue-green")
    world.shift(100)
    world.served = {"requests blue": 100_000.0}
    phase = open_phase("watch")
    phase.watch()
    for name in WATCHED:
        phase.check(name)
    # One point is too little to hold CPU and memory against.
    assert run.state().items["watch.resources"].outcome is Outcome.INCONCLUSIVE
    settled(run, "watch.resources", *(item.id for item in checklist().items("watch") if not item.watched))
    phase.gate()
    assert run.state().phases["watch"] == "passed"
    events = len(kinds(run))
    phase.watch()
    assert len(kinds(run)) == events, "what passed is shown and not watched again"


@pytest.mark.parametrize("full", [False, True])
def test_a_watch_that_sees_errors_sends_traffic_back_first(
    open_phase: Open, world: World, run: Run, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    passed(run, "blue-green")
    world.shift(100)
    world.served = {"errors blue": 500.0}
    phase = open_phase("watch")
    if full:

        def fail(*_: object, **__: object) -> None:
            raise StoreError("database or disk is full")

        monkeypatch.setattr(phase.run.store, "append", fail)
    with pytest.raises(StoreError if full else RolledBackError):
        phase.watch()
    assert world.weights == LIVE
    if not full:
        told = [event.item or event.type for event in run.events()]
        assert told.index(Type.TRAFFIC_RETURNED) < told.index("watch.errors")
        assert run.state().items["watch.errors"].outcome is Outcome.FAIL


def test_a_watch_without_metrics_leaves_its_gate_shut(open_phase: Open, world: World, run: Run) -> None:
    passed(run, "blue-green")
    world.shift(100)
    world.broken["metrics.series"] = Fault.DOWN
    phase = open_phase("watch")
    phase.watch()
    with pytest.raises(NotPassedError, match=r"watch\.errors is inconclusive"):
        phase.gate()
    world.broken.clear()
    phase.watch()
    assert run.state().items["watch.errors"].outcome is Outcome.PASS, "and it is watched again"


def test_a_rollback_elsewhere_ends_the_watch(open_phase: Open, world: World, run: Run) -> None:
    passed(run, "blue-green")
    phase = open_phase("watch")
    traffic_back(run, "bob says so")
    with pytest.raises(RolledBackError, match="bob says so"):
        phase.watch()


# --- replay


def test_a_replay_shows_what_was_recorded_and_does_and_writes_nothing(
    open_phase: Open, world: World, run: Run, screen: Screen
) -> None:
    deployed(open_phase()).act("blue-green.traffic")
    before, effects = kinds(run), list(world.effects)
    world.broken.update(dict.fromkeys(("router.weights", "http.get", "platform.deployments"), Fault.DOWN))
    screen.shown.clear()
    phase = deployed(open_phase(mode="replay"))
    phase.act("blue-green.traffic")
    phase.gate()
    assert (kinds(run), world.effects) == (before, effects)
    assert screen.words("blue-green.health/words")[0].startswith("✔ PASS  blue-green.health")
    assert screen.words("blue-green.traffic/words")[0].startswith("✔ PASS  blue-green.traffic")


def test_a_replay_says_what_was_not_reached_and_its_gate_is_as_shut(open_phase: Open, run: Run, screen: Screen) -> None:
    before = kinds(run)
    phase = open_phase(mode="replay")
    phase.act("blue-green.deploy")
    assert screen.words("blue-green.deploy/words") == ["○ NOT-REACHED  blue-green.deploy: the run ended before it"]
    with pytest.raises(NotPassedError):
        phase.gate()
    watch = open_phase("watch", mode="replay")
    watch.watch()
    watch.check("watch.errors")
    assert screen.words("watch.errors/words")[-1].startswith("○ NOT-REACHED")
    assert kinds(run) == before


# --- stepped through


@pytest.fixture
def hold(world: World) -> Iterator[threading.Event]:
    """Effects wait for this event."""
    event = threading.Event()
    world.at_effect = lambda _effect: event.wait(20) and None  # type: ignore[assignment]  # only waits
    yield event
    event.set()


def test_stepped_through_a_cell_returns_at_once_and_the_gate_waits(
    open_phase: Open, world: World, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived: list[str] = []
    monkeypatch.setattr(runner, "replay_apart", lambda _run, phase: archived.append(phase.id))
    phase = open_phase(mode="")
    phase.act("blue-green.deploy")
    assert phase.work._busy
    for call in (phase.gate, lambda: phase.check("blue-green.health"), lambda: phase.act("blue-green.traffic")):
        with pytest.raises(NotPassedError, match=r"blue-green\.deploy is still under way"):
            call()
    hold.set()
    wait(phase)
    phase.check("blue-green.health")
    phase.check("blue-green.smoke")
    wait(phase)
    phase.act("blue-green.traffic")
    wait(phase)
    phase.gate()
    assert world.effects == ["deploy shop-blue", *SHARES]
    assert archived == ["blue-green"]


def test_stepped_through_a_failure_is_raised_by_the_gate(
    open_phase: Open, world: World, run: Run, screen: Screen
) -> None:
    world.fail("platform.deploy", Fault.REJECTED)
    phase = open_phase(mode="")
    phase.act("blue-green.deploy")
    wait(phase)
    assert screen.words("blue-green.deploy/words")[-1].startswith("✘ FAIL  blue-green.deploy: platform.deploy said no")
    with pytest.raises(NotPassedError, match="said no"):
        phase.gate()
    phase.act("blue-green.deploy")
    wait(phase)
    assert run.state().items["blue-green.deploy"].outcome is Outcome.PASS, "what did not happen is tried again"
    assert world.effects == ["deploy shop-blue"]


def test_stepped_through_a_rollback_is_heard_while_traffic_moves(open_phase: Open, world: World, run: Run) -> None:
    phase = deployed_by_hand(open_phase(mode=""), run)
    world.served = {"requests blue": 5.0}  # holds
    judging, ask = threading.Event(), world.ask

    def asked(call: str) -> Fault | None:
        if call == "metrics.series" and world.effects:
            judging.set()
        return ask(call)

    world.ask = asked  # type: ignore[method-assign]  # this world says when it is looked at
    phase.act("blue-green.traffic")
    assert judging.wait(20)
    traffic_back(run, "a click on Roll back")
    wait(phase)
    assert world.weights == LIVE
    with pytest.raises(RolledBackError, match="a click on Roll back"):
        phase.gate()


def test_stepped_through_a_hold_ends_and_the_gate_says_so(open_phase: Open, world: World, run: Run) -> None:
    phase = deployed_by_hand(open_phase(mode=""), run)
    world.served = {"requests blue": 5.0}
    phase.act("blue-green.traffic")
    wait(phase)
    assert world.weights == LIVE
    with pytest.raises(HeldError, match="held too long"):
        phase.gate()


def deployed_by_hand(phase: Phase, run: Run) -> Phase:
    settled(run, "blue-green.deploy", "blue-green.health", "blue-green.smoke")
    return phase


def test_a_worker_keeps_what_ended_it_whatever_it_was() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    worker = live.Worker("work", interrupted, lambda _error: None)
    worker.start()
    worker._thread.join(5)
    assert isinstance(worker.error, KeyboardInterrupt)
    assert not issubclass(KeyboardInterrupt, DeploykitError)
