"""Intent before effect, outcome after, nothing twice; and whatever breaks, traffic ends on live."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from deploykit.context import StopAskedError
from deploykit.errors import (
    DeploykitError,
    Exit,
    HeldError,
    LockedError,
    NotPassedError,
    RefusedError,
    Rejected,
    RollbackIncompleteError,
    RolledBackError,
    StepUnknownError,
    StoreError,
    Waiting,
)
from deploykit.execution import actions, run_action, run_check
from deploykit.execution.rules import ask_rules
from deploykit.journal import clock, spool
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Outcome, Result
from deploykit.rollback import traffic_back
from deploykit.run import Run
from deploykit.signoff import gate
from deploykit.signoff.policy import decide
from tests.world import LIVE, SERVICE, Fault, World, answered, item

DEPLOY, TRAFFIC = item("blue-green.deploy"), item("blue-green.traffic")
SHARES = ("weights blue 10, green 90", "weights blue 50, green 50", "weights blue 100, green 0")
BACK = "weights blue 0, green 100"


def act(world: World, run: Run, name: str) -> Result:
    return run_action(run, world.context(run), item(name))


def ready(world: World, *, approved: bool = True) -> Run:
    """A run whose traffic step is the next thing to do."""
    run = world.plan(approved=approved)
    for before in ("blue-green.deploy", "blue-green.health", "blue-green.smoke"):
        run.settle(Result(item=before, outcome=Outcome.PASS, summary="well"))
    world.deployed(run)
    assert ask_rules(run, world.context(run)) == []
    return run


def raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def steps_said(world: World, kind: Type) -> list[str]:
    return [event.step for event in world.said(kind)]


# --- intent before effect, outcome after


def test_the_intent_is_in_the_journal_when_the_effect_happens_and_the_outcome_after(world: World) -> None:
    run = ready(world)
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS
    assert tuple(world.effects) == SHARES
    assert [(e.type, e.step) for e in world.journal_then] == [
        (Type.STEP_INTENDED, f"{TRAFFIC.id}/{share}") for share in (10, 50, 100)
    ]
    kinds = [e.type for e in world.events() if e.step.startswith(TRAFFIC.id) or e.item.startswith(f"{TRAFFIC.id}/")]
    assert kinds == [Type.STEP_INTENDED, Type.STEP_HAPPENED, Type.VERDICT_GIVEN, Type.ITEM_SETTLED] * 3


def test_an_intent_and_its_end_carry_the_same_operation(world: World) -> None:
    run = ready(world)
    act(world, run, TRAFFIC.id)
    intended, happened = world.said(Type.STEP_INTENDED), world.said(Type.STEP_HAPPENED)
    assert [e.op for e in intended] == [e.op for e in happened]
    assert len({e.op for e in intended}) == 3
    assert all(e.op.startswith(f"{run.id}/{e.step}/") for e in intended)
    assert intended[1].data == {"from": {"blue": 10, "green": 90}, "to": {"blue": 50, "green": 50}}


def full_after(real: Callable[..., object], asked: list[Type], first: int) -> Callable[..., object]:
    def called(*arguments: object, **named: object) -> object:
        if len(asked) >= first:
            raise StoreError("database or disk is full")
        return real(*arguments, **named)

    return called


def fail_appends(run: Run, patch: pytest.MonkeyPatch, first: int, *, forever: bool) -> list[Type]:
    """The store fails from this append on, as a full disk does; what it was asked to hold is returned."""
    asked: list[Type] = []
    real = run.store.append

    def append(draft: object, **arguments: object) -> object:
        asked.append(draft.type)  # type: ignore[attr-defined]  # a draft
        if len(asked) == first or (forever and len(asked) > first):
            raise StoreError("database or disk is full", where="store.sqlite3", mend="free space")
        return real(draft, **arguments)  # type: ignore[arg-type]  # passed on as it came

    patch.setattr(run.store, "append", append)
    for name in ("take_lock", "lock", "lines") if forever else ():
        patch.setattr(run.store, name, full_after(getattr(run.store, name), asked, first))
    return asked


@pytest.mark.parametrize("forever", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("first", range(1, 14))
def test_a_store_that_fails_at_any_append_leaves_traffic_on_live_and_no_effect_without_an_intent(
    world: World, monkeypatch: pytest.MonkeyPatch, first: int, *, forever: bool
) -> None:
    run = ready(world)
    asked = fail_appends(run, monkeypatch, first, forever=forever)
    with pytest.raises(StoreError):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE
    intents = len(steps_said(world, Type.STEP_INTENDED))
    forward = [effect for effect in world.effects if effect != BACK]
    assert len(forward) == intents
    assert (BACK in world.effects) == bool(forward), "nothing was begun, so nothing is sent back"
    assert asked[first - 1] is not Type.TRAFFIC_RETURNED


def test_a_shift_that_is_all_recorded_needs_only_its_summing_up(world: World) -> None:
    run = ready(world)
    with pytest.MonkeyPatch.context() as full:
        fail_appends(run, full, 14, forever=True)
        with pytest.raises(StoreError):
            act(world, run, TRAFFIC.id)
    assert act(world, world.again(run), TRAFFIC.id).outcome is Outcome.PASS
    assert tuple(world.effects) == SHARES


def test_without_an_intent_the_platform_is_not_asked_to_deploy(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.plan()
    run.take_lock()
    fail_appends(run, monkeypatch, 1, forever=True)
    with pytest.raises(StoreError):
        act(world, run, DEPLOY.id)
    assert world.effects == []


def test_what_a_full_disk_kept_out_of_the_journal_is_merged_when_there_is_room(
    world: World,
) -> None:
    run = ready(world)
    with pytest.MonkeyPatch.context() as full:
        fail_appends(run, full, 3, forever=True)
        with pytest.raises(StoreError):
            act(world, run, TRAFFIC.id)
    assert world.said(Type.TRAFFIC_RETURNED) == []
    assert spool.merge(run.store, run.id, SERVICE) == 1
    assert "StoreError" in run.state().returned


# --- an intent without an end


def intend(outside: World, run: Run, name: str, step: str) -> None:
    """What a process leaves behind that was killed between intent and outcome."""
    steps = item(name).load()(outside.context(run)).steps()
    (intent,) = (known.intent for known in steps if known.id == step)
    run.intend(item=name, step=step, op="op-before", data=intent)


def test_an_unseen_end_that_the_probe_finds_is_not_done_again(world: World) -> None:
    run = world.plan()
    intend(world, run, DEPLOY.id, DEPLOY.id)
    world.deployed(run)
    assert act(world, run, DEPLOY.id).outcome is Outcome.PASS
    assert world.effects == []
    (happened,) = world.said(Type.STEP_HAPPENED)
    assert (happened.op, happened.data) == ("op-before", {"by": "probe"})


def test_an_unseen_end_that_the_probe_does_not_find_is_done_once(world: World) -> None:
    run = world.plan()
    intend(world, run, DEPLOY.id, DEPLOY.id)
    assert act(world, run, DEPLOY.id).outcome is Outcome.PASS
    assert world.effects == ["deploy shop-blue"]
    assert [e.op for e in world.said(Type.STEP_INTENDED)] == ["op-before"] * 2
    assert [e.data for e in world.said(Type.STEP_REJECTED)] == [{"by": "probe"}]


def test_an_unseen_end_that_nobody_can_tell_stops_and_says_how_to_settle_it(world: World) -> None:
    run = world.plan()
    intend(world, run, DEPLOY.id, DEPLOY.id)
    world.broken["platform.deployments"] = Fault.DOWN
    with pytest.raises(StepUnknownError, match="its end was not seen") as caught:
        act(world, run, DEPLOY.id)
    assert caught.value.exit_code is Exit.UNKNOWN
    assert f"deploykit resolve {run.id} {DEPLOY.id}" in caught.value.mend
    assert world.effects == []
    assert [step.step for step in run.state().unknown] == [DEPLOY.id]
    assert run.state().items == {}


def test_weights_that_are_neither_before_nor_after_are_unknown_and_go_back_to_live(world: World) -> None:
    run = ready(world)
    intend(world, run, TRAFFIC.id, f"{TRAFFIC.id}/10")
    world.shift(30)
    with pytest.raises(StepUnknownError, match="the probe cannot tell"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE
    assert world.effects == [BACK]
    assert "StepUnknownError" in run.state().returned
    assert world.guard_calls[-1] == "stand down"


def test_a_shift_that_happened_unseen_is_judged_and_not_shifted_again(world: World) -> None:
    run = ready(world)
    intend(world, run, TRAFFIC.id, f"{TRAFFIC.id}/10")
    world.shift(10)
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS
    assert tuple(world.effects) == SHARES[1:]


def test_a_step_that_happened_and_was_not_settled_is_settled_by_the_next_process(world: World) -> None:
    run = ready(world)
    killed = pytest.MonkeyPatch()
    killed.setattr(actions, "return_traffic", lambda *_: None)  # a killed process sends nothing back
    world.pauses = [raising(KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        act(world, run, TRAFFIC.id)
    killed.undo()
    assert world.weights == {"blue": 10, "green": 90}
    assert act(world, world.again(run), TRAFFIC.id).outcome is Outcome.PASS
    assert tuple(world.effects) == SHARES


# --- lost replies and refusals

ACTIONS = {
    "blue-green.deploy": ("platform.deploy", "deploy shop-blue"),
    "blue-green.traffic": ("router.set_weights", SHARES[0]),
    "rollback.platform": ("platform.roll_back", "roll back shop-blue"),
    "rollback.notified": ("chat.post", "post rolled-back"),
}


def about_to(world: World, name: str) -> Run:
    """A run in which this action is the next thing to do."""
    if name == TRAFFIC.id:
        return ready(world)
    run = world.plan()
    if name == "rollback.platform":
        world.deployed(run)
    return run


@pytest.mark.parametrize(("name", "call", "effect"), [(n, *rest) for n, rest in ACTIONS.items()])
def test_a_lost_reply_never_has_it_done_twice(world: World, name: str, call: str, effect: str) -> None:
    run = about_to(world, name)
    world.fail(call, Fault.LOST)
    assert act(world, run, name).outcome is Outcome.PASS
    assert world.effects.count(effect) == 1
    unknown, happened = world.said(Type.STEP_UNKNOWN)[0], world.said(Type.STEP_HAPPENED)[0]
    assert unknown.op == happened.op
    assert happened.data == {"by": "probe"}
    assert act(world, world.again(run), name).outcome is Outcome.PASS
    assert world.effects.count(effect) == 1


@pytest.mark.parametrize(("name", "call", "effect"), [(n, *rest) for n, rest in ACTIONS.items()])
def test_a_refusal_is_recorded_so_and_nothing_moved(world: World, name: str, call: str, effect: str) -> None:
    run = about_to(world, name)
    world.fail(call, Fault.REJECTED)
    with pytest.raises(NotPassedError, match="said no"):
        act(world, run, name)
    assert effect not in world.effects
    assert world.weights == LIVE
    assert [e.data["reason"] for e in world.said(Type.STEP_REJECTED)] == [f"{call} said no"]
    assert run.state().items[name].outcome is Outcome.FAIL


@pytest.mark.parametrize(("name", "call", "effect"), [(n, *rest) for n, rest in ACTIONS.items()])
def test_a_call_that_never_arrived_is_recorded_as_not_done(world: World, name: str, call: str, effect: str) -> None:
    run = about_to(world, name)
    world.fail(call, Fault.DOWN)
    with pytest.raises(NotPassedError, match="it did not happen"):
        act(world, run, name)
    assert effect not in world.effects
    assert run.state().items[name].outcome is Outcome.FAIL
    assert run.state().unknown == ()


@pytest.mark.parametrize("name", [*ACTIONS, "rollback.incident-report"])
def test_a_recorded_action_is_never_run_again(world: World, name: str) -> None:
    run = about_to(world, name)
    act(world, run, name)
    before, events = list(world.effects), len(world.events())
    again = act(world, world.again(run), name)
    assert again.outcome is Outcome.PASS
    assert (world.effects, len(world.events())) == (before, events)


def test_what_did_not_happen_is_tried_again_once_it_is_mended(world: World) -> None:
    run = world.plan()
    world.fail("platform.deploy", Fault.REJECTED)
    with pytest.raises(NotPassedError, match="said no"):
        act(world, run, DEPLOY.id)
    assert act(world, world.again(run), DEPLOY.id).outcome is Outcome.PASS
    assert world.effects == ["deploy shop-blue"]


def test_what_happened_and_did_not_pass_is_verified_again_and_not_done_again(world: World) -> None:
    run = world.plan()
    world.lands = "failed"
    for each in (run, world.again(run)):
        with pytest.raises(NotPassedError, match="FAILED"):
            act(world, each, DEPLOY.id)
    assert world.effects == ["deploy shop-blue"]


def test_a_shift_that_went_back_is_never_begun_again(world: World) -> None:
    run = ready(world)
    world.served = {"errors blue": 100.0}
    for each in (run, world.again(run)):
        with pytest.raises(RolledBackError):
            act(world, each, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]


# --- checks


def test_a_check_that_did_not_pass_is_looked_at_again_and_one_that_passed_is_not(world: World) -> None:
    run, health = world.plan(), item("blue-green.health")
    url = "https://blue.example.com/health"
    world.pages[url] = answered(503)
    assert run_check(run, world.context(run), health).outcome is Outcome.FAIL
    del world.pages[url]
    world.deployed(run)
    assert run_check(run, world.context(run), health).outcome is Outcome.PASS
    world.broken["http.get"] = Fault.DOWN
    assert run_check(run, world.context(run), health).outcome is Outcome.PASS
    assert [e.data["outcome"] for e in world.said(Type.ITEM_SETTLED)] == ["fail", "pass"]


def test_what_goes_wrong_in_looking_is_an_error_and_never_a_pass(world: World) -> None:
    run = world.plan()
    world.broken["router.weights"] = Fault.DOWN
    result = run_check(run, world.context(run), item("rollback.traffic"))
    assert (result.outcome, result.mend) == (Outcome.ERROR, "look at it")
    assert result.evidence.facts == {"where": "router.weights", "what": "router.weights did not answer"}


# --- forward effects refuse


def test_without_approval_nothing_is_intended(world: World) -> None:
    run = world.plan(approved=False)
    with pytest.raises(Waiting, match="is not approved yet"):
        act(world, run, DEPLOY.id)
    assert world.effects == []
    assert world.said(Type.STEP_INTENDED) == []


def test_an_approval_that_expires_between_two_steps_sends_traffic_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready(world)
    decision = run.state().decisions["plan"]
    assert decision.until is not None
    world.pauses = [lambda: monkeypatch.setattr(gate, "now", lambda: decision.until)]
    with pytest.raises(Waiting, match="which is over"):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]
    assert world.weights == LIVE
    assert "Waiting" in run.state().returned


def test_settings_that_changed_stop_the_run_before_it_acts(world: World) -> None:
    run = world.plan()
    world.edit("[shift]", "# another word\n[shift]")
    with pytest.raises(RefusedError, match="settings changed"):
        act(world, world.again(run), DEPLOY.id)
    assert world.effects == []


def test_a_clock_that_jumped_refuses_the_next_step_and_traffic_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready(world)
    real = clock.read

    def jumped() -> clock.Reading:
        at = datetime.now(UTC) + timedelta(minutes=10 if world.effects else 0)
        return real()._replace(at=f"{at:%Y-%m-%dT%H:%M:%S}.000Z")

    steady = run.settle
    # From the moment at which the first step is settled, so that its newest event is of the time before.
    monkeypatch.setattr(run, "settle", lambda result: (steady(result), monkeypatch.setattr(clock, "read", jumped)))
    with pytest.raises(RefusedError, match="clock jumped"):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]


def test_an_item_whose_predecessor_did_not_pass_is_not_begun(world: World) -> None:
    run = world.plan()
    run.settle(Result(item="blue-green.deploy", outcome=Outcome.PASS, summary="well"))
    run.settle(Result(item="blue-green.health", outcome=Outcome.FAIL, summary="ill"))
    with pytest.raises(NotPassedError, match=r"blue-green\.health comes first, and is fail"):
        act(world, run, TRAFFIC.id)
    run.settle(Result(item="blue-green.health", outcome=Outcome.PASS, summary="well"))
    with pytest.raises(NotPassedError, match=r"blue-green\.smoke comes first, and is not done yet"):
        act(world, run, TRAFFIC.id)
    assert world.effects == []


def test_a_run_that_went_back_goes_no_further_forward(world: World) -> None:
    run = world.plan()
    run.append(Type.TRAFFIC_RETURNED, data={"reason": "the guard did"})
    with pytest.raises(RolledBackError, match="the guard did"):
        act(world, run, DEPLOY.id)
    assert world.effects == []


def test_a_shift_is_not_gone_on_with_after_traffic_went_back(world: World) -> None:
    run = ready(world)
    world.pauses = [raising(KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        act(world, run, TRAFFIC.id)
    with pytest.raises(HeldError, match=r"traffic went back to live before: .*KeyboardInterrupt"):
        act(world, world.again(run), TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]
    assert run.state().items[TRAFFIC.id].outcome is Outcome.FAIL


def test_a_rollback_asks_for_no_approval(world: World) -> None:
    run = world.plan(approved=False)
    assert act(world, run, "rollback.notified").outcome is Outcome.PASS


# --- the lock


def other_run_takes_over(world: World, run: Run) -> None:
    run.store.take_lock(run.place, "another-run", "bob", by_force=True)
    world.shift(40)


def test_a_lock_lost_to_another_run_leaves_traffic_to_that_run(world: World) -> None:
    run = ready(world)
    world.pauses = [lambda: None, lambda: other_run_takes_over(world, run)]
    with pytest.raises(DeploykitError):
        act(world, run, TRAFFIC.id)
    assert world.weights == {"blue": 40, "green": 60}
    assert BACK not in world.effects
    (note,) = world.said(Type.NOTE_WRITTEN)
    assert "run another-run has the lock" in str(note.data["text"])
    assert world.said(Type.TRAFFIC_RETURNED) == []


def test_a_lock_lost_between_two_steps_is_found_by_the_next_intent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready(world)
    real = run.settle

    def settle(result: Result) -> object:
        run.store.take_lock(run.place, "another-run", "bob", by_force=True)
        return real(result)

    monkeypatch.setattr(run, "settle", settle)
    with pytest.raises(LockedError, match="no longer ours"):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0]]


def test_a_lock_that_nobody_has_any_more_sends_traffic_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ready(world)
    real = run.settle

    def settle(result: Result) -> object:
        run.store.release_lock(run.place, run.id)
        return real(result)

    monkeypatch.setattr(run, "settle", settle)
    with pytest.raises(LockedError, match="nobody holds it"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


def test_another_runs_lock_refuses_the_first_intent(world: World) -> None:
    run = world.plan()
    run.store.take_lock(run.place, "another-run", "bob")
    with pytest.raises(LockedError, match="another-run of bob"):
        act(world, run, DEPLOY.id)
    assert world.effects == []


def test_two_processes_never_act_on_an_environment_at_once(world: World) -> None:
    run = world.plan()
    with run.alone(), pytest.raises(LockedError, match="another process acts"):
        act(world, world.again(run), DEPLOY.id)
    assert world.effects == []
    assert act(world, world.again(run), DEPLOY.id).outcome is Outcome.PASS


# --- verdicts and holds


def test_a_verdict_to_go_back_moves_traffic_before_anything_is_written_at_length(world: World) -> None:
    run = ready(world)
    world.served = {"errors blue": 100.0}
    kept: list[set[str]] = []
    evidence = run.folder / "evidence"
    before = {path.name for path in evidence.glob("*")}

    def look(effect: str) -> None:
        if effect == BACK:
            kept.append({path.name for path in evidence.glob("*")} - before)

    world.at_effect = look
    with pytest.raises(RolledBackError, match="rolled back") as caught:
        act(world, run, TRAFFIC.id)
    assert caught.value.exit_code is Exit.ROLLED_BACK
    assert kept == [set()]
    assert world.effects == [SHARES[0], BACK]
    order = [e.type for e in world.events() if e.seq > world.said(Type.STEP_HAPPENED)[0].seq]
    assert order[:2] == [Type.ROLLBACK_ASKED, Type.LOCK_TAKEN]
    assert order.index(Type.TRAFFIC_RETURNED) < order.index(Type.VERDICT_GIVEN) < order.index(Type.ITEM_SETTLED)
    assert run.state().rolled_back


def test_a_hold_longer_than_its_limit_returns_traffic(world: World) -> None:
    run = ready(world)
    world.served = {"requests blue": 5.0}
    began = time.monotonic()
    with pytest.raises(HeldError, match="held too long: the candidate served 5 requests") as caught:
        act(world, run, TRAFFIC.id)
    assert caught.value.exit_code is Exit.HELD
    assert time.monotonic() - began >= run.plan.scaled(run.plan.hold_limit_seconds)
    assert world.effects == [SHARES[0], BACK]
    assert run.state().items[TRAFFIC.id].outcome is Outcome.INCONCLUSIVE
    assert not run.state().rolled_back


def test_a_hold_that_ends_in_time_goes_on(world: World) -> None:
    world.edit('hold_limit = "120s"', 'hold_limit = "60000s"')
    run = ready(world)
    world.served = {"requests blue": 5.0}
    world.pauses = [*[lambda: time.sleep(0.006)] * 2, world.served.clear]
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS
    assert any("held for" in line or "hold" in line for line in world.progress)


HOLDS: dict[str, Callable[[World], None]] = {
    "the metrics are down": lambda world: world.broken.update({"metrics.series": Fault.DOWN}),
    "the metrics refuse": lambda world: world.broken.update({"metrics.series": Fault.REJECTED}),
    "the candidate serves nothing": lambda world: world.served.update({"requests blue": 0.0}),
    "no point of the candidate is known": lambda world: world.served.update({"requests blue": None}),
    "the newest point is old": lambda world: setattr(world, "points_age", 600.0),
}


@pytest.mark.parametrize("what", HOLDS)
def test_what_cannot_be_seen_holds_and_never_passes(world: World, what: str) -> None:
    run = ready(world)
    HOLDS[what](world)
    with pytest.raises(HeldError):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]
    assert run.state().items[f"{TRAFFIC.id}/10"].outcome is Outcome.INCONCLUSIVE


def test_a_router_that_cannot_be_read_while_it_is_judged_holds(world: World) -> None:
    run = ready(world)
    world.pauses = [lambda: world.broken.update({"router.weights": Fault.DOWN})]

    def mended(effect: str) -> None:
        if effect == BACK:
            world.broken.clear()

    world.at_effect = mended
    with pytest.raises(HeldError, match="cannot see"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


# --- the router


FROM_THERE_ON: dict[str, Callable[[World], None]] = {
    "does not answer to a shift": lambda world: world.fail("router.set_weights", Fault.DOWN),
    "refuses a shift": lambda world: world.fail("router.set_weights", Fault.REJECTED),
    "accepts and does not apply": lambda world: world.fail("router.set_weights", Fault.LYING),
    "does not count": lambda world: world.broken.update({"router.counts": Fault.DOWN}),
    "sends all to live": lambda world: world.__dict__.update(sends={"blue": 0.0, "green": 1.0}),
    "counts nothing": lambda world: world.__dict__.update(rate=0),
    "does not say its weights": lambda world: world.broken.update({"router.weights": Fault.DOWN}),
    "has metrics that are down": lambda world: world.broken.update({"metrics.series": Fault.DOWN}),
}


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("what", FROM_THERE_ON)
def test_whatever_fails_or_lies_at_a_step_it_is_held_or_sent_back_and_never_passed(
    world: World, what: str, step: int
) -> None:
    """Before the first step, or in the middle of one. Weights that nobody can read back are for a person to see to."""
    run = ready(world)

    def after(effect: str) -> None:
        if step and effect == SHARES[step - 1]:
            world.pauses = [lambda: None, lambda: FROM_THERE_ON[what](world)]

    world.at_effect = after
    if not step:
        FROM_THERE_ON[what](world)
    with pytest.raises((RefusedError, NotPassedError, RollbackIncompleteError)) as caught:
        act(world, run, TRAFFIC.id)
    settled = run.state().items.get(TRAFFIC.id)
    assert settled is None or settled.outcome is not Outcome.PASS
    assert not set(SHARES[step + 1 :]) & set(world.effects)
    assert world.weights == LIVE or isinstance(caught.value, RollbackIncompleteError)


def test_somebody_else_moving_the_weights_is_noticed(world: World) -> None:
    run = ready(world)
    world.pauses = [lambda: world.shift(80)]
    with pytest.raises(HeldError, match=r"somebody else moved the weights: .*80"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


def test_a_router_that_says_yes_and_does_nothing_never_passes(world: World) -> None:
    run = ready(world)
    world.fail("router.set_weights", Fault.LYING)
    with pytest.raises(HeldError, match="moved the weights"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


def test_a_router_that_does_nothing_for_good_calls_for_a_person(world: World) -> None:
    run = ready(world)
    world.pauses = [lambda: world.broken.update({"router.set_weights": Fault.LYING})]
    world.served = {"errors blue": 100.0}
    with pytest.raises(RollbackIncompleteError) as caught:
        act(world, run, TRAFFIC.id)
    assert "in force" in caught.value.what
    assert "by hand, now" in caught.value.mend
    assert world.weights == {"blue": 10, "green": 90}
    assert world.said(Type.TRAFFIC_RETURNED) == []


@pytest.mark.parametrize("sends", [{"blue": 0.0, "green": 1.0}, {"blue": 0.5, "green": 0.5}])
def test_requests_that_do_not_go_where_the_weights_say_fail_the_step(world: World, sends: dict[str, float]) -> None:
    run = ready(world)
    world.sends = sends  # type: ignore[assignment]  # the keys are colours
    with pytest.raises(HeldError, match="the router does not do what it says"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


def restarting(world: World) -> None:
    """The proxy restarts in the second pause, and comes up with what its file says."""

    def restart() -> None:
        world.counters = dict.fromkeys(world.counters, 0.0)
        world.shift(0)

    world.counters = {"blue": 9000.0, "green": 9000.0}
    world.pauses = [lambda: None, restart]


def test_what_a_restart_of_the_router_lost_is_said_before_it_is_set_again(world: World) -> None:
    run = ready(world)
    restarting(world)
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS
    assert world.effects == [SHARES[0], *SHARES]
    (drift,) = world.said(Type.DRIFT_FOUND)
    assert "the router was restarted and had the weights" in str(drift.data["text"])
    assert world.journal_then[1] == drift


@pytest.mark.parametrize("who", ["another run", "a rollback"])
def test_a_run_that_is_no_longer_in_charge_sets_nothing_again(world: World, who: str) -> None:
    run = ready(world)
    restarting(world)
    restart = world.pauses[1]

    def meanwhile() -> None:
        restart()
        if who == "another run":
            run.store.take_lock(run.place, "another-run", "bob", by_force=True)
        else:
            spool.write(run.store.folder, run.id, SERVICE, Type.ROLLBACK_ASKED, {"reason": "bob says so"})

    world.pauses[1] = meanwhile
    with pytest.raises((LockedError, RolledBackError), match="nothing is set again after"):
        act(world, run, TRAFFIC.id)
    assert world.effects[:1] == [SHARES[0]]
    assert SHARES[0] not in world.effects[1:]
    assert world.weights == LIVE


def test_counters_that_cannot_be_read_hold_the_step_and_traffic_goes_back(world: World) -> None:
    run = ready(world)
    world.broken["router.counts"] = Fault.DOWN
    with pytest.raises(HeldError, match=r"held too long: cannot see the router: router\.counts did not answer"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE
    assert run.state().items[TRAFFIC.id].outcome is Outcome.INCONCLUSIVE


def test_a_slow_router_is_no_fault(world: World) -> None:
    run = ready(world)
    world.fail("router.set_weights", Fault.SLOW)
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS


# --- whatever ends it


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, ZeroDivisionError])
def test_what_breaks_a_step_off_sends_traffic_back_and_goes_on(world: World, error: type[BaseException]) -> None:
    run = ready(world)
    world.pauses = [raising(error())]
    with pytest.raises(error):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]
    assert error.__name__ in run.state().returned
    assert world.guard_calls == ["start", "stand down"]


def test_an_interrupt_when_the_router_is_dead_calls_for_a_person_and_keeps_the_guard(world: World) -> None:
    run = ready(world)

    def broken() -> None:
        world.broken.update({"router.weights": Fault.DOWN, "router.set_weights": Fault.DOWN})
        raise KeyboardInterrupt

    world.pauses = [broken]
    with pytest.raises(RollbackIncompleteError) as caught:
        act(world, run, TRAFFIC.id)
    assert isinstance(caught.value.__context__, BaseException)
    assert "stand down" not in world.guard_calls


def test_a_rollback_elsewhere_ends_the_step(world: World) -> None:
    run = ready(world)

    def asked() -> None:
        run.append(Type.ROLLBACK_ASKED, data={"reason": "bob says so"})
        raise StopAskedError("bob says so")

    world.pauses = [asked]
    with pytest.raises(RolledBackError, match="bob says so"):
        act(world, run, TRAFFIC.id)
    assert world.weights == LIVE


def test_a_guard_that_does_not_start_leaves_production_as_it_was_and_the_run_may_go_on(world: World) -> None:
    run = ready(world)
    world.fail("guard.start", Fault.REJECTED)
    with pytest.raises(Rejected, match=r"guard\.start said no"):
        act(world, run, TRAFFIC.id)
    assert world.effects == []
    assert not [event for event in world.said(Type.STEP_INTENDED) if event.item == TRAFFIC.id]
    assert world.said(Type.TRAFFIC_RETURNED) == []
    assert act(world, run, TRAFFIC.id).outcome is Outcome.PASS


def test_a_guard_that_does_not_start_again_sends_what_was_shifted_back(world: World) -> None:
    run = ready(world)
    world.at_effect = lambda effect: world.fail("guard.start", *[Fault.REJECTED] * (effect == SHARES[0]))
    with pytest.raises(HeldError, match=r"guard\.start said no"):
        act(world, run, TRAFFIC.id)
    assert world.effects == [SHARES[0], BACK]
    assert len(world.said(Type.TRAFFIC_RETURNED)) == 1
    assert [e.step for e in world.said(Type.STEP_INTENDED) if e.item == TRAFFIC.id] == [f"{TRAFFIC.id}/10"]


def test_the_guard_is_alive_before_weights_are_split_and_stands_down_after(world: World) -> None:
    run = ready(world)
    alive: list[list[str]] = []
    world.at_effect = lambda _effect: alive.append(list(world.guard_calls))
    act(world, run, TRAFFIC.id)
    assert alive[0] == ["start"]
    assert world.guard_calls[-1] == "stand down"
    assert set(world.guard_calls[:-1]) == {"start"}


def test_a_finished_shift_shows_its_steps_in_one_picture(world: World) -> None:
    result = act(world, ready(world), TRAFFIC.id)
    assert result.summary == "passed 10, 50, 100 %"
    (table,) = result.evidence.tables
    assert [row[:2] for row in table.rows] == [("10", "pass"), ("50", "pass"), ("100", "pass")]
    assert [figure.title for figure in result.evidence.figures] == [
        "Failed requests",
        "Requests over 500 ms",
        "Requests served",
        "Evidence that the candidate is worse",
    ]


def test_a_refused_plan_does_nothing(world: World) -> None:
    run = world.plan(approved=False)
    decide(run, "plan", DecisionKind.REFUSED, key=world.key("bob"), comment="not on a Friday")
    with pytest.raises(RefusedError, match="not on a Friday"):
        act(world, run, DEPLOY.id)
    assert world.effects == []


# --- another version


def test_another_version_than_the_one_that_planned_a_run_may_only_roll_it_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ready(world)
    before = world.effects.copy()
    monkeypatch.setattr("deploykit.run.MADE_WITH", "deploykit 9.9.9")
    with pytest.raises(RefusedError, match=r"this is deploykit 9\.9\.9, which may only roll it back"):
        act(world, run, "blue-green.traffic")
    assert world.effects == before
    traffic_back(run, "an outage")
    assert (world.effects, world.weights) == ([*before, BACK], LIVE)


# --- steps that stand alone


@pytest.mark.parametrize(
    ("fault", "call", "error"),
    [
        (Fault.REJECTED, "chat.post", NotPassedError),
        (Fault.DOWN, "chat.post", NotPassedError),
        (Fault.DOWN, "chat.find", StepUnknownError),
    ],
)
def test_a_chat_that_cannot_be_told_keeps_nobody_from_calling_the_pager(
    world: World, fault: Fault, call: str, error: type[DeploykitError]
) -> None:
    run = world.plan()
    world.broken[call] = fault
    with pytest.raises(error, match=call):
        act(world, run, "rollback.notified")
    assert world.effects == [f"open deploykit/{run.id}"]
    world.broken.clear()
    assert run.state().steps["rollback.notified/pager"].phase.value == "happened"
