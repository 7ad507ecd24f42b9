from __future__ import annotations

import math

from deploykit.analysis.points import clean, growth, is_counter, step_of


def test_points_are_sorted_and_what_is_no_number_is_missing() -> None:
    dirty = [(3.0, 1.0), (1.0, math.nan), (2.0, math.inf), (0.0, None), (1.0, 5.0), (math.nan, 1.0)]
    assert clean(dirty) == [(1.0, 5.0), (3.0, 1.0)]


def test_values_of_one_moment_become_their_median_in_any_order() -> None:
    assert clean([(1.0, 9.0), (1.0, 1.0), (1.0, 2.0)]) == clean([(1.0, 2.0), (1.0, 9.0), (1.0, 1.0)]) == [(1.0, 2.0)]


def test_the_step_is_the_usual_one_whatever_the_gaps() -> None:
    assert step_of([(0.0, 0.0), (60.0, 0.0), (120.0, 0.0), (900.0, 0.0)]) == 60.0
    assert step_of([(0.0, 0.0)]) == 0.0


def test_a_counter_only_rises_or_begins_again_near_zero() -> None:
    rising = [(60.0 * i, 100.0 * i) for i in range(30)]
    reset = [(at, value if at < 900 else value - 1500) for at, value in rising]
    assert is_counter(rising)
    assert is_counter(reset)


def test_a_gauge_is_no_counter() -> None:
    assert not is_counter([(60.0 * i, 5.0) for i in range(30)])
    assert not is_counter([(60.0 * i, 100.0 + (i % 3)) for i in range(30)])
    assert not is_counter([(60.0 * i, i - 5.0) for i in range(30)])
    assert not is_counter([(60.0 * i, float(i)) for i in range(5)])


def test_growth_is_a_second_and_a_reset_began_at_zero() -> None:
    assert growth([(0.0, 100.0), (10.0, 150.0), (20.0, 30.0)]) == [(10.0, 5.0), (20.0, 3.0)]
