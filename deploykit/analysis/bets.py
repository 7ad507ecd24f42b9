"""Bets that may be looked at at any moment, with a beginning that nobody knows.

A bet multiplies its wealth by the likelihood ratio of what was seen. Where the null hypothesis holds, its wealth is a
nonnegative martingale that begins at 1, so it ever exceeds 1/alpha with probability alpha at most (Ville). A weighted
mean of such bets is another one: the mean is over alternatives, and over the look at which the change begins.

Sources: Ville 1939; Shin, Ramdas, Rinaldo, "E-detectors", arXiv:2203.03532, for mixtures over the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def log_add(one: float, other: float) -> float:
    """log(exp(one) + exp(other)), without overflow."""
    high, low = max(one, other), min(one, other)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def log_sum_exp(values: Iterable[float]) -> float:
    """The logarithm of the sum of exp(values); minus infinity of nothing."""
    values = list(values)
    top = max(values, default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def log_mean_exp(values: Iterable[float]) -> float:
    """The logarithm of the mean of exp(values), without overflow."""
    values = list(values)
    return log_sum_exp(values) - math.log(len(values))


def beginning(look: int, first: float = 0.5) -> float:
    """The weight of a change that begins at this look, from 1; after a look, `(1 - first) / look` is left for later.

    Args:
        look: The number of the look.
        first: The weight of the first one; a release that is bad is mostly bad at once.
    """
    return first if look == 1 else (1 - first) / (look * (look - 1))


class Bets:
    """Wealth of a family of alternatives, each of which may begin at any look. A look costs the same, always.

    Args:
        weights: Of the alternatives; they sum to 1.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._logs = [math.log(weight) for weight in weights]
        self._begun = [-math.inf] * len(weights)
        self.looks = 0
        self.log_e = 0.0

    def update(self, ratios: Sequence[float]) -> float:
        """Multiply by a look's log likelihood ratios, one an alternative, and return the log e-value of all."""
        self.looks += 1
        begin = math.log(beginning(self.looks))
        for index, ratio in enumerate(ratios):
            self._begun[index] = log_add(self._begun[index], self._logs[index] + begin) + ratio
        self.log_e = log_sum_exp([*self._begun, math.log(0.5 / self.looks)])
        return self.log_e
