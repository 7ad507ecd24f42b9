"""CPU and memory at the end of the watch."""

from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.metric import Metric
from deploykit.analysis.resources import hold
from deploykit.model import Answer

MEMORY = Metric("memory", "bytes", part=0.5)
Points = list[tuple[float, float | None]]


def gauge(begin: float, count: int, level: float, growth: float = 0.0, seed: int = 1) -> Points:
    dice = random.Random(seed)
    return [(begin + 20.0 * n, level * (1 + growth * n / 180 + dice.gauss(0, 0.01))) for n in range(count)]


PAST = gauge(0.0, 720, 2e8)


@pytest.mark.parametrize(
    ("live", "answer", "said"),
    [
        (gauge(14400, 90, 2e8, seed=2), Answer.PASS, "not steadily"),
        (gauge(14400, 90, 1.2e8, seed=2), Answer.PASS, "not steadily"),
        (gauge(14400, 90, 3e8, seed=2), Answer.ROLL_BACK, "is usual"),
        (gauge(14400, 90, 1.2e8, 0.3, seed=2), Answer.ROLL_BACK, "creeps up, by"),
        (gauge(14400, 8, 2e8), Answer.HOLD, "too few points for a trend"),
        ([], Answer.HOLD, "no points yet"),
        ([(14400.0, None), (14420.0, math.nan)], Answer.HOLD, "no points yet"),
    ],
    ids=["as before", "fresh and small", "half as much again", "small, and leaks", "few", "none", "missing"],
)
def test_it_is_held_against_live_and_against_itself(live: Points, answer: Answer, said: str) -> None:
    found = hold(MEMORY, PAST, live)
    assert found.answer is answer, found.reason
    assert said in found.reason


def test_without_a_past_nothing_passes() -> None:
    assert hold(MEMORY, [], gauge(14400, 90, 2e8)).answer is Answer.HOLD
    assert hold(MEMORY, [], gauge(14400, 90, 2e8, 0.5)).answer is Answer.ROLL_BACK


def test_a_healthy_gauge_is_hardly_ever_sent_back() -> None:
    found = [hold(MEMORY, PAST, gauge(14400, 90, 2e8, seed=seed)).answer for seed in range(200)]
    assert found.count(Answer.ROLL_BACK) <= 2
