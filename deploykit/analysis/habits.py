"""How a series strays from where it should be: how often beyond each level, and whether it then stays there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from deploykit.analysis.constants import (
    CALM,
    CALM_SHARE,
    FEW,
    LEVELS,
    PRIOR_AGAIN,
    PRIOR_PAIRS,
    PRIOR_POINTS,
    RAREST,
    TAIL,
)

Pairs = Sequence[tuple[float, float]]
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Habit:
    """One thing that a point can do: lie beyond a level.

    Attributes:
        rate: The share of points that do, after one that did not.
        again: The share after one that did.
        weight: As how many points that knowledge counts.
    """

    rate: float
    again: float
    weight: float


def beyond(residuals: Sequence[float], pairs: Pairs) -> tuple[Habit, ...]:
    """The habits of lying beyond each level, counted, and leant on a prior where there is little to count.

    The prior for the share is Student's t with three degrees of freedom, because real series have heavy tails. The
    prior for "again" is a Gaussian chain with the correlation of neighbours.

    Args:
        residuals: Standardised, in the direction of worse.
        pairs: Those of neighbours in time.
    """
    correlation = correlated(pairs)
    found = []
    for level, tail in zip(LEVELS, TAIL, strict=True):
        weight = len(residuals) + PRIOR_POINTS
        rate = max((sum(residual > level for residual in residuals) + PRIOR_POINTS * tail) / weight, RAREST)
        before = sum(sooner > level for sooner, _ in pairs)
        both = sum(sooner > level and later > level for sooner, later in pairs)
        again = (both + PRIOR_AGAIN * chained(rate, correlation)) / (before + PRIOR_AGAIN)
        found.append(Habit(rate, again, weight))
    return tuple(found)


def calm(residuals: Sequence[float], pairs: Pairs) -> Habit:
    """The habit of lying very near the centre."""
    weight = len(residuals) + PRIOR_POINTS
    rate = (sum(abs(residual) < CALM for residual in residuals) + PRIOR_POINTS * CALM_SHARE) / weight
    before = sum(abs(sooner) < CALM for sooner, _ in pairs)
    both = sum(abs(sooner) < CALM and abs(later) < CALM for sooner, later in pairs)
    again = (both + PRIOR_AGAIN * rate) / (before + PRIOR_AGAIN)
    return Habit(rate, max(rate, again), weight)


def correlated(pairs: Pairs) -> float:
    """The correlation of neighbours, shrunk towards none; never negative."""
    return min(max(raw_correlation(pairs), 0.0), 0.98) * len(pairs) / (len(pairs) + PRIOR_PAIRS)


def raw_correlation(pairs: Pairs) -> float:
    """The correlation of neighbours, from clipped residuals; 0 where there are none."""
    clipped = [(max(-2.0, min(2.0, sooner)), max(-2.0, min(2.0, later))) for sooner, later in pairs]
    square = math.fsum(sooner * sooner + later * later for sooner, later in clipped) / 2
    if square <= 0:
        return 0.0
    return math.fsum(sooner * later for sooner, later in clipped) / square


def chained(rate: float, correlation: float) -> float:
    """P(beyond, given just beyond) in a Gaussian chain: one step on from the mean of what lies beyond.

    Args:
        rate: P(beyond).
        correlation: Of neighbours, from 0 to below 1.
    """
    level = _NORMAL.inv_cdf(1 - rate)
    mean = _NORMAL.pdf(level) / rate
    return max(rate, 1 - _NORMAL.cdf((level - correlation * mean) / math.sqrt(1 - correlation * correlation)))


def spread(places: Sequence[float], few: float = FEW) -> float:
    """A standard deviation that a quarter of outliers does not move: from the median deviation and the quartiles.

    Args:
        places: In any order.
        few: Some points show too little of it, so that it is taken to be wider by `few / len(places)`.
    """
    if len(places) < 2:
        return 0.0
    ordered, middle = sorted(places), median(places)
    deviation = 1.4826 * median([abs(place - middle) for place in places])
    quartiles = (quantile(ordered, 0.75) - quantile(ordered, 0.25)) / 1.349
    return max(deviation, quartiles) * (1 + few / len(places))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, by linear interpolation."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
