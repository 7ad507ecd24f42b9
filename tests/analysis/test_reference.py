from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.points import Point
from deploykit.analysis.reference import DAY, from_control, from_history

NOW = 1_700_000_000.0


def past(count: int, value: float = 100.0, noise: float = 2.0, step: float = 60.0) -> list[Point]:
    rng = random.Random(count)
    return [(NOW - step * (count - i), value + rng.gauss(0, noise)) for i in range(count)]


def daily(days: float, until: float = NOW) -> list[Point]:
    rng, count = random.Random(4), int(days * 288)
    times = [until - 300 * (count - i) for i in range(count)]
    return [(at, (100 + 40 * math.sin(2 * math.pi * at / DAY)) * (1 + rng.gauss(0, 0.01))) for at in times]


def test_too_few_points_are_no_reference() -> None:
    assert from_history(past(4), "ms", "increase") is None
    assert from_control(past(3), "ms", "increase") is None


def test_a_short_past_gives_its_median_and_its_words() -> None:
    found = from_history(past(30), "ms", "increase")
    assert found is not None
    low, high = found.band(NOW + 600)
    assert low < 100 < high < 120
    assert found.words == "the median of 30 points before"
    assert found.residual(NOW, 100.0) == pytest.approx(0, abs=0.5)
    assert found.residual(NOW, 300.0) > 8


def test_outliers_of_the_past_do_not_widen_what_is_usual() -> None:
    points = past(40)
    wild = [(at, value * 20 if i % 10 == 3 else value) for i, (at, value) in enumerate(points)]
    calm, found = from_history(points, "ms", "increase"), from_history(wild, "ms", "increase")
    assert calm is not None
    assert found is not None
    assert found.spread < 2 * calm.spread
    assert found.above[-1].rate > 5 * calm.above[-1].rate, "but they are expected again"


def test_a_past_of_days_knows_the_time_of_day() -> None:
    found = from_history(daily(3), "ms", "either")
    assert found is not None
    assert "days before" in found.words
    for hours in (0, 1, 3, 6):
        at = NOW + 3600 * hours
        assert abs(found.residual(at, 100 + 40 * math.sin(2 * math.pi * at / DAY))) < 3
    at = NOW + 6 * 3600
    assert abs(found.residual(at, 100 - 40 * math.sin(2 * math.pi * at / DAY))) > 4


def test_a_whole_series_shifted_since_yesterday_is_taken_at_its_new_level() -> None:
    points = [(at, value * (1.5 if at > NOW - 4 * 3600 else 1.0)) for at, value in daily(3)]
    found = from_history(points, "ms", "either")
    assert found is not None
    at = NOW + 1800
    assert abs(found.residual(at, 1.5 * (100 + 40 * math.sin(2 * math.pi * at / DAY)))) < 3


def test_a_past_that_wanders_widens_what_is_usual() -> None:
    rng, place, points = random.Random(5), math.log(100), []
    for i in range(1440):
        place += rng.gauss(0, 0.02)
        points.append((NOW - 60 * (1440 - i), math.exp(place)))
    found = from_history(points, "ms", "either")
    assert found is not None
    assert found.words == "the level of the last hour"
    assert found.spread > 0.05


def test_a_short_past_that_moves_may_move_on_or_stay() -> None:
    points = [(NOW - 60 * (60 - i), 100.0 + 2 * i) for i in range(60)]
    found = from_history(points, "ms", "increase")
    assert found is not None
    assert "which move" in found.words
    assert found.residual(NOW + 900, 240.0) == 0
    assert found.residual(NOW + 900, 190.0) == 0
    assert found.residual(NOW + 900, 900.0) > 3


def test_a_constant_past_is_as_wide_as_half_of_what_matters() -> None:
    found = from_history([(NOW - 60 * i, 50.0) for i in range(20, 0, -1)], "ms", "increase")
    assert found is not None
    assert found.margin(NOW) == pytest.approx(2)


def test_a_control_of_some_length_tells_how_calm_it_is() -> None:
    short, longer = from_control(past(6), "ms", "either"), from_control(past(20), "ms", "either")
    assert short is not None
    assert longer is not None
    assert short.near is None
    assert longer.near is not None
    assert "control" in longer.words


def test_the_same_hour_of_yesterday_and_last_week_beside_the_last_hours_is_enough() -> None:
    every = daily(8)
    hours = [(at, v) for at, v in every if any(0 <= at - (NOW - days * DAY - 7200) < 14400 for days in (1, 7))]
    found = from_history(sorted({*hours, *[(at, v) for at, v in every if at > NOW - 3 * 3600]}), "ms", "either")
    assert found is not None
    for minutes in (5, 30, 60):
        at = NOW + 60 * minutes
        assert abs(found.residual(at, 100 + 40 * math.sin(2 * math.pi * at / DAY))) < 3
        assert abs(found.residual(at, 3 * (100 + 40 * math.sin(2 * math.pi * at / DAY)))) > 4
