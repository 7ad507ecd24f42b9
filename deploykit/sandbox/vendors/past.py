"""What Datadog remembers of the days before the sandbox began: quiet hours of the live copy and of staging, made up."""

import math
import random
from bisect import bisect_left
from collections.abc import Iterator

from deploykit.sandbox.proxy import LATENCY_EDGES
from deploykit.sandbox.releases import LIVE, STAGING
from deploykit.sandbox.vendors.collector import Sample

HOURS, DAY, EVERY = 4 * 3600, 86400, 10
#: The last hours, the same ones yesterday, and a week ago.
DAYS_BACK = (0, 1, 7)


def remember(until: int, rate: float) -> Iterator[Sample]:
    """One second in ten of each stretch.

    Args:
        until: The second at which the sandbox's own counts begin.
        rate: Requests a second of the live copy; staging has a fifth.
    """
    dice = random.Random(until)
    for days in DAYS_BACK:
        end = until - days * DAY
        for at in range(end - HOURS, end, EVERY):
            yield _second(dice, at, "green", LIVE, rate)
            yield _second(dice, at, "staging", STAGING, rate / 5)


def _second(dice: random.Random, at: int, colour: str, version: str, rate: float) -> Sample:
    """A second of ordinary traffic: a little more by day, a median of five milliseconds, no failure."""
    usual = rate * (1 + 0.2 * math.sin(2 * math.pi * at / DAY))
    requests = max(round(dice.gauss(usual, math.sqrt(usual))), 1)
    sample = Sample(at, colour, version, requests=requests)
    for _ in range(requests):
        sample.buckets[bisect_left(LATENCY_EDGES, min(dice.lognormvariate(math.log(5), 0.5), 60000))] += 1
    sample.cpu, sample.memory = max(dice.gauss(8, 2), 0.5), dice.gauss(47e6, 2e5)
    sample.query = max(dice.gauss(1.3, 0.2), 0.2)
    return sample
