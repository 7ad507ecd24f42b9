"""What is asked of the metrics, and what their silence means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploykit import measure
from deploykit.context import Context
from deploykit.errors import Rejected, UsageError
from deploykit.model import Series
from tests.world import World

PLAIN = '[metrics.plain.queue]\nquery = "queue $colour"\nunit = "bytes"\nmatters = 0.5\n\n[chat]'


def test_a_query_names_the_colour_and_a_series_the_release(world: World, context: Context) -> None:
    seen = measure.observe(context, context.plan.candidate, 1000.0, 2000.0)
    assert (seen.requests.query, seen.requests.name) == ("requests blue", "requests, blue v2")
    assert (seen.errors.query, seen.slow.query) == ("errors blue", "slow blue")
    assert seen.requests.points == ((2000.0, 1000.0),)


def test_a_share_is_of_the_requests_of_its_bucket_and_nothing_where_nothing_was_served() -> None:
    events = Series(name="e", unit="requests", query="e", points=((1.0, 5.0), (3.0, None)))
    requests = Series(name="r", unit="requests", query="r", points=((1.0, 50.0), (2.0, 10.0), (3.0, 4.0), (4.0, 0.0)))
    found = measure.share("blue", events, requests)
    assert found.points == ((1.0, 10.0), (2.0, 0.0), (3.0, 0.0), (4.0, None))
    assert (found.unit, found.query) == ("percent", "e / r")


def test_the_limits_are_the_settings_and_old_points_are_as_old_as_the_vendor_is_late(context: Context) -> None:
    bounds = measure.bounds(context, 7)
    assert (bounds.error_rate, bounds.slow_share, bounds.requests) == (0.001, 0.05, 7)
    assert bounds.fresh == context.settings.metrics.delay + 30


def test_further_metrics_are_asked_for_with_what_the_settings_say_of_them(world: World, context: Context) -> None:
    world.edit("[chat]", PLAIN)
    told = replace(context, settings=world.settings())
    ((metric, series),) = measure.observe(told, told.plan.candidate, 1000.0, 2000.0).plain
    assert (metric.name, metric.unit, metric.critical, metric.matters) == ("queue", "bytes", False, 0.5)
    assert (series.query, series.unit) == ("queue blue", "bytes")


def test_no_errors_are_none_only_where_errors_would_be_told(world: World, context: Context) -> None:
    world.served = {"errors blue": None}
    assert measure.observe(context, context.plan.candidate, 1000.0, 2000.0).errors.points == ()
    world.unreported = {"errors blue"}
    with pytest.raises(Rejected, match="no errors are known, and errors was never reported"):
        measure.observe(context, context.plan.candidate, 1000.0, 2000.0)
    world.served |= {"requests blue": None}
    assert measure.observe(context, context.plan.candidate, 1000.0, 2000.0).requests.points == ()


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ('[metrics.plain.queue]\nquery = "q"\nunit = "parsecs"\n', r"metrics\.plain\.queue\.unit"),
        ('[metrics.plain.queue]\nquery = ""\nunit = "ms"\n', r"metrics\.plain\.queue\.query"),
        ('[metrics.plain.memory]\nquery = "q"\nunit = "ms"\n', "names that .metrics. has already: memory"),
        ('[metrics.staging]\n"env:prod" = "env:staging"\n', "does not make requests a query of staging"),
        ('[metrics.staging]\n"requests $colour" = "requests staging"\n', "does not make errors a query of staging"),
    ],
)
def test_what_makes_no_sense_is_an_error_before_anything_happens(world: World, added: str, said: str) -> None:
    world.edit("[chat]", f"{added}\n[chat]")
    with pytest.raises(UsageError, match=said):
        world.settings()


def test_staging_is_asked_by_replacing_what_makes_a_query_one_of_production(world: World, context: Context) -> None:
    world.edit("[chat]", '[metrics.staging]\n"$colour" = "staging"\n\n[chat]')
    told = replace(context, settings=world.settings())
    assert measure.staging(told, 1000.0, 2000.0).errors.query == "errors staging"
