from __future__ import annotations

import math

import pytest

from deploykit.analysis.metric import Metric, MetricWatch

NOW = 1_700_000_000.0
ENOUGH = math.log(20)
PAST = [(NOW - 60 * (30 - i), 100.0 + i % 5) for i in range(30)]


def fed(watch: MetricWatch, *looks: tuple[float | None, float | None]) -> float:
    for number, (value, control) in enumerate(looks):
        watch.update(NOW + 60 * (number + 1), value, control)
    return watch.log_e


def test_worse_than_the_past_but_not_than_the_control_is_no_news() -> None:
    watch = MetricWatch(Metric("p95", "ms"), PAST, controlled=True)
    assert fed(watch, *[(300.0 + i % 3, 300.0 + i % 4) for i in range(20)]) < 0.7


def test_worse_than_both_is() -> None:
    watch = MetricWatch(Metric("p95", "ms"), PAST, controlled=True)
    assert fed(watch, *[(300.0 + i % 3, 101.0 + i % 4) for i in range(20)]) > ENOUGH


def test_the_points_before_the_control_was_known_are_judged_when_it_is() -> None:
    watch = MetricWatch(Metric("errors", "count"), [], controlled=True)
    assert fed(watch, *[(5.0, 0.0)] * 3) == 0.0
    assert watch.update(NOW + 240, 5.0, 0.0) > ENOUGH


def test_errors_beside_a_control_that_reports_none_at_all_speak() -> None:
    sparse = [(1.0, None), (None, None), (2.0, None), (None, None)] * 6
    watch = MetricWatch(Metric("errors", "count"), [], controlled=True)
    assert fed(watch, *sparse) > ENOUGH
    assert not watch.compared, "but silence alone lets nothing pass"
    quiet = MetricWatch(Metric("errors", "count"), [], controlled=True)
    assert fed(quiet, *[(None, None)] * 24) == 0.0
    other = MetricWatch(Metric("latency", "ms"), [], controlled=True)
    assert fed(other, *sparse) == 0.0


def test_a_counter_is_judged_by_its_growth_and_a_reset_is_none() -> None:
    past = [(NOW - 60 * (30 - i), 600.0 * i) for i in range(30)]
    steady, faster = (MetricWatch(Metric("bytes", "count"), past) for _ in range(2))
    assert steady.counter
    assert fed(steady, *[(600.0 * i if i < 10 else 600.0 * (i - 10), None) for i in range(20)]) < ENOUGH
    assert fed(faster, *[(2400.0 * i, None) for i in range(20)]) > ENOUGH


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_missing(value: float | None) -> None:
    watch = MetricWatch(Metric("p95", "ms"), PAST)
    assert fed(watch, *[(value, value)] * 10) == 0.0
    assert (watch.seen, watch.strays) == (0, [])


def test_a_noisier_side_needs_more() -> None:
    calm, noisy = (MetricWatch(Metric("p95", "ms"), PAST) for _ in range(2))
    for look in range(6):
        calm.update(NOW + look, 120.0)
        noisy.update(NOW + look, 120.0, noise=4.0)
    assert calm.log_e > ENOUGH > noisy.log_e


def test_the_newest_strays_are_those_in_the_direction_of_worse() -> None:
    for worse, expected in (("increase", [900.0]), ("decrease", [1.0]), ("either", [900.0, 1.0])):
        watch = MetricWatch(Metric("x", "raw", worse), PAST)
        fed(watch, (900.0, None), (101.0, None), (1.0, None))
        assert watch.strays == expected


def test_without_anything_to_compare_with_nothing_is_judged() -> None:
    watch = MetricWatch(Metric("p95", "ms"), [])
    assert fed(watch, (1.0, None), (1e9, None)) == 0.0
    assert watch.reference is None
    assert watch.strays == []
