"""Ends that nobody saw, replays that meet something else, and effects that land after their lock was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from deploykit.actions.step import Probe, Step, Unseen
from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.errors import (
    BrokenRecordError,
    Exit,
    LockedError,
    NotPassedError,
    RefusedError,
    RolledBackError,
    StepUnknownError,
    StoreError,
    Unreachable,
)
from deploykit.execution import run_action
from deploykit.journal import spool
from deploykit.journal.events import Draft, Event, Type
from deploykit.journal.locks import Freeze
from deploykit.journal.state import StepPhase
from deploykit.model import DecisionKind, Json, Outcome, Result
from deploykit.returning import send_back
from deploykit.rollback import traffic_back
from deploykit.run import Run
from deploykit.signoff.policy import decide
from tests.world import LIVE, SERVICE, Fault, World, item

DEPLOY, TRAFFIC = item("blue-green.deploy"), item("blue-green.traffic")
BACK = "weights blue 0, green 100"
FIRST = "weights blue 10, green 90"


@dataclass
class Vendor:
    """A vendor who takes an operation's id as a key: what comes twice under one is done once.

    Attributes:
        lost: How many of the next answers are lost, after the effect.
    """

    lost: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def effects(self) -> set[str]:
        return set(self.asked)

    def do(self, op: str) -> Json:
        self.asked.append(op)
        if self.lost:
            self.lost -= 1
            raise Unreachable("the answer was lost", where="vendor")
        return {"done": True}


class Scripted:
    """An action whose steps a test writes."""

    made: ClassVar[Callable[[], tuple[Step, ...]]] = tuple

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...]:
        return type(self).made()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Item]:
    """One action of the checklist, doing what a test says; the rules before it are asked as ever."""
    load = Item.load

    def script(*steps: Step) -> Item:
        monkeypatch.setattr(Scripted, "made", lambda: steps)
        monkeypatch.setattr(Item, "load", lambda asked: Scripted if asked.id == DEPLOY.id else load(asked))
        return DEPLOY

    return script


def step(vendor: Vendor, probe: Probe, name: str = DEPLOY.id, intent: Json | None = None) -> Step:
    def settle() -> Result:
        return Result(item=name, outcome=Outcome.PASS, summary="well")

    return Step(id=name, intent=intent or {"what": "it"}, do=vendor.do, probe=probe, settle=settle)


def act(world: World, run: Run, action: Item) -> Result:
    return run_action(run, world.context(run), action)


def phase_of(run: Run) -> StepPhase:
    return run.state().steps[DEPLOY.id].phase


# --- repeated under its own key


def test_what_may_be_repeated_is_done_again_under_the_same_operation(
    world: World, scripted: Callable[..., Item]
) -> None:
    run, vendor = world.plan(), Vendor(lost=2)
    action = scripted(step(vendor, Unseen.REPEAT))
    for again in (run, world.again(run)):
        with pytest.raises(StepUnknownError, match="the answer was lost") as caught:
            act(world, again, action)
        assert "under the same key" in caught.value.mend
    assert act(world, world.again(run), action).outcome is Outcome.PASS
    assert len(vendor.asked) == 3
    assert vendor.effects == {f"{run.id}/{DEPLOY.id}/1"}
    assert {event.op for event in world.events() if event.step} == vendor.effects


@pytest.mark.parametrize(("said", "op"), [({"by": "probe"}, 1), ({"reason": "no room"}, 2)])
def test_only_what_the_vendor_itself_refused_is_tried_as_another_operation(
    world: World, scripted: Callable[..., Item], said: Json, op: int
) -> None:
    run, vendor = world.plan(), Vendor()
    first = f"{run.id}/{DEPLOY.id}/1"
    run.intend(item=DEPLOY.id, step=DEPLOY.id, op=first, data={"what": "it"})
    run.append(Type.STEP_REJECTED, item=DEPLOY.id, step=DEPLOY.id, op=first, data=said)
    act(world, run, scripted(step(vendor, lambda: False)))
    assert vendor.asked == [f"{run.id}/{DEPLOY.id}/{op}"]


# --- a person decides


@pytest.mark.parametrize(
    ("kind", "effects"), [(DecisionKind.HAPPENED, 1), (DecisionKind.DID_NOT, 2)], ids=["happened", "did-not"]
)
def test_what_only_a_person_can_tell_stops_until_one_has_signed_and_then_goes_on_accordingly(
    world: World, scripted: Callable[..., Item], kind: DecisionKind, effects: int
) -> None:
    run, vendor = world.plan(), Vendor(lost=1)
    action = scripted(step(vendor, Unseen.PERSON))
    for again in (run, world.again(run), world.again(run)):
        with pytest.raises(StepUnknownError) as caught:
            act(world, again, action)
        assert caught.value.exit_code is Exit.UNKNOWN
        assert f"deploykit resolve {run.id} {DEPLOY.id} --happened" in caught.value.mend
    assert "only a person can tell" in caught.value.what
    assert len(vendor.asked) == 1
    decide(run, DEPLOY.id, kind, key=world.key("dev"), comment="looked at the platform")
    assert act(world, world.again(run), action).outcome is Outcome.PASS
    assert len(vendor.asked) == effects
    assert len(vendor.effects) == 1, "under one operation's id, in case the person looked too early"
    assert run.state().unknown == ()


def test_a_step_under_way_in_another_process_is_not_resolved(world: World, scripted: Callable[..., Item]) -> None:
    run, vendor = world.plan(), Vendor()
    other = world.again(run)

    def do(_op: str) -> Json:
        with pytest.raises(LockedError, match="another process acts"):
            decide(other, DEPLOY.id, DecisionKind.DID_NOT, key=world.key("dev"))
        return {}

    act(world, run, scripted(replace(step(vendor, Unseen.PERSON), do=do)))
    assert phase_of(run) is StepPhase.HAPPENED


# --- a replay that meets something else


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (("b", "a"), "a was begun as step 1, and blue-green.deploy/b is in its place"),
        (("c", "b"), "a was begun as step 1, and blue-green.deploy/c is in its place"),
        (("a", "c"), "b was begun as step 2, and blue-green.deploy/c is in its place"),
        (("a",), "b was begun as step 2, and no step is in its place"),
    ],
)
def test_a_replay_that_meets_another_step_or_order_stops_and_does_nothing(
    world: World, scripted: Callable[..., Item], now: tuple[str, ...], why: str
) -> None:
    run, vendor = world.plan(), Vendor()
    for name in ("a", "b"):
        run.intend(item=DEPLOY.id, step=f"{DEPLOY.id}/{name}", op=name, data={"what": "it"})
    events = len(world.events())
    action = scripted(*(step(vendor, lambda: False, f"{DEPLOY.id}/{name}") for name in now))
    with pytest.raises(BrokenRecordError, match=why) as caught:
        act(world, run, action)
    assert f"deploykit rollback {run.id}" in caught.value.mend
    assert (vendor.asked, len(world.events())) == ([], events)


def test_a_replay_that_meets_another_intent_stops_and_does_nothing(world: World, scripted: Callable[..., Item]) -> None:
    run, vendor = world.plan(), Vendor(lost=1)
    with pytest.raises(StepUnknownError):
        act(world, run, scripted(step(vendor, Unseen.PERSON, intent={"to": "blue"})))
    with pytest.raises(BrokenRecordError, match=r"begun to do \{'to': 'blue'\}, and would do \{'to': 'green'\} now"):
        act(world, world.again(run), scripted(step(vendor, Unseen.REPEAT, intent={"to": "green"})))
    assert len(vendor.asked) == 1


def test_a_replay_that_finds_further_steps_after_those_begun_goes_on(
    world: World, scripted: Callable[..., Item]
) -> None:
    run, vendor = world.plan(), Vendor()
    names = [f"{DEPLOY.id}/{name}" for name in ("a", "b", "c")]
    run.intend(item=DEPLOY.id, step=names[0], op="a", data={"what": "it"})
    act(world, run, scripted(*(step(vendor, lambda: True, name) for name in names)))
    assert [op.rpartition("/")[0].rpartition("/")[2] for op in vendor.asked] == ["b", "c"]


def test_traffic_that_was_begun_otherwise_goes_back(world: World) -> None:
    run = shifting(world)
    run.intend(item=TRAFFIC.id, step=f"{TRAFFIC.id}/25", op="o", data={})
    world.shift(25)
    with pytest.raises(BrokenRecordError, match="begun as step 1"):
        act(world, run, TRAFFIC)
    assert world.weights == LIVE


# --- frozen, and rolled back past the store


def shifting(world: World) -> Run:
    run = world.plan()
    for before in checklist().items("blue-green"):
        if before.id == TRAFFIC.id:
            break
        run.settle(Result(item=before.id, outcome=Outcome.PASS, summary="well"))
    world.deployed(run)
    return run


def test_a_freeze_that_begins_under_way_lets_no_further_step_begin_and_traffic_goes_back(world: World) -> None:
    run = shifting(world)

    def freeze(effect: str) -> None:
        if effect == FIRST:
            service, environment = run.place
            until = "2999-01-01T00:00:00Z"
            said = Freeze(service=service, environment=environment, at="", by="ann", until=until, reason="the sale")
            run.store.freeze(said)

    world.at_effect = freeze
    with pytest.raises(RefusedError, match=r"frozen until 2999.* by ann: the sale"):
        act(world, run, TRAFFIC)
    assert world.effects == [FIRST, BACK]


@pytest.mark.parametrize("name", ["rollback.platform", "rollback.notified", "rollback.incident-report"])
def test_no_freeze_keeps_a_rollback_from_its_steps(world: World, name: str) -> None:
    run = world.plan()
    world.deployed(run)
    service, environment = run.place
    until = "2999-01-01T00:00:00Z"
    run.store.freeze(Freeze(service=service, environment=environment, at="", by="ann", until=until, reason="the sale"))
    assert act(world, run, item(name)).outcome is Outcome.PASS


def test_forward_work_that_is_stuck_keeps_no_rollback_from_its_steps(world: World) -> None:
    run = world.plan()
    with run.alone():
        assert act(world, world.again(run), item("rollback.notified")).outcome is Outcome.PASS


def test_no_step_is_begun_past_a_rollback_that_only_the_spool_knows(world: World) -> None:
    run = shifting(world)
    spool.write(run.store.folder, run.id, SERVICE, Type.ROLLBACK_ASKED, {"reason": "bob, while the store was busy"})
    with pytest.raises(RolledBackError, match="bob, while the store was busy"):
        act(world, run, TRAFFIC)
    assert world.effects == []


# --- a store that fails for a while


@pytest.mark.parametrize("first", range(1, 5))
@pytest.mark.parametrize("name", ["blue-green.deploy", "rollback.platform", "rollback.notified"])
def test_a_store_that_fails_at_any_append_lets_the_run_go_on_when_there_is_room_and_nothing_happens_twice(
    world: World, name: str, first: int
) -> None:
    run = world.plan()
    if name == "rollback.platform":
        world.deployed(run)
    count, real = 0, run.store.append

    def append(*drafts: Draft, **how: Any) -> Event:
        nonlocal count
        count += 1
        if count == first:
            raise StoreError("database or disk is full", where="store.sqlite3", mend="free space")
        return real(*drafts, **how)

    with pytest.MonkeyPatch.context() as full:
        full.setattr(run.store, "append", append)
        with pytest.raises(StoreError):
            act(world, run, item(name))
    intents = len(world.said(Type.STEP_INTENDED))
    assert len(world.effects) <= intents
    assert act(world, world.again(run), item(name)).outcome is Outcome.PASS
    assert len(world.effects) == len(set(world.effects)) > 0


# --- a lock that was lost while an effect was under way


def test_a_holder_who_was_paused_within_an_effect_finds_it_as_drift_and_sends_it_back(world: World) -> None:
    """Paused between intent and effect; meanwhile somebody rolls back, and waits until late effects have landed."""
    run, rescuer = shifting(world), None
    real = world.change

    def paused(call: str, effect: str, happen: Callable[[], None]) -> None:
        nonlocal rescuer
        if effect == FIRST and rescuer is None:
            rescuer = world.again(run)
            traffic_back(rescuer, "nobody answers")
        real(call, effect, happen)

    world.change = paused  # type: ignore[method-assign]  # this world's router is slow
    with pytest.raises(RolledBackError, match="landed after traffic went back: nobody answers"):
        act(world, run, TRAFFIC)
    assert world.effects == [BACK, FIRST, BACK]
    assert world.weights == LIVE
    (drift,) = world.said(Type.DRIFT_FOUND)
    assert (drift.step, "landed after traffic went back" in str(drift.data["text"])) == (f"{TRAFFIC.id}/10", True)


@pytest.mark.parametrize("kind", [Type.ROLLBACK_ASKED, Type.TRAFFIC_RETURNED])
def test_an_effect_that_lands_after_a_return_that_only_the_spool_knows_goes_back(world: World, kind: Type) -> None:
    """The guard, or a rollback past a busy store: the lock is still ours, and nobody reads back any more."""
    run = shifting(world)

    def meanwhile(effect: str) -> None:
        if effect == FIRST:
            spool.write(run.store.folder, run.id, SERVICE, kind, {"reason": "nobody answers"})

    world.at_effect = meanwhile
    with pytest.raises(RolledBackError, match="landed after traffic went back: nobody answers"):
        act(world, run, TRAFFIC)
    assert world.effects == [FIRST, BACK]
    assert len(world.said(Type.DRIFT_FOUND)) == 1


def test_a_late_landing_within_a_rollbacks_time_is_set_back_and_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, landings = shifting(world), [10, 50]

    def wait(_seconds: float) -> None:
        if landings:
            world.shift(landings.pop(0))
        else:
            time.sleep(0.005)

    assert send_back.__kwdefaults__ is not None
    monkeypatch.setitem(send_back.__kwdefaults__, "wait", wait)
    assert traffic_back(run, "errors")["late_landings"] == 2
    assert world.weights == LIVE
    (drift,) = world.said(Type.DRIFT_FOUND)
    assert "changed 2 times after traffic was back" in str(drift.data["text"])


@pytest.mark.parametrize("faults", [(), (Fault.LOST,)], ids=["answered", "answer-lost"])
def test_an_effect_of_a_run_whose_lock_was_broken_is_drift_and_goes_back(
    world: World, faults: tuple[Fault, ...]
) -> None:
    run = shifting(world)
    world.fail("router.set_weights", *faults)

    def lose(effect: str) -> None:
        if effect == FIRST:
            run.store.release_lock(run.place, run.id)

    world.at_effect = lose
    with pytest.raises(LockedError, match="nobody holds it"):
        act(world, run, TRAFFIC)
    assert world.effects == [FIRST, BACK]
    assert len(world.said(Type.DRIFT_FOUND)) == 1


def test_the_next_run_that_finds_such_weights_does_not_shift_from_them(world: World) -> None:
    run = shifting(world)
    world.shift(30)
    with pytest.raises(NotPassedError, match="somebody else moved the weights"):
        act(world, run, TRAFFIC)
    assert world.weights == LIVE
