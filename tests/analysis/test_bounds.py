from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.bounds import growth, rate_interval, ratio_interval, smallest_seen, upper_bound


def test_zero_events_prove_a_tenth_of_a_percent_in_4603_trials() -> None:
    assert upper_bound(0, 4603) < 0.001 < upper_bound(0, 4600)
    assert upper_bound(3, 0) == upper_bound(5, 5) == 1.0


def test_the_interval_holds_at_every_look() -> None:
    wrong = 0
    for seed in range(200):
        rng, events = random.Random(seed), 0
        for trial in range(1, 400):
            events += rng.random() < 0.1
            if trial % 20 == 0:
                low, high = rate_interval(events, trial, 0.95)
                if not low <= 0.1 <= high:
                    wrong += 1
                    break
    assert wrong <= 10


def test_the_interval_narrows_and_holds_what_was_found() -> None:
    wide, narrow = rate_interval(5, 100), rate_interval(500, 10_000)
    assert wide[0] < narrow[0] < 0.05 < narrow[1] < wide[1]
    assert rate_interval(0, 0) == (0.0, 1.0)
    assert rate_interval(0, 1000)[0] == 0.0
    assert rate_interval(1000, 1000)[1] == 1.0


def test_a_ratio_is_bounded_by_both_sides() -> None:
    low, high = ratio_interval((50, 1000), (90, 9000))
    assert 1 < low < 5 < high < 20
    assert ratio_interval((0, 0), (1, 10)) == (0.0, math.inf)
    assert ratio_interval((5, 100), (0, 100))[1] == math.inf


def test_what_would_have_been_seen_grows_with_the_traffic() -> None:
    found = [smallest_seen(0.0005, n, 9 * n, 6.0) for n in (100, 1000, 10_000, 100_000)]
    assert found == sorted(found, reverse=True)
    assert found[2] < 10 < found[1]
    assert smallest_seen(0.5, 1, 9, 6.0) == math.inf


@pytest.mark.parametrize("control", [0.0, 9000.0])
def test_evidence_grows_on_average_as_it_is_said_to(control: float) -> None:
    assert growth(1.0, 0.01, 1000.0, control) == pytest.approx(0)
    assert growth(3.0, 0.01, 2000.0, 2 * control) == pytest.approx(2 * growth(3.0, 0.01, 1000.0, control))
    assert growth(3.0, 0.01, 1000.0, control) > growth(2.0, 0.01, 1000.0, control) > 0
    assert growth(3.0, 0.0, 1000.0, control) == growth(3.0, 0.1, 0.0, control) == 0.0


@pytest.mark.parametrize("rate", [0.0, 1.0, 5.0, 1e300])
def test_where_nothing_can_be_worse_nothing_would_be_seen(rate: float) -> None:
    assert smallest_seen(rate, 1e300, 1e-300, 5.0) == math.inf
