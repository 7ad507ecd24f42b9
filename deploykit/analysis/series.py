"""One plain series against its reference: bets that more of its points stray than the reference lets expect."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploykit.analysis.bets import Bets, log_mean_exp
from deploykit.analysis.constants import CALM, EXCEEDING, LEVELS, ONE_POINT
from deploykit.analysis.habits import Habit
from deploykit.analysis.reference import Reference


class Straying:
    """Bets on one kind of straying, over its levels.

    At each level, "beyond" is a chain of two states with the reference's habits, and an alternative says that a larger
    share lies beyond. No point can win more than `log(1 / rate)`, so that one spike never decides. Single strays that
    come and go are learnt from: the reference may have shown too few of them.
    """

    def __init__(self, habits: Sequence[Habit]) -> None:
        self.habits = habits
        self._bets = Bets([1 / (len(habits) * len(EXCEEDING))] * (len(habits) * len(EXCEEDING)))
        self._before = [False] * len(habits)
        self._fresh = [0] * len(habits)
        self._calm = [0] * len(habits)

    def update(self, strays: Sequence[bool]) -> float:
        """One point: at which levels it strays. Returns the log e-value."""
        ratios = []
        for index, stray in enumerate(strays):
            null = self._null(index)
            ratios += [_ratio(other, null, stray=stray) for other in EXCEEDING]
            if not self._before[index]:
                self._calm[index] += 1
                self._fresh[index] += stray
            self._before[index] = stray
        return self._bets.update(ratios)

    def _null(self, index: int) -> float:
        habit = self.habits[index]
        if self._before[index]:
            return habit.again
        return (habit.rate * habit.weight + self._fresh[index]) / (habit.weight + self._calm[index])


def _ratio(other: float, null: float, *, stray: bool) -> float:
    if other <= null:
        return 0.0
    return math.log(other / null) if stray else math.log((1 - other) / (1 - null))


class SeriesTest:
    """All kinds of straying of one metric that its settings call worse."""

    def __init__(self, reference: Reference, worse: str) -> None:
        turned = bool(reference.scale.top)
        self.above = Straying(reference.above) if worse != "decrease" or turned else None
        self.below = Straying(reference.below) if worse == "either" or not self.above else None
        self.worse = worse
        self._strays = 0
        self.near: Straying | None = None
        self.log_e = 0.0

    def update(self, reference: Reference, at: float, value: float, noise: float = 1.0) -> float:
        """One point. Returns the log e-value of all kinds together.

        Args:
            reference: As it is known at that moment.
            at: Unix seconds.
            value: In the unit of the reference.
            noise: How many times noisier it is than the reference.
        """
        residual = reference.residual(at, value) / noise
        # Beyond a level, and by an amount that matters.
        margin = reference.margin(at) / noise
        logs = []
        for test, side in ((self.above, 1), (self.below, -1)):
            if test:
                test.habits = reference.above if side > 0 else reference.below
                strays = [side * residual > max(level, margin) for level in LEVELS]
                self._strays += strays[0]
                logs.append(test.update(strays))
        # A past that wanders slowly is calm for a while by itself; a control at the same time is not.
        if self.worse == "either" and reference.near:
            self.near = self.near or Straying([reference.near])
            self.near.habits = [reference.near]
            self._strays += abs(residual) < CALM
            logs.append(self.near.update([abs(residual) < CALM]))
        # A spike of one point, however high and on however many metrics at once, is not enough.
        self.log_e = log_mean_exp(logs) if self._strays > 1 else min(log_mean_exp(logs), ONE_POINT)
        return self.log_e
