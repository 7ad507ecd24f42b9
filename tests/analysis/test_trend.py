"""A leak is told from noise, a sawtooth, warming up and what was always so."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.analysis.trend import trend, usual_pace

MB = 1e6
#: Half an hour, a point every 20 s.
TIMES = [20.0 * n for n in range(90)]


def shaped(shape: Callable[[float], float], noise: float = 1.0, seed: int = 1) -> list[tuple[float, float]]:
    dice = random.Random(seed)
    return [(at, 200 * MB + shape(at / 60) * MB + dice.gauss(0, noise) * MB) for at in TIMES]


@pytest.mark.parametrize(
    ("shape", "creeps"),
    [
        (lambda m: 0.0 * m, False),
        (lambda m: 4.0 * m, True),
        (lambda m: 1.0 * m, True),
        (lambda m: 1.0 * m + 20 * (m % 3) / 3, True),
        (lambda m: 40 * (m % 3) / 3, False),
        (lambda m: 60 * (1 - math.exp(-m / 2)), False),
        (lambda m: 60 * (1 - math.exp(-m / 2)) + 1.5 * max(m - 8, 0), True),
        (lambda m: -2.0 * m, False),
        (lambda m: 30.0 * (m > 15), False),
        (lambda m: 0.05 * m, False),
    ],
    ids=[
        "flat",
        "leak",
        "slow-leak",
        "leaking-sawtooth",
        "sawtooth",
        "warms-up",
        "leaks-once-warm",
        "shrinks",
        "step",
        "tiny",
    ],
)
def test_only_what_grows_to_the_end_by_an_amount_that_matters_creeps(
    shape: Callable[[float], float], *, creeps: bool
) -> None:
    found = trend(shaped(shape))
    assert found is not None
    assert found.creeps is creeps, found


def test_noise_alone_creeps_in_less_than_one_of_a_hundred() -> None:
    alarms = sum(bool((found := trend(shaped(lambda m: 0.0 * m, 10.0, seed))) and found.creeps) for seed in range(1000))
    assert alarms <= 10


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(0.0, 1.0)] * 50, [(n, 1.0) for n in range(15)]])
def test_too_few_points_have_no_trend(points: list[tuple[float, float]]) -> None:
    assert trend(points) is None


def test_a_pace_that_live_always_had_is_not_new() -> None:
    past = [(20.0 * n, (200 + n % 180 * 0.5) * MB) for n in range(720)]
    pace = usual_pace(past, 1800.0)
    assert pace == pytest.approx(0.45, rel=0.3)
    leak = shaped(lambda m: 1.0 * m)
    assert trend(leak) is not None
    found = trend(leak, usual=pace)
    assert found is not None
    assert not found.creeps


def test_a_past_shorter_than_the_watch_has_no_pace() -> None:
    assert usual_pace(shaped(lambda m: m)[:30], 1800.0) == 0.0


@given(st.floats(1e-6, 1e6), st.integers(0, 50))
def test_no_verdict_depends_on_the_unit(scale: float, seed: int) -> None:
    points = shaped(lambda m: m * (seed % 3), 2.0, seed)
    first, again = trend(points), trend([(at, value * scale) for at, value in points])
    assert first is not None
    assert again is not None
    assert first.creeps == again.creeps
    assert again.an_hour == pytest.approx(first.an_hour, rel=1e-6, abs=1e-9)


def test_a_short_watch_does_not_make_a_pace_out_of_next_to_nothing() -> None:
    points = [(0.5 * n, 200 * MB + n * 0.01 * MB) for n in range(60)]
    found = trend(points)
    assert found is not None
    assert found.an_hour > 0.1
    assert not found.creeps
