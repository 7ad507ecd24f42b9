"""`prepare.baseline`, `prepare.staging-stable` and `watch.resources`: what is not known is never a pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from deploykit import measure
from deploykit.checks import baseline, watch
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Outcome, Series, sha256
from tests.world import FakeMetrics, Fault, World

WHOLE = "".join(f'{name} = "{name} $colour"\n' for name in ("p50", "p99", "cpu", "memory", "query_time"))
STAGING = '[metrics.staging]\n"$colour" = "staging"\n\n[chat]'


@pytest.fixture
def context(world: World) -> Context:
    """A run whose settings name every metric of a baseline, and staging."""
    world.edit('p95 = "p95 $colour"', f'p95 = "p95 $colour"\n{WHOLE}')
    world.edit("[chat]", STAGING)
    return world.context(world.plan(approved=False))


class Minutes(FakeMetrics):
    """A point a minute."""

    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:
        one = super().series(query, start, end, name=name, unit=unit)
        if not one.points:
            return one
        times = range(int(start.timestamp()) // 60 * 60 + 60, int(end.timestamp()), 60)
        return one.model_copy(update={"points": tuple((float(at), one.points[0][1]) for at in times)})


def minutely(world: World, context: Context) -> Context:
    ports = context.ports

    class Ports:
        metrics = Minutes(world)

        def __getattr__(self, name: str) -> object:
            return getattr(ports, name)

    return replace(context, ports=Ports())  # type: ignore[arg-type]  # all but the metrics is as it was


# --- prepare.baseline


def test_a_whole_baseline_is_frozen_with_its_queries_and_shown(world: World, context: Context) -> None:
    result = baseline.recorded(context)
    assert (result.item, result.outcome) == ("prepare.baseline", Outcome.PASS)
    frozen = world.run.read(measure.FILE)
    assert frozen is not None
    assert result.evidence.facts["sha256"] == sha256(frozen)
    (table,) = result.evidence.tables
    assert [row[0] for row in table.rows] == [
        "throughput", "error rate", "requests over the limit", "p50 of latency", "p95 of latency", "p99 of latency",
        "CPU", "memory", "time of database queries",
    ]  # fmt: skip
    assert table.rows[0][-1] == "requests $colour"
    titles = [figure.title for figure in result.evidence.figures]
    assert {"Failed requests", "Latency", "CPU", "Memory", "Time of database queries", "Requests served"} <= set(titles)


def test_the_judge_uses_what_was_frozen_and_says_so(world: World, context: Context) -> None:
    baseline.recorded(context)
    world.served = {"errors green": 999.0}
    watched = watch.watch(context)
    assert watched.before is not None
    assert all(value == 0.0 for _, value in watched.before.series["errors"].points)
    assert str(watch.errors(context, watched).evidence.facts["baseline"]).startswith("the last hours: ")


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ({"cpu green": None}, "nothing in the last hours of CPU"),
        ({"requests green": None}, "nothing in the last hours of throughput"),
        ({"p95 green": None, "memory green": None}, "p95 of latency, memory"),
    ],
)
def test_a_metric_that_is_silent_makes_no_baseline(
    world: World, context: Context, served: dict[str, float | None], said: str
) -> None:
    world.served = served
    result = baseline.recorded(context)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert said in result.summary
    assert "metrics." in result.mend


def test_no_errors_are_a_baseline(world: World, context: Context) -> None:
    world.served = {"errors green": None, "slow green": None}
    assert baseline.recorded(context).outcome is Outcome.PASS


def test_what_is_not_set_up_is_named_with_the_key_to_set(world: World, context: Context) -> None:
    world.edit('cpu = "cpu $colour"\n', "")
    result = baseline.recorded(replace(context, settings=world.settings()))
    assert (result.outcome, result.mend) == (Outcome.INCONCLUSIVE, "set [metrics] cpu")


def test_metrics_that_do_not_answer_are_no_baseline(world: World, context: Context) -> None:
    world.broken["metrics.series"] = Fault.DOWN
    with pytest.raises(ProviderError):
        baseline.recorded(context)
    assert world.run.read(measure.FILE) is None


# --- prepare.staging-stable


@pytest.mark.parametrize(
    ("served", "outcome", "said"),
    [
        ({}, Outcome.PASS, "nothing speaks for going back"),
        ({"errors staging": 50.0}, Outcome.FAIL, "errors: 5.00%"),
        ({"slow staging": 300.0}, Outcome.FAIL, "slow: 30.00%"),
        ({"requests staging": 2.0}, Outcome.INCONCLUSIVE, "too little traffic"),
        ({"requests staging": None}, Outcome.INCONCLUSIVE, "no requests of the candidate are known"),
    ],
)
def test_staging_is_judged_by_its_own_hours(
    world: World, context: Context, served: dict[str, float | None], outcome: Outcome, said: str
) -> None:
    world.served = served
    result = baseline.staging_stable(minutely(world, context))
    assert (result.item, result.outcome) == ("prepare.staging-stable", outcome), result.summary
    assert said in result.summary
    assert (result.mend == "") == (outcome is Outcome.PASS)


def test_staging_that_is_not_set_up_is_not_passed(world: World, context: Context) -> None:
    world.edit(STAGING, "[chat]")
    result = baseline.staging_stable(replace(context, settings=world.settings()))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "[metrics] staging" in result.mend


# --- watch.resources


def watched(world: World, context: Context, **gauges: float | None) -> watch.Watched:
    """The end of a watch of half an hour in which each gauge grew by that share an hour."""
    told = minutely(world, context)
    history = measure.recall(told, context.settings.metrics.queries, 1_800_000_000.0)
    seen = watch.Watched(began=history.until, before=history)
    for name, growth in gauges.items():
        level = history.series[name].points[-1][1] or 1.0
        points = tuple((history.until + 20.0 * n, level * (1 + (growth or 0) * n / 180)) for n in range(90))
        seen.measured[name] = Series(name=name, unit="bytes", points=points if growth is not None else ())
    return seen


@pytest.mark.parametrize(
    ("gauges", "outcome", "said"),
    [
        ({"cpu": 0.0, "memory": 0.0}, Outcome.PASS, "memory: "),
        ({"cpu": 0.0, "memory": 0.15}, Outcome.FAIL, "creeps up, by 15% an hour"),
        ({"cpu": 3.0, "memory": 0.0}, Outcome.FAIL, "cpu: "),
        ({"cpu": 0.0}, Outcome.INCONCLUSIVE, "memory: it was not measured"),
        ({"cpu": 0.0, "memory": None}, Outcome.INCONCLUSIVE, "memory: no points yet"),
    ],
)
def test_resources_are_held_against_live_and_a_slow_leak_is_seen(
    world: World, context: Context, gauges: dict[str, float | None], outcome: Outcome, said: str
) -> None:
    world.served = {"cpu green": 40.0, "memory green": 2e8}
    result = watch.resources(context, watched(world, context, **gauges))
    assert (result.item, result.outcome) == ("watch.resources", outcome), result.summary
    assert said in result.summary
    assert (result.mend == "") == (outcome is Outcome.PASS)


@pytest.mark.parametrize(
    ("live", "release", "outcome"),
    [(5.0, 14.0, Outcome.PASS), (40.0, 48.0, Outcome.PASS), (5.0, 30.0, Outcome.FAIL), (40.0, 65.0, Outcome.FAIL)],
)
def test_some_percent_of_a_machine_more_hurt_nobody(
    world: World, context: Context, live: float, release: float, outcome: Outcome
) -> None:
    world.served = {"cpu green": live, "memory green": 2e8}
    seen = watched(world, context, cpu=0.0, memory=0.0)
    flat = tuple((at, release) for at, _ in seen.measured["cpu"].points)
    seen.measured["cpu"] = Series(name="cpu", unit="percent", points=flat)
    result = watch.resources(context, seen)
    assert result.outcome is outcome, result.summary


def test_what_was_never_looked_at_is_not_passed(context: Context) -> None:
    assert watch.resources(context, watch.Watched(began=0.0)).outcome is Outcome.INCONCLUSIVE


def test_the_watch_asks_for_resources_and_shows_them(world: World, context: Context) -> None:
    seen = watch.watch(context)
    assert list(seen.measured) == ["p50", "p95", "p99", "cpu", "memory"]
    assert {"Latency", "CPU", "Memory"} <= {figure.title for figure in seen.figures}
