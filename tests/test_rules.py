"""The runbook's own rules: what they find, when they are asked, and how the glass is broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from deploykit import runner
from deploykit.checks import rules as checks
from deploykit.context import StopAskedError
from deploykit.errors import Exit, HeldError, RefusedError, UsageError
from deploykit.execution import make_context, run_action
from deploykit.execution.rules import BEFORE_RUN, ask_rules, require_rules
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Json, Outcome, Result, TrafficStep
from deploykit.run import Run
from deploykit.settings.rules import Weekday
from deploykit.signoff.policy import decide
from tests.world import LIVE, FakeGuard, Fault, World, item

FRIDAY, THURSDAY = datetime(2026, 11, 27, 0, 30, tzinfo=UTC), datetime(2026, 11, 26, 22, 0, tzinfo=UTC)


def quiet(world: World, *days: str) -> None:
    listed = ", ".join(f'"{day}"' for day in days)
    world.edit("quiet_days = []", f"quiet_days = [{listed}]")


def at(monkeypatch: pytest.MonkeyPatch, when: datetime) -> None:
    monkeypatch.setattr(checks, "now", lambda: when)


def begun(when: datetime, kind: str = "step.intended", step: str = "") -> Json:
    return {"type": kind, "item": "blue-green.deploy", "step": step, "at": when.isoformat(), "data": {}}


# --- Friday


@pytest.mark.parametrize(
    ("when", "zone", "outcome"),
    [
        (FRIDAY, "UTC", Outcome.FAIL),
        (FRIDAY, "America/New_York", Outcome.PASS),  # still Thursday there
        (THURSDAY, "UTC", Outcome.PASS),
        (THURSDAY, "Asia/Tokyo", Outcome.FAIL),  # Friday there already
    ],
)
def test_friday_is_friday_where_the_service_is(
    world: World, monkeypatch: pytest.MonkeyPatch, when: datetime, zone: str, outcome: Outcome
) -> None:
    quiet(world, "friday")
    run = world.plan()
    at(monkeypatch, when)
    context = world.context(run, environment=run.environment.model_copy(update={"timezone": zone}))
    assert checks.no_friday(context).outcome is outcome


def test_what_was_begun_on_thursday_may_be_ended_on_friday(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(world, "friday")
    run = world.plan()
    at(monkeypatch, FRIDAY)
    assert checks.no_friday(world.context(run)).outcome is Outcome.FAIL
    context = world.context(run, timeline=lambda: (begun(THURSDAY),))
    assert checks.no_friday(context).outcome is Outcome.PASS


def test_on_a_quiet_day_nothing_is_begun_and_a_signed_reason_opens_it(world: World) -> None:
    quiet(world, *get_args(Weekday))
    run = world.plan()
    with pytest.raises(RefusedError, match="a quiet day") as caught:
        runner.forward(run, lambda _line: None)
    assert caught.value.exit_code is Exit.REFUSED
    assert f"deploykit sign {run.plan.number} rule.no-friday --override" in caught.value.mend
    with pytest.raises(RefusedError, match="without a reason"):
        decide(run, "rule.no-friday", DecisionKind.OVERRIDDEN, key=world.key("ann"))
    decide(run, "rule.no-friday", DecisionKind.OVERRIDDEN, key=world.key("ann"), comment="payments are down")
    require_rules(run, world.context(run), BEFORE_RUN)
    assert run.state().items["rule.no-friday"].outcome is Outcome.FAIL, "the word stands beside the outcome"
    assert [effect.partition("/")[0] for effect in world.effects] == ["post override"]


def test_the_operator_cannot_break_the_glass_alone(world: World) -> None:
    quiet(world, *get_args(Weekday))
    run = world.plan()
    ask_rules(run, world.context(run))
    with pytest.raises(RefusedError, match="is the operator"):
        decide(run, "rule.no-friday", DecisionKind.OVERRIDDEN, key=world.key("olga"), comment="I want to")


# --- the window

STEPS = tuple(TrafficStep(percent=share, seconds=600, requests=1) for share in (10, 50, 100))


def test_the_steps_that_happened_are_not_left() -> None:
    assert checks.left_of_shift(STEPS, ()) == 1800
    assert checks.left_of_shift(STEPS, ("blue-green.traffic/10",)) == 1200
    assert checks.left_of_shift(STEPS, [f"blue-green.traffic/{s.percent}" for s in STEPS]) == 0


@pytest.mark.parametrize(
    ("minutes", "gone", "done", "outcome"),
    [
        (60, None, 0, Outcome.PASS),
        (29, None, 0, Outcome.FAIL),  # it never fitted
        (60, 29, 0, Outcome.PASS),
        (60, 31, 0, Outcome.FAIL),
        (60, 45, 2, Outcome.PASS),
        (60, 51, 2, Outcome.FAIL),
        (60, 300, 3, Outcome.PASS),  # nothing is left to do in it
    ],
)
def test_what_is_left_of_the_shift_fits_or_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch, minutes: int, gone: int | None, done: int, outcome: Outcome
) -> None:
    world.edit('window = "10000h"', f'window = "{minutes}m"')
    run = world.plan()
    plan = run.plan.model_copy(update={"steps": STEPS, "time_scale": 1.0})
    events = [begun(THURSDAY)] if gone is not None else []
    events += [begun(THURSDAY, "step.happened", f"blue-green.traffic/{s.percent}") for s in STEPS[:done]]
    at(monkeypatch, THURSDAY + timedelta(minutes=gone or 0))
    found = checks.window(world.context(run, plan=plan, timeline=lambda: tuple(events)))
    assert found.outcome is outcome


def test_a_window_that_is_over_holds_the_step_until_somebody_breaks_the_glass(world: World) -> None:
    run = before_traffic(world)
    said = ["the window is over"] * 2
    context = world.context(run, objection=lambda: said.pop() if said else "")
    assert run_action(run, context, item("blue-green.traffic")).outcome is Outcome.PASS
    assert any("10 %: hold, the window is over" in line for line in world.progress)


def test_a_window_that_is_over_and_nobody_answers_sends_traffic_back(world: World) -> None:
    run = before_traffic(world)
    with pytest.raises(HeldError, match="the window is over"):
        run_action(run, world.context(run, objection=lambda: "the window is over"), item("blue-green.traffic"))
    assert world.weights == LIVE


def before_traffic(world: World) -> Run:
    run = world.plan()
    for name in ("blue-green.deploy", "blue-green.health", "blue-green.smoke"):
        run.settle(Result(item=name, outcome=Outcome.PASS, summary="well"))
    world.deployed(run)
    return run


# --- ready to go back


NOT_READY: dict[str, Callable[[World], None]] = {
    "live": lambda world: world.broken.update({"http.get green.example.com": Fault.DOWN}),
    "platform": lambda world: world.broken.update({"platform.deployments": Fault.DOWN}),
    "router": lambda world: world.broken.update({"router.weights": Fault.DOWN}),
    "router: router.stopped did not answer": lambda world: world.broken.update({"router.stopped": Fault.DOWN}),
    "router: its maintenance answer is in force": lambda world: world.__dict__.update(stopped=True),
}


@pytest.mark.parametrize("what", NOT_READY)
def test_nothing_is_changed_that_could_not_be_taken_back(world: World, what: str) -> None:
    run = world.plan()
    NOT_READY[what](world)
    with pytest.raises(RefusedError, match=f"rule.rollback-ready: .*{what}"):
        run_action(run, world.context(run), item("blue-green.deploy"))
    assert world.effects == []
    world.broken.clear()
    world.stopped = False
    assert run_action(run, world.context(run), item("blue-green.deploy")).outcome is Outcome.PASS


def test_a_rule_is_asked_before_each_change_and_recorded_where_it_changed(world: World) -> None:
    run = world.plan()
    for _ in range(3):
        assert ask_rules(run, world.context(run)) == []
    settled = [event.item for event in run.events() if event.type is Type.ITEM_SETTLED]
    assert settled == ["rule.no-friday", "rule.window", "rule.rollback-ready"]


def test_a_rollback_asks_no_rule(world: World) -> None:
    run = world.plan()
    run.append(Type.ROLLBACK_ASKED, data={"reason": "now"})
    world.broken.update({"http.get green.example.com": Fault.DOWN})
    context = world.context(run)
    assert run_action(run, context, item("rollback.incident-report")).outcome is Outcome.PASS
    assert not any(name.startswith("rule.") for name in run.state().items)


def test_the_objection_of_a_real_context_is_the_windows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploykit.execution.context.GuardProcess", lambda _run: FakeGuard(world))
    world.edit('window = "10000h"', 'window = "1s"')
    run = world.plan()
    said = make_context(run).objection()
    assert said.startswith("rule.window: what is left of the shift does not fit")
    assert "--override" in said


# --- settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[left_out]\n"nope.nope" = "why"\n', "no such item: nope.nope"),
        ('[left_out]\n"rule.window" = "why"\n', "a rule is not left out: rule.window"),
    ],
)
def test_what_may_not_be_left_out_is_refused_before_anything(world: World, text: str, said: str) -> None:
    with world.settings_file.open("a") as stream:
        stream.write(text)
    with pytest.raises(UsageError, match=said):
        world.plan()


def test_an_item_to_rehearse_that_there_is_not_is_refused(world: World) -> None:
    world.edit("[rules]\n", '[rules]\nrehearse = ["nope.nope"]\n')
    with pytest.raises(UsageError, match=r"no such item: nope\.nope"):
        world.plan()


def test_a_stop_that_was_asked_for_is_heard_while_a_window_is_over(world: World) -> None:
    run = before_traffic(world)

    def stop() -> None:
        raise StopAskedError("somebody rolled back")

    def objects() -> str:
        world.pauses.append(stop)
        return "the window is over"

    with pytest.raises(HeldError, match="somebody rolled back"):
        run_action(run, world.context(run, objection=objects), item("blue-green.traffic"))
