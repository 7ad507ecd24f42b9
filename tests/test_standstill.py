"""Traffic stopped and services restarted in a rollback: only where it is needed, and never passed on a word alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deploykit.actions.deploy import Deploy
from deploykit.actions.restart import RESTART, STOP, Restart, StopTraffic, standstill
from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable
from deploykit.model import Json, Outcome, Result
from deploykit.run import Run
from tests.world import COMMITS, Fault, World, answered, deployment

ASKED: Json = {"type": "rollback.asked", "step": "", "data": {"reason": "errors", "database": True}}


@pytest.fixture
def run(world: World) -> Run:
    world.rate = 0
    return world.plan(approved=False)


def having(world: World, run: Run, *events: Json) -> Context:
    return world.context(run, timeline=lambda: events)


@pytest.fixture
def context(world: World, run: Run) -> Context:
    """A rollback that was asked for with its database."""
    return having(world, run, ASKED)


def steps(action: Any) -> tuple[Step, ...]:
    found = action.steps()
    assert isinstance(found, tuple)
    return found


def stop(context: Context) -> Step:
    (step,) = steps(StopTraffic(context))
    return step


# --- whether it is needed


@pytest.mark.parametrize(
    ("data", "needed"),
    [
        ({"reason": "errors"}, False),
        ({"reason": "errors", "database": False}, False),
        ({"reason": "database"}, False),
        ({"reason": "errors", "database": True}, True),
        ({"reason": "maintenance", "stop": True}, True),
    ],
)
def test_the_service_stands_still_only_for_its_database_or_when_asked(
    world: World, run: Run, *, data: Json, needed: bool
) -> None:
    asked: Json = {"type": "rollback.asked", "data": data}
    found, facts = standstill(having(world, run, {"type": "run.opened", "data": {"database": True}}, asked))
    assert found is needed
    assert facts["rollback.asked events"] == 1


@pytest.mark.parametrize(("action", "item"), [(StopTraffic, STOP), (Restart, RESTART)])
def test_what_is_not_needed_says_so_with_its_proof_and_changes_nothing(
    world: World, run: Run, action: Callable[[Context], Any], item: str
) -> None:
    result = action(having(world, run, {"type": "rollback.asked", "data": {"reason": "errors"}})).steps()
    assert isinstance(result, Result)
    assert (result.item, result.outcome) == (item, Outcome.NOT_NEEDED)
    assert result.evidence.facts["that ask for a standstill"] == "none"
    assert world.effects == []


# --- stop


def test_traffic_is_stopped_when_requests_meet_the_answer_and_none_the_service(world: World, context: Context) -> None:
    step = stop(context)
    assert step.probe() is False
    assert step.do("op") == {"answer": "maintenance"}
    assert step.probe() is True
    result = step.settle()
    assert result.outcome is Outcome.PASS
    assert result.evidence.facts["reached"] == {"blue": 0, "green": 0}
    assert result.evidence.facts["answered_503"] == 20
    assert world.effects == ["stop traffic"]


def reaching(world: World) -> None:
    world.stopped = True
    counts = iter((0, 3))
    world.at_effect = lambda _effect: None
    world.__dict__["counters"] = type("Rising", (dict,), {"items": lambda _self: [("green", next(counts, 3))]})()


STILL: dict[str, tuple[Callable[[World], object], str]] = {
    "the router says otherwise": (lambda w: w.__dict__.update(stopped=False), "does not say that traffic is stopped"),
    "users still reach the service": (reaching, "3 requests still reached the service"),
    "something else answers": (
        lambda w: w.pages.update({"https://shop.example.com/health": answered(200)}),
        "only 0 of 20",
    ),
    "nothing answers": (lambda w: w.broken.update({"http.get": Fault.DOWN}), "only 0 of 20"),
}


@pytest.mark.parametrize("how", STILL)
def test_a_router_that_only_says_so_does_not_pass(world: World, context: Context, how: str) -> None:
    step = stop(context)
    step.do("op")
    prepare, said = STILL[how]
    prepare(world)
    result = step.settle()
    assert (result.outcome, said in result.summary) == (Outcome.FAIL, True), result.summary
    assert result.mend


@pytest.mark.parametrize(("fault", "error"), [(Fault.DOWN, Unreachable), (Fault.REJECTED, Rejected)])
def test_a_router_that_does_not_answer_raises_for_the_caller(
    world: World, context: Context, fault: Fault, error: type[Exception]
) -> None:
    step = stop(context)
    world.fail("router.stop", fault)
    with pytest.raises(error):
        step.do("op")
    world.fail("router.stopped", fault)
    with pytest.raises(error):
        step.settle()


def test_a_stop_whose_answer_was_lost_is_found_by_the_probe(world: World, context: Context) -> None:
    step = stop(context)
    world.fail("router.stop", Fault.LOST)
    with pytest.raises(Unreachable):
        step.do("op")
    assert step.probe() is True


# --- restart


def test_live_starts_anew_then_traffic_flows_then_the_idle_service(world: World, context: Context) -> None:
    world.stopped = True
    outcomes = []
    for step in steps(Restart(context)):
        assert step.probe() is False
        step.do("op")
        assert step.probe() is True
        outcomes.append((step.id, step.settle().outcome))
    assert outcomes == [(f"{RESTART}/{name}", Outcome.PASS) for name in ("green", "traffic", "blue")]
    assert world.effects == ["restart shop-green", "resume traffic", "restart shop-blue"]
    assert not world.stopped


def test_traffic_that_was_stopped_is_let_through_however_it_came_to_that(world: World, run: Run) -> None:
    stopped: Json = {"type": "step.intended", "step": STOP, "data": {}}
    assert len(steps(Restart(having(world, run, stopped)))) == 3


def test_what_runs_is_restarted_and_not_what_failed_after_it(world: World, context: Context) -> None:
    world.deployments["shop-green"].insert(0, deployment("broken", COMMITS["v2"], "failed"))
    first = steps(Restart(context))[0]
    assert first.intent == {"service": "shop-green", "deployment": "first-green", "before": ""}
    first.do("op")
    assert first.settle().outcome is Outcome.PASS


def test_a_restart_that_was_not_seen_to_happen_does_not_pass(world: World, context: Context) -> None:
    first = steps(Restart(context))[0]
    world.fail("platform.restart", Fault.LYING)
    first.do("op")
    with pytest.raises(Unreachable, match="last word: RUNNING"):
        first.settle()


@pytest.mark.parametrize("state", ["failed", "gone"])
def test_a_service_that_does_not_come_up_fails_with_its_last_words(world: World, context: Context, state: str) -> None:
    world.lands, world.logs["first-green"] = state, ("starting", "no database")
    first = steps(Restart(context))[0]
    first.do("op")
    result = first.settle()
    assert (result.outcome, result.evidence.text) == (Outcome.FAIL, "starting\nno database\n")


def test_a_service_that_came_up_ill_fails(world: World, context: Context) -> None:
    first = steps(Restart(context))[0]
    first.do("op")
    world.pages["https://green.example.com/health"] = answered(503)
    assert first.settle().outcome is Outcome.FAIL


def test_a_restart_that_goes_on_in_another_process_waits_for_a_change_since_it_began(
    world: World, run: Run, context: Context
) -> None:
    begun = steps(Restart(context))[0]
    begun.do("op")
    intended: Json = {"type": "step.intended", "step": begun.id, "data": begun.intent}
    again = steps(Restart(having(world, run, ASKED, intended)))[0]
    assert again.intent == begun.intent
    assert again.probe() is True
    assert again.settle().outcome is Outcome.PASS
    assert world.effects == ["restart shop-green"]


def test_a_deployment_that_the_platform_forgot_cannot_be_told(world: World, context: Context) -> None:
    first = steps(Restart(context))[0]
    world.deployments["shop-green"] = [deployment("other", COMMITS["v1"])]
    with pytest.raises(Rejected, match="no deployment first-green"):
        first.probe()


def test_traffic_that_flows_to_an_ill_service_fails(world: World, context: Context) -> None:
    resume = steps(Restart(context))[1]
    resume.do("op")
    world.pages["https://shop.example.com/health"] = answered(502)
    assert resume.settle().outcome is Outcome.FAIL


# --- a deployment's last words


@pytest.mark.parametrize(
    ("logs", "fault", "text"),
    [
        (("a <b>", "c"), None, "a <b>\nc\n"),
        ((), None, "its log is empty\n"),
        ((), Fault.DOWN, "its log cannot be had: platform.logs did not answer\n"),
    ],
)
def test_a_deployment_that_failed_shows_its_log_or_why_there_is_none(
    world: World, run: Run, logs: tuple[str, ...], fault: Fault | None, text: str
) -> None:
    world.lands, world.logs["deployment-1"] = "failed", logs
    if fault:
        world.broken["platform.logs"] = fault
    (step,) = Deploy(world.context(run)).steps()
    step.do("op")
    result = step.settle()
    assert (result.outcome, result.evidence.text) == (Outcome.FAIL, text)
