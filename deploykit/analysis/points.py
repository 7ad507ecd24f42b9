"""Points as they come: sorted, made unique, finite; counters made into rates of growth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

Point = tuple[float, float]

#: A series that never falls but for resets, in at least so many points, is a counter.
COUNTER_POINTS = 12
#: The share of a counter's steps that rise; a gauge at rest does not rise, a gauge in motion also falls.
COUNTER_RISES = 0.9


def clean(points: Iterable[tuple[float, float | None]]) -> list[Point]:
    """The points that are there, by time.

    NaN, infinities and None are missing values. Several values of one moment become their median, so that their order
    does not count.

    Args:
        points: Unix seconds and value.
    """
    found: dict[float, list[float]] = {}
    for at, value in points:
        if value is not None and math.isfinite(value) and math.isfinite(at):
            found.setdefault(at, []).append(value)
    return [(at, median(values)) for at, values in sorted(found.items())]


def step_of(points: Sequence[Point]) -> float:
    """The usual time between two points in seconds; 0 where there are fewer than two."""
    return median([later - sooner for (sooner, _), (later, _) in pairwise(points)]) if len(points) > 1 else 0.0


def is_counter(points: Sequence[Point]) -> bool:
    """Whether the series only grows, as a counter does that nobody made into a rate."""
    steps = [later - sooner for (_, sooner), (_, later) in pairwise(points)]
    if len(steps) < COUNTER_POINTS or min(value for _, value in points) < 0:
        return False
    rises = sum(step > 0 for step in steps)
    falls = [index for index, step in enumerate(steps) if step < 0]
    # A reset begins again near zero.
    resets = all(points[index + 1][1] < 0.5 * points[index][1] for index in falls)
    return rises >= COUNTER_RISES * len(steps) and resets and len(falls) <= 0.1 * len(steps)


def growth(points: Sequence[Point]) -> list[Point]:
    """A counter's growth a second, at the later of each two points; a reset began at zero."""
    grown = []
    for (sooner, before), (later, after) in pairwise(points):
        grown.append((later, (after - before if after >= before else after) / (later - sooner)))
    return grown
