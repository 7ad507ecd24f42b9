"""Whether a gauge creeps up: a leak, told from noise, from a sawtooth and from warming up."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from deploykit.analysis.constants import BLOCKS, CREEP_AN_HOUR, CREEPING, CREPT
from deploykit.analysis.points import Point

#: Fewer points in a block say nothing of its floor.
FEWEST_IN_BLOCK = 2


@dataclass(frozen=True)
class Trend:
    """How a gauge moved.

    Attributes:
        an_hour: Growth an hour, relative to where it began; at the pace of the second half.
        rises: Pairs of blocks of which the later is higher, less those of which it is lower.
        creeps: Whether it grows steadily, to the end, and by an amount that matters.
    """

    an_hour: float
    rises: int
    creeps: bool


def trend(points: Sequence[Point], usual: float = 0.0) -> Trend | None:
    """Look at the floors of equal parts of the time; None where there are too few points.

    The lowest value of each part is what a collector of garbage leaves, so that a sawtooth is flat. Mann-Kendall's
    statistic over them tells a steady rise from noise, whatever its shape (Mann, "Nonparametric tests against trend",
    Econometrica 1945): without one, 8 parts reach 20 of 28 once in 140 times. A service that warms up rises and then
    rests: both halves have to rise, the second at a pace that matters, and all together by more than next to nothing.

    Args:
        points: Clean and sorted, unix seconds and values.
        usual: The pace, likewise an hour, at which it was seen to move before; no slower one is new.
    """
    floors = _floors(points)
    if floors is None:
        return None
    values = [value for _, value in floors]
    rises = sum((later > sooner) - (later < sooner) for sooner, later in combinations(values, 2))
    half = len(floors) // 2
    (begin, first), (end, last) = floors[half], floors[-1]
    level = max(abs(values[0]), 1e-12)
    an_hour = (last - first) / level / (end - begin) * 3600
    steady = rises >= CREEPING and _rising(values[:half]) and _rising(values[half:])
    steady = steady and values[-1] - values[0] >= CREPT * level
    return Trend(an_hour, rises, steady and an_hour >= max(CREEP_AN_HOUR, usual))


def usual_pace(points: Sequence[Point], seconds: float) -> float:
    """The fastest steady growth an hour in windows of so many seconds; 0 where none grew, or none was that long.

    Args:
        points: Clean and sorted.
        seconds: The length of what it will be compared with.
    """
    fastest, start = 0.0, 0
    while start < len(points):
        end = bisect_right(points, (points[start][0] + seconds, math.inf))
        window = points[start:end]
        if window[-1][0] - window[0][0] >= 0.8 * seconds and (found := trend(window)) and found.rises >= CREEPING:
            fastest = max(fastest, found.an_hour)
        start = end
    return fastest


def _rising(values: Sequence[float]) -> bool:
    return sum((later > sooner) - (later < sooner) for sooner, later in combinations(values, 2)) > 0


def _floors(points: Sequence[Point]) -> list[Point] | None:
    """The middle of each part of the time, and the lowest value in it."""
    if len(points) < BLOCKS * FEWEST_IN_BLOCK:
        return None
    begin, width = points[0][0], (points[-1][0] - points[0][0]) / BLOCKS
    blocks: list[list[float]] = [[] for _ in range(BLOCKS)]
    for at, value in points:
        blocks[min(int((at - begin) / width), BLOCKS - 1) if width > 0 else 0].append(value)
    if min(map(len, blocks)) < FEWEST_IN_BLOCK:
        return None
    return [(begin + (index + 0.5) * width, min(block)) for index, block in enumerate(blocks)]
