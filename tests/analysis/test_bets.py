from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.bets import Bets, beginning, log_add, log_mean_exp, log_sum_exp


def test_sums_of_exponentials_do_not_overflow() -> None:
    assert log_add(1000.0, 1000.0) == pytest.approx(1000 + math.log(2))
    assert log_add(-math.inf, 3.0) == 3.0
    assert log_sum_exp([-math.inf, -math.inf]) == -math.inf
    assert log_sum_exp([]) == -math.inf
    assert log_mean_exp([0.0, math.log(3)]) == pytest.approx(math.log(2))


@pytest.mark.parametrize("first", [0.5, 0.9])
def test_the_weights_of_all_beginnings_sum_to_one(first: float) -> None:
    given = math.fsum(beginning(look, first) for look in range(1, 1001))
    assert given + (1 - first) / 1000 == pytest.approx(1)


def test_before_anything_speaks_the_wealth_is_one() -> None:
    bets = Bets([0.5, 0.5])
    for _ in range(50):
        assert bets.update([0.0, 0.0]) == pytest.approx(0.0)


def test_a_late_change_is_found_though_the_time_before_spoke_against_it() -> None:
    bets = Bets([1.0])
    for _ in range(1000):
        bets.update([-1.0])
    assert bets.log_e > -8
    looks = 0
    while bets.log_e < math.log(100):
        bets.update([1.0])
        looks += 1
    assert looks < 20


def test_a_fair_game_is_seldom_won() -> None:
    """Under the null the wealth exceeds 1/alpha with probability alpha at most, at any of all looks."""
    chance, rng, won = 0.1, random.Random(7), 0
    for _ in range(1000):
        bets = Bets([0.5, 0.5])
        for _ in range(60):
            hit = rng.random() < chance
            bets.update([math.log(q / chance if hit else (1 - q) / (1 - chance)) for q in (0.3, 0.9)])
            if bets.log_e >= math.log(20):
                won += 1
                break
    assert won <= 50
