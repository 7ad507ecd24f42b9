"""Whether requests were split as they should have been."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from deploykit.analysis.share import ALPHA, STRAY, enough, holds


def chance(hits: int, total: int, share: float) -> float:
    """The binomial probability of so many hits."""
    if share in {0.0, 1.0}:
        return float(hits == total * share)
    logs = hits * math.log(share) + (total - hits) * math.log1p(-share)
    return math.exp(math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1) + logs)


SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("total", [1, 2, 5, 10, 25, 60, 99, 100, 400, 3000])
def test_a_router_that_does_what_it_says_is_refused_no_more_often_than_promised(share: float, total: int) -> None:
    refused = sum(chance(hits, total, share) for hits in range(total + 1) if not holds(hits, total, share))
    assert refused <= ALPHA


@pytest.mark.parametrize(
    ("before", "share"), [(0.0, 0.1), (0.1, 0.5), (0.0, 0.5), (0.5, 1.0), (0.0, 1.0), (0.25, 0.5), (0.0, 0.01)]
)
def test_with_enough_requests_a_router_that_did_not_move_is_found(before: float, share: float) -> None:
    for more in (1, 3, 30):
        total = enough(before, share) * more
        missed = sum(chance(hits, total, before) for hits in range(total + 1) if holds(hits, total, share))
        assert missed <= ALPHA


def test_with_fewer_nothing_at_all_would_still_pass_for_a_tenth() -> None:
    assert enough(0.0, 0.1) == 99
    assert holds(0, 98, 0.1)
    assert not holds(0, 99, 0.1)


def test_at_all_traffic_only_strays_may_go_elsewhere() -> None:
    assert holds(15, 15, 1.0)
    assert not holds(14, 15, 1.0)
    assert holds(99, 100, 1.0)
    assert holds(10_000 - STRAY, 10_000, 1.0)
    assert not holds(10_000 - STRAY - 1, 10_000, 1.0)
    assert not holds(0, 5, 1.0)


def test_no_request_proves_nothing() -> None:
    assert not holds(0, 0, 0.5)


@given(some.integers(1, 5000), some.data(), some.sampled_from(SHARES))
def test_what_is_nearer_to_the_share_holds_where_something_farther_does(
    total: int, data: some.DataObject, share: float
) -> None:
    hits = data.draw(some.integers(0, total))
    nearer = hits + (1 if hits < share * total else -1)
    if abs(nearer - share * total) <= abs(hits - share * total) and holds(hits, total, share):
        assert holds(nearer, total, share)


@given(some.integers(1, 10**9), some.floats(0, 1))
def test_any_number_of_requests_is_judged(total: int, share: float) -> None:
    assert holds(math.floor(total * share), total, share) in {True, False}
