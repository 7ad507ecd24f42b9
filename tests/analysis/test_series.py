from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.points import Point
from deploykit.analysis.reference import Reference, from_history
from deploykit.analysis.series import SeriesTest

NOW = 1_700_000_000.0
ENOUGH = math.log(20)


def reference(values: list[float], unit: str = "ms", worse: str = "increase") -> Reference:
    points: list[Point] = [(NOW - 60 * (len(values) - i), value) for i, value in enumerate(values)]
    found = from_history(points, unit, worse)
    assert found is not None
    return found


def steady(count: int = 30) -> list[float]:
    rng = random.Random(9)
    return [100 + rng.gauss(0, 3) for _ in range(count)]


def judged(live: list[float], past: list[float], unit: str = "ms", worse: str = "increase") -> list[float]:
    known = reference(past, unit, worse)
    test = SeriesTest(known, worse)
    return [test.update(known, NOW + 60 * (i + 1), value) for i, value in enumerate(live)]


def test_a_doubled_level_is_certain_after_two_points() -> None:
    found = judged([200.0] * 4, steady())
    assert found[0] < ENOUGH <= found[1]


def test_one_spike_of_any_size_never_decides() -> None:
    assert max(judged([100.0, 1e9, 100.0, 100.0, 100.0], steady())) < ENOUGH
    assert max(judged([1e9], steady(7))) < ENOUGH


def test_spikes_that_the_past_had_too_decide_nothing() -> None:
    past = [value * (5 if i % 6 == 0 else 1) for i, value in enumerate(steady(60))]
    assert max(judged([value * (5 if i % 6 == 0 else 1) for i, value in enumerate(steady(30))], past)) < ENOUGH


def test_better_is_not_worse() -> None:
    assert max(judged([50.0] * 20, steady())) < 0.7
    assert max(judged([200.0] * 20, steady(), worse="decrease")) < 0.7


@pytest.mark.parametrize("value", [40.0, 250.0])
def test_where_either_is_worse_both_are(value: float) -> None:
    assert judged([value] * 6, steady(), "count", "either")[-1] > ENOUGH


def test_a_change_that_does_not_matter_is_none_however_long_it_lasts() -> None:
    exact = [100.0 + 0.01 * (i % 3) for i in range(60)]
    assert max(judged([105.0] * 500, exact)) < ENOUGH
    assert judged([130.0] * 5, exact)[-1] > ENOUGH


def test_a_slow_leak_is_found_in_the_end() -> None:
    found = judged([100 * 1.02**i for i in range(60)], steady())
    assert found[5] < ENOUGH < found[40]


def test_a_wider_spread_is_found_at_the_same_level() -> None:
    assert judged([60.0, 160.0] * 15, steady(), "ms", "either")[-1] > ENOUGH


def test_a_drop_of_a_success_rate_is_found_where_it_never_dropped() -> None:
    assert judged([97.0, 96.5], [100.0] * 28, "percent", "decrease")[-1] > ENOUGH


def test_the_same_stays_the_same() -> None:
    rng, wrong = random.Random(11), 0
    for _ in range(200):
        past, live = ([100 + rng.gauss(0, 5) for _ in range(30)] for _ in range(2))
        wrong += max(judged(live, past)) >= ENOUGH
    assert wrong <= 10
