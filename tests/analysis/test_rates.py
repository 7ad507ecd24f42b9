from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.rates import KEPT, Bucket, Past, RateTest, learn

ENOUGH = math.log(100)


def poisson(rng: random.Random, mean: float) -> int:
    """Knuth's way for small means, and a normal for large ones."""
    if mean > 50:
        return max(round(rng.gauss(mean, math.sqrt(mean))), 0)
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


def past(rate: float = 0.01, requests: float = 1000.0, count: int = 120, seed: int = 1) -> Past:
    rng = random.Random(seed)
    return learn([(10.0 * i, requests, float(poisson(rng, rate * requests))) for i in range(count)])


def test_a_steady_past_is_trusted_and_a_swinging_one_is_not() -> None:
    rng = random.Random(2)
    wild = learn([(10.0 * i, 1000.0, float(poisson(rng, 40 if (i // 30) % 2 else 5))) for i in range(240)])
    assert past().strength > 20
    assert wild.strength < 3
    assert past().rate == pytest.approx(0.01, rel=0.1)


def test_errors_that_come_together_are_noticed_and_a_slow_drift_is_not_taken_for_it() -> None:
    rng = random.Random(3)
    clumped = [(10.0 * i, 1000.0, float(rng.choice([0, 0, 0, 40]))) for i in range(400)]
    drifting = [(10.0 * i, 1000.0, float(poisson(rng, 10 + 8 * math.sin(i / 60)))) for i in range(400)]
    assert learn(clumped).together > 0.01
    assert learn(drifting).together < 0.002


def test_of_nothing_nothing_is_learnt() -> None:
    assert learn([]) == learn([(0.0, 0.0, 0.0)]) == Past()
    assert Past().exposure == 0.0
    assert learn([(0.0, 1000.0, 0.0)]).rate == pytest.approx(0.0005)


def test_ten_times_the_errors_are_found_soon() -> None:
    rng, test, looks = random.Random(4), RateTest(past(0.0005)), 0
    while test.log_e < ENOUGH and looks < 100:
        test.update(Bucket(100, poisson(rng, 0.5), 900, poisson(rng, 0.45)))
        looks += 1
    assert looks < 40


def test_without_a_past_the_control_is_enough() -> None:
    test = RateTest()
    for _ in range(10):
        test.update(Bucket(100, 10, 900, 9))
    assert test.log_e > ENOUGH


@pytest.mark.parametrize("swing", [1.0, 5.0, 0.2])
def test_what_happens_to_both_is_no_evidence(swing: float) -> None:
    """Both rates swing together, by a factor that the past never showed."""
    wrong = 0
    for seed in range(40):
        rng, test = random.Random(seed), RateTest(past(0.01, seed=seed))
        for look in range(60):
            rate = 0.01 * (swing if 20 <= look < 40 else 1.0)
            test.update(Bucket(100, poisson(rng, 100 * rate), 900, poisson(rng, 900 * rate)))
            if test.log_e >= ENOUGH:
                wrong += 1
                break
    assert wrong <= 1


def test_a_moved_weight_with_a_moved_rate_deceives_nobody() -> None:
    rng, test = random.Random(5), RateTest(past(0.01))
    for _ in range(30):
        test.update(Bucket(100, poisson(rng, 1), 900, poisson(rng, 9)))
    for _ in range(30):
        test.update(Bucket(500, poisson(rng, 25), 500, poisson(rng, 25)))
    assert test.epochs == 1
    assert test.log_e < ENOUGH


def test_a_late_change_is_found() -> None:
    rng, test = random.Random(6), RateTest(past(0.005))
    for _ in range(100):
        test.update(Bucket(100, poisson(rng, 0.5), 900, poisson(rng, 4.5)))
    looks = 0
    while test.log_e < ENOUGH and looks < 100:
        test.update(Bucket(100, poisson(rng, 5), 900, poisson(rng, 4.5)))
        looks += 1
    assert looks < 20


def test_fewer_errors_are_no_evidence() -> None:
    test = RateTest(past())
    for _ in range(100):
        test.update(Bucket(500, 0, 500, 5))
    assert test.log_e < 0


def test_a_look_without_one_of_both_sides_changes_nothing() -> None:
    test = RateTest()
    assert test.update(Bucket(0, 0, 900, 3)) == test.update(Bucket(100, 50)) == 0.0
    assert test.looks == 0


def test_what_is_remembered_does_not_grow() -> None:
    test = RateTest(past())
    for _ in range(3000):
        test.update(Bucket(10, 0, 90, 1))
    assert len(test._begun) <= KEPT


def test_counts_that_are_none_are_not_sound() -> None:
    assert Bucket(1, 0).sound
    assert not any(Bucket(1, bad).sound for bad in (-1.0, math.nan, math.inf))
