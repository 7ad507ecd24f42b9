from __future__ import annotations

import random
from itertools import pairwise

import pytest

from deploykit.analysis import habits
from deploykit.analysis.constants import LEVELS, RAREST, TAIL


def test_of_nothing_one_expects_the_prior() -> None:
    found = habits.beyond([], [])
    assert [habit.rate for habit in found] == pytest.approx([max(tail, RAREST) for tail in TAIL])


def test_what_was_often_seen_is_expected() -> None:
    residuals = [0.0, 0.0, 0.0, 9.0] * 50
    found = habits.beyond(residuals, list(pairwise(residuals)))
    assert all(habit.rate > 0.2 for habit in found)
    assert all(habit.again < 0.05 for habit in found), "they never followed each other"


def test_bursts_are_expected_to_go_on() -> None:
    residuals = [0.0] * 40 + [9.0] * 10 + [0.0] * 40 + [9.0] * 10
    found = habits.beyond(residuals, list(pairwise(residuals)))
    assert all(habit.again > 0.7 for habit in found)


def test_a_chain_of_neighbours_is_found_and_a_short_one_hardly_believed() -> None:
    rng, place, chain = random.Random(1), 0.0, []
    for _ in range(2000):
        place = 0.8 * place + 0.6 * rng.gauss(0, 1)
        chain.append(place)
    assert 0.7 < habits.correlated(list(pairwise(chain))) < 0.85
    assert habits.correlated(list(pairwise(chain[:5]))) < 0.35
    assert habits.correlated([]) == habits.correlated([(0.0, 0.0)]) == 0.0


def test_an_independent_chain_stays_beyond_by_chance_alone() -> None:
    assert habits.chained(0.05, 0.0) == pytest.approx(0.05)
    assert 0.05 < habits.chained(0.05, 0.5) < habits.chained(0.05, 0.9) < 1


def test_a_quarter_of_outliers_does_not_move_the_spread() -> None:
    rng = random.Random(2)
    places = [rng.gauss(0, 1) for _ in range(300)]
    assert habits.spread([*places, *[1000.0] * 70]) < 2.5
    assert habits.spread(places) == pytest.approx(1, abs=0.2)
    assert habits.spread([3.0]) == 0.0


def test_the_calm_share_of_a_normal_is_about_a_quarter() -> None:
    rng = random.Random(3)
    residuals = [rng.gauss(0, 1) for _ in range(4000)]
    assert habits.calm(residuals, list(pairwise(residuals))).rate == pytest.approx(0.264, abs=0.03)


def test_quantiles_are_between_neighbours() -> None:
    assert habits.quantile([0.0, 1.0, 2.0, 3.0], 0.5) == 1.5
    assert habits.quantile([7.0], 0.9) == 7.0
    assert len(LEVELS) == len(TAIL)
