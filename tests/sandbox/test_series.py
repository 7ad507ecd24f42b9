"""Datadog's queries over samples written by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.sandbox.proxy import LATENCY_EDGES
from deploykit.sandbox.vendors.collector import Sample
from deploykit.sandbox.vendors.series import QueryError, above, evaluate, interval, parse_query, percentile

EDGE = LATENCY_EDGES.index(500)


def sample(at: int, requests: int, errors: int = 0, slow: int = 0, colour: str = "green") -> Sample:
    buckets = [0] * len(LATENCY_EDGES)
    buckets[0], buckets[EDGE + 1] = requests - slow, slow
    return Sample(at, colour, "v1.4.2", requests, errors, buckets, cpu=float(requests), memory=None)


def points(text: str, samples: list[Sample], step: int = 10) -> dict[tuple[str, ...], dict[int, float]]:
    return {line.group: dict(line.points) for line in evaluate(parse_query(text), samples, step)}


def test_counts_add_up_in_an_interval_and_are_absent_without_requests() -> None:
    samples = [sample(100, 5), sample(101, 7), sample(110, 0), sample(120, 1)]
    assert points("sum:shop.requests{*}.as_count()", samples) == {(): {100: 12.0, 120: 1.0}}


def test_errors_are_zero_where_requests_were_and_none_failed() -> None:
    samples = [sample(100, 5), sample(110, 5, errors=2), sample(120, 0)]
    assert points("sum:shop.errors{*}.as_count()", samples) == {(): {100: 0.0, 110: 2.0}}


def test_groups_are_apart() -> None:
    samples = [sample(100, 5), sample(100, 3, colour="blue")]
    assert points("sum:shop.requests{*} by {colour}", samples) == {
        ("colour:blue",): {100: 3},
        ("colour:green",): {100: 5},
    }
    assert points("sum:shop.requests{*}", samples) == {(): {100: 8}}
    assert points("max:shop.cpu.percent{*}", samples) == {(): {100: 5}}


def test_gauges_average_over_time_unless_told_otherwise() -> None:
    samples = [sample(100, 2), sample(101, 4)]
    assert points("avg:shop.cpu.percent{*}", samples) == {(): {100: 3.0}}
    assert points("avg:shop.cpu.percent{*}.rollup(max, 10)", samples) == {(): {100: 4.0}}
    assert points("avg:shop.memory.rss{*}", samples) == {}


def test_the_share_above_the_edge_is_exact() -> None:
    samples = [sample(100, 100, slow=30), sample(101, 50, slow=5)]
    assert points("count(v: v>500):shop.latency{*}.as_count()", samples) == {(): {100: 35.0}}
    assert points("count(v: v>=500):shop.latency{*}.as_count()", samples) == {(): {100: 35.0}}
    assert points("count:shop.latency{*}", samples) == {(): {100: 150.0}}


@given(st.lists(st.integers(0, 50), min_size=len(LATENCY_EDGES), max_size=len(LATENCY_EDGES)))
def test_percentiles_rise_and_agree_with_counts(buckets: list[int]) -> None:
    if not sum(buckets):
        return
    values = [percentile(buckets, share) for share in (0.5, 0.75, 0.9, 0.95, 0.99)]
    assert values == sorted(values)
    assert above(buckets, 0) == sum(buckets)
    assert above(buckets, LATENCY_EDGES[-1]) == 0


@pytest.mark.parametrize(("span", "seconds"), [(60, 10), (3600, 10), (4 * 3600, 60), (24 * 3600, 300), (10**6, 3600)])
def test_the_interval_grows_with_the_span(span: int, seconds: int) -> None:
    assert interval(parse_query("sum:shop.requests{*}"), span) == seconds
    assert interval(parse_query("sum:shop.requests{*}.rollup(sum, 1)"), span) == 1


@pytest.mark.parametrize(
    "text", ["", "shop.requests", "sum:shop.requests", "sum:shop.requests{*", "sum:shop.requests{*}.x()"]
)
def test_what_cannot_be_parsed_is_an_error(text: str) -> None:
    with pytest.raises(QueryError, match="Error parsing query"):
        parse_query(text)
