"""Checks: only pass is pass, and what could not be looked at never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from deploykit.checks import rollback, service, smoke, success, watch
from deploykit.context import Context, StopAskedError
from deploykit.errors import ProviderError
from deploykit.model import Answer, Finding, Outcome, Result, Verdict
from deploykit.run import Run
from tests.world import Fault, World, answered

BLUE, GREEN, SHOP = (f"https://{host}.example.com" for host in ("blue", "green", "shop"))


@pytest.fixture
def run(world: World) -> Run:
    """A run whose release is deployed beside live."""
    planned = world.plan(approved=False)
    world.deployed(planned)
    return planned


@pytest.fixture
def context(world: World, run: Run) -> Context:
    return world.context(run)


# --- health of the candidate


def test_a_candidate_that_answers_in_time_and_is_the_release_passes(context: Context) -> None:
    result = service.candidate_health(context)
    assert (result.item, result.outcome, result.mend) == ("blue-green.health", Outcome.PASS, "")
    assert result.evidence.facts["version"] == "v2"
    assert result.evidence.facts["url"] == f"{BLUE}/health"


@pytest.mark.parametrize(
    ("url", "answer", "said"),
    [
        (f"{BLUE}/health", answered(503), "answers 503"),
        (f"{BLUE}/health", answered(204), "answers 204"),
        (f"{BLUE}/health", answered(seconds=2.5), "took 2.5 s"),
        (f"{BLUE}/version", answered(body={"version": "v1"}), "v1 answers there, not v2"),
        (f"{BLUE}/version", answered(), "answers there, not v2"),
    ],
)
def test_a_candidate_that_is_ill_or_another_release_fails(
    world: World, context: Context, url: str, answer: Any, said: str
) -> None:
    world.pages[url] = answer
    result = service.candidate_health(context)
    assert result.outcome is Outcome.FAIL
    assert said in result.summary
    assert result.mend


def test_a_candidate_that_does_not_answer_is_an_error(world: World, context: Context) -> None:
    world.broken["http.get blue.example.com"] = Fault.DOWN
    assert service.candidate_health(context).outcome is Outcome.ERROR


def test_a_candidate_that_falls_silent_between_the_questions_raises_for_its_caller(
    world: World, context: Context
) -> None:
    world.fail("http.get blue.example.com", Fault.SLOW, Fault.DOWN)
    with pytest.raises(ProviderError):
        service.candidate_health(context)


# --- smoke


def test_smoke_asks_the_candidate_and_keeps_every_answer(context: Context) -> None:
    result = smoke.smoke(context)
    assert (result.outcome, result.summary) == (Outcome.PASS, "2 of 2 requests answered as they must")
    assert result.evidence.tables[0].rows == (("/products", "200", "200", "ok"), ("/cart", "200", "200", "ok"))


@pytest.mark.parametrize(
    ("pages", "outcome", "said"),
    [
        ({f"{BLUE}/cart": answered(500)}, Outcome.FAIL, "answered 500"),
        ({f"{BLUE}/products": answered(text="")}, Outcome.FAIL, "the answer lacks 'answers'"),
        ({f"{GREEN}/cart": answered(500)}, Outcome.PASS, "ok"),
    ],
)
def test_each_answer_is_held_against_what_it_must_be(
    world: World, context: Context, pages: dict[str, Any], outcome: Outcome, said: str
) -> None:
    world.pages |= pages
    result = smoke.smoke(context)
    assert result.outcome is outcome
    assert said in {row[3] for row in result.evidence.tables[0].rows}


@pytest.mark.parametrize(
    ("faults", "pages", "outcome"),
    [
        ([Fault.DOWN], {}, Outcome.ERROR),
        ([Fault.SLOW, Fault.REJECTED], {}, Outcome.ERROR),
        ([Fault.DOWN], {f"{BLUE}/cart": answered(500)}, Outcome.FAIL),
    ],
)
def test_a_request_without_an_answer_is_an_error_and_a_wrong_answer_weighs_more(
    world: World, context: Context, faults: list[Fault], pages: dict[str, Any], outcome: Outcome
) -> None:
    world.pages |= pages
    world.fail("http.get", *faults)
    assert smoke.smoke(context).outcome is outcome


def test_no_list_of_requests_is_no_pass(world: World) -> None:
    world.edit('smoke = [{path = "/products", contains = "answers"}, {path = "/cart"}]', "")
    result = smoke.smoke(world.context(world.plan(approved=False)))
    assert (result.outcome, result.summary) == (Outcome.INCONCLUSIVE, "no smoke test is set")
    assert "[[environments.production.smoke]]" in result.mend


# --- after a rollback


def test_traffic_is_back_when_weights_and_requests_say_so(world: World, context: Context) -> None:
    world.rate = 0
    result = rollback.traffic(context)
    assert result.outcome is Outcome.PASS
    assert result.evidence.facts["requests"] == {"blue": 0, "green": rollback.PROBES}


TRAFFIC: dict[str, tuple[Callable[[World], object], Outcome, str]] = {
    "split": (lambda w: w.shift(10), Outcome.FAIL, "'blue': 10"),
    "on the candidate": (lambda w: w.shift(100), Outcome.FAIL, "went to the candidate"),
    "not where it says": (
        lambda w: w.__dict__.update(rate=100, sends={"blue": 0.5, "green": 0.5}),
        Outcome.FAIL,
        "50 requests went to the candidate",
    ),
    "nowhere": (lambda w: w.broken.update({"http.get": Fault.DOWN}), Outcome.INCONCLUSIVE, "no request was served"),
}


@pytest.mark.parametrize("where", TRAFFIC)
def test_traffic_that_is_not_back_does_not_pass(world: World, context: Context, where: str) -> None:
    world.rate = 0
    prepare, outcome, said = TRAFFIC[where]
    prepare(world)
    result = rollback.traffic(context)
    assert result.outcome is outcome
    assert said in result.summary
    assert "deploykit rollback" in result.mend


def test_the_service_is_healthy_when_the_plans_live_answers(world: World, context: Context) -> None:
    assert rollback.health(context).outcome is Outcome.PASS
    world.shift(100)
    result = rollback.health(context)
    assert (result.outcome, result.summary) == (Outcome.FAIL, "v2 answers through the router, not v1")
    world.pages[f"{SHOP}/health"] = answered(502)
    assert rollback.health(context).outcome is Outcome.FAIL
    world.broken["http.get"] = Fault.DOWN
    assert rollback.health(context).outcome is Outcome.ERROR


# --- success


@pytest.mark.parametrize(
    ("check", "metric", "limit"), [(success.error_rate, "errors", 0.001), (success.latency, "slow", 0.05)]
)
@pytest.mark.parametrize(
    ("served", "share", "outcome"),
    [
        (100_000.0, 0.5, Outcome.PASS),
        (100_000.0, 2.0, Outcome.FAIL),
        (50.0, 0.0, Outcome.INCONCLUSIVE),
        (0.0, 0.0, Outcome.INCONCLUSIVE),
        (None, 0.0, Outcome.INCONCLUSIVE),
    ],
)
def test_a_limit_passes_only_when_the_counts_prove_it(
    world: World,
    context: Context,
    *,
    check: Callable[[Context], Result],
    metric: str,
    limit: float,
    served: float | None,
    share: float,
    outcome: Outcome,
) -> None:
    world.served = {"requests blue": served, f"{metric} blue": (served or 0.0) * share * limit}
    result = check(context)
    assert result.outcome is outcome, result.summary
    assert (result.mend == "") == (outcome is Outcome.PASS)
    assert result.evidence.facts["limit"] == limit
    assert len(result.evidence.figures) == 1


def test_more_events_than_requests_prove_nothing_good(world: World, context: Context) -> None:
    world.served = {"requests blue": 100.0, "errors blue": 500.0}
    assert success.error_rate(context).outcome is Outcome.FAIL


def test_metrics_that_do_not_answer_raise_for_the_caller(world: World, context: Context) -> None:
    world.broken["metrics.series"] = Fault.DOWN
    for check in (success.error_rate, success.latency):
        with pytest.raises(ProviderError):
            check(context)


# --- the watch


def results(context: Context) -> dict[str, Result]:
    watched = watch.watch(context)
    return {r.item: r for r in (make(context, watched) for make in (watch.errors, watch.latency, watch.health))}


def test_a_quiet_watch_passes_all_that_it_proves(world: World, context: Context) -> None:
    world.shift(100)
    found = results(context)
    assert {r.outcome for r in found.values()} == {Outcome.PASS}
    assert "looks" in found["watch.errors"].summary
    titles = [f.title for f in found["watch.latency"].evidence.figures]
    assert titles == ["Requests over 500 ms", "Evidence that the candidate is worse", "Latency"]
    assert "this hour yesterday" in str(found["watch.latency"].evidence.facts["baseline"])
    assert world.progress[-1].startswith("watch: ")


def test_a_watch_ends_at_once_when_the_judge_says_to_go_back(world: World, context: Context) -> None:
    world.shift(100)
    world.served = {"errors blue": 500.0}
    watched = watch.watch(context)
    assert watched.looks == 1
    assert watched.verdict is not None
    assert watched.verdict.answer is Answer.ROLL_BACK
    assert watch.errors(context, watched).outcome is Outcome.FAIL
    assert watch.latency(context, watched).outcome is Outcome.PASS


def test_a_watch_that_saw_nothing_proves_nothing(world: World, context: Context) -> None:
    world.shift(100)
    world.broken["metrics.series"] = Fault.DOWN
    found = results(context)
    assert found["watch.errors"].outcome is found["watch.latency"].outcome is Outcome.INCONCLUSIVE
    assert "cannot see: metrics.series did not answer" in found["watch.errors"].summary
    facts = found["watch.errors"].evidence.facts
    assert facts["looks"] == facts["looks_without_an_answer"] != 0


def test_a_watch_that_was_blind_for_most_of_its_time_proves_nothing(world: World, context: Context) -> None:
    world.shift(100)
    world.fail("metrics.series", *[Fault.DOWN] * 3)
    lasts = 0.3
    world.pauses = [*[lambda: None] * 3, lambda: time.sleep(lasts)]
    longer = context.plan.model_copy(update={"watch_seconds": lasts * context.plan.time_scale})
    watched = watch.watch(world.context(world.run, plan=longer))
    assert (len(watched.blind), watched.looks) == (3, 4)
    assert watch.errors(context, watched).outcome is Outcome.INCONCLUSIVE


def test_a_watch_without_requests_proves_nothing(world: World, context: Context) -> None:
    world.shift(100)
    world.served = {"requests blue": 0.0}
    assert results(context)["watch.errors"].outcome is Outcome.INCONCLUSIVE


def test_traffic_that_left_the_candidate_fails_the_watch_whatever_the_metrics_say(
    world: World, context: Context
) -> None:
    """The proxy was restarted and came up with what its file says, or somebody moved the weights."""
    world.shift(100)
    world.pauses = [lambda: world.shift(0), lambda: world.shift(100)]
    found = results(context)
    assert found["watch.errors"].outcome is found["watch.latency"].outcome is Outcome.FAIL
    assert "not all traffic was on the candidate: the router had {'blue': 0" in found["watch.errors"].summary
    assert found["watch.errors"].evidence.facts["looks_with_other_weights"] == 1


def test_a_watch_that_cannot_ask_the_router_proves_nothing(world: World, context: Context) -> None:
    world.broken["router.weights"] = Fault.DOWN
    assert results(context)["watch.errors"].outcome is Outcome.INCONCLUSIVE


def test_mostly_blind_looks_are_not_enough() -> None:
    finding = Finding(metric="errors", answer=Answer.PASS, reason="0 of 10")
    verdict = Verdict(answer=Answer.PASS, reason="fine", findings=(finding,))
    seen = watch.Watched(began=0.0, looks=4, verdict=verdict, blind=[(1.0, "no answer")] * 2)
    assert watch.errors(None, seen).outcome is Outcome.PASS  # type: ignore[arg-type]  # not looked at
    seen.blind.append((2.0, "no answer"))
    assert watch.errors(None, seen).outcome is Outcome.INCONCLUSIVE  # type: ignore[arg-type]  # not looked at


@pytest.mark.parametrize(
    ("answer", "fault", "outcome"),
    [(answered(500), None, Outcome.FAIL), (None, Fault.DOWN, Outcome.ERROR)],
)
def test_one_look_that_was_not_well_is_enough_to_fail_health(
    world: World, context: Context, answer: Any, fault: Fault | None, outcome: Outcome
) -> None:
    def ill() -> None:
        if answer:
            world.pages[f"{SHOP}/health"] = answer
        if fault:
            world.broken["http.get"] = fault

    def well() -> None:
        world.pages.clear()
        world.broken.clear()

    world.pauses = [ill, well]
    result = results(context)["success.health"]
    assert result.outcome is outcome
    assert len(result.evidence.tables[0].rows) == 1


def test_a_watch_that_never_looked_passes_nothing() -> None:
    unseen = watch.Watched(began=0.0)
    for make in (watch.errors, watch.latency, watch.health):
        assert make(None, unseen).outcome is Outcome.INCONCLUSIVE  # type: ignore[arg-type]  # not looked at


def test_a_watch_is_ended_by_who_asks_to_stop(world: World, context: Context) -> None:
    def stop() -> None:
        raise StopAskedError("bob says so")

    world.pauses = [stop]
    with pytest.raises(StopAskedError):
        watch.watch(context)
