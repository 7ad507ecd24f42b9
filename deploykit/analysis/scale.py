"""An axis on which a tenth more is as far anywhere, so that one judge fits milliseconds, shares and counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploykit.analysis.constants import MATTERS, MATTERS_SHARE

#: How far a departure from something that never moved is: beyond every level.
FAR = 99.0
#: Units with a top.
TOPS = {"fraction": 1.0, "percent": 100.0}


@dataclass(frozen=True)
class Scale:
    """How a value becomes a place: `log(value + offset)`, straight near zero and logarithmic above.

    A success rate near its top is first turned over into a share of failures, so that 99.9 and 99.0 are ten times
    apart and not one hundredth.

    Attributes:
        offset: In the unit of the values; 0 where nothing but zeros is known.
        matters: The smallest absolute change that matters, in the same unit.
        top: Where the value is turned over, else 0.
        linear: `value / offset` instead, where negative values occur.
        tenth: The smallest relative change that matters.
    """

    offset: float
    matters: float
    top: float = 0.0
    linear: bool = False
    tenth: float = MATTERS

    def place(self, value: float) -> float:
        """The place of a value."""
        value = self.top - value if self.top else value
        if self.offset <= 0:
            return 0.0 if value == 0 else math.copysign(FAR, value)
        return value / self.offset if self.linear else math.log(max(value, 0.0) + self.offset)

    def value(self, place: float) -> float:
        """The value at a place."""
        value = self._unturned(place)
        return self.top - value if self.top else value

    def margin(self, place: float) -> float:
        """How far above a place a change begins to matter; as far below is half as much, not none at all."""
        if self.offset <= 0:
            return 1.0
        level = self._unturned(place)
        change = max(self.tenth * abs(level), self.matters)
        return change / self.offset if self.linear else math.log1p(change / (max(level, 0.0) + self.offset))

    def _unturned(self, place: float) -> float:
        if self.offset <= 0:
            return 0.0
        return place * self.offset if self.linear else math.exp(min(place, 700.0)) - self.offset


def scale_of(values: Sequence[float], unit: str, worse: str, matters: float = MATTERS) -> Scale:
    """The scale that fits the values of a reference.

    Args:
        values: Without missing ones.
        unit: `fraction` and `percent` are shares with a top; a `count` is whole, so one more than none is much.
        worse: `increase`, `decrease` or `either`.
        matters: The smallest relative change that does.
    """
    if unit in TOPS:
        top = TOPS[unit]
        turned = worse == "decrease" and bool(values) and median(values) >= 0.9 * top
        return Scale(offset=MATTERS_SHARE * top, matters=MATTERS_SHARE * top, top=top if turned else 0.0, tenth=matters)
    sizes = [abs(value) for value in values if value]
    if unit == "count" and 2 * len(sizes) <= len(values):
        return Scale(offset=1.0, matters=MATTERS, tenth=matters)
    level = median(sizes) if sizes else 0.0
    if min(values, default=0.0) < 0:
        return Scale(offset=level, matters=MATTERS * level, linear=True, tenth=matters)
    return Scale(offset=MATTERS * level, matters=MATTERS * MATTERS * level, tenth=matters)
