"""What a series is held against: its own past, as it was expected at that time of day, or the control."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median

from deploykit.analysis import habits
from deploykit.analysis.constants import (
    BETTER,
    CALM_POINTS,
    FEW,
    FEW_CONTROL,
    FEWEST,
    MATTERS,
    MOST_STICKY,
    RECENT_POINTS,
    RECENT_SECONDS,
    STICKY,
    STICKY_PAIRS,
    TREND,
)
from deploykit.analysis.habits import Habit
from deploykit.analysis.points import Point, step_of
from deploykit.analysis.scale import Scale, scale_of

DAY = 86400.0
#: A way to expect is tried on so many windows of the past, each as long as the recent past.
TRIALS = 48
#: A point of yesterday stands for the same time today if it is no further from it than so many steps.
AROUND = 2


#: The places, lowest and highest, where a series may be at a moment; mostly one and the same.
Expect = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Reference:
    """Where a series should be, and how it strays from there.

    Attributes:
        words: What was used, for a reader.
        scale: The axis on which everything is measured.
        expect: The places, lowest and highest, where it should be at a moment (unix seconds).
        spread: The usual distance from there, never less than half of what matters.
        above: Its habits above that place, `below` those below, `near` that of lying very near, of a control.
        count: How many points it rests on.
    """

    words: str
    scale: Scale
    expect: Expect
    spread: float
    above: tuple[Habit, ...]
    below: tuple[Habit, ...]
    near: Habit | None
    count: int

    def residual(self, at: float, value: float) -> float:
        """How many usual distances above (or, negative, below) its places a value lies."""
        place, (low, high) = self.scale.place(value), self.expect(at)
        return (place - min(max(place, low), high)) / self.spread

    def margin(self, at: float) -> float:
        """From how many usual distances on a change matters."""
        return self.scale.margin(self.expect(at)[1]) / self.spread

    def band(self, at: float, width: float = 2.0) -> tuple[float, float]:
        """The values so many usual distances below and above, in the unit of the series, the smaller first."""
        low, high = self.expect(at)
        edges = (self.scale.value(low - width * self.spread), self.scale.value(high + width * self.spread))
        return min(edges), max(edges)


def from_history(points: Sequence[Point], unit: str, worse: str, matters: float = MATTERS) -> Reference | None:
    """The reference that a history gives; None where it has too few points.

    A short one gives its median. A long one is tried out on its own past: the level of the last hour, and, where it
    is longer than a day, the same time on the days before, moved to today's level. The way that erred least is used,
    with the errors that it made.

    Args:
        points: Clean and sorted, all before the change.
        unit: Of the values.
        worse: `increase`, `decrease` or `either`.
        matters: The smallest relative change that does.
    """
    if len(points) < FEWEST:
        return None
    scale = scale_of([value for _, value in points], unit, worse, matters)
    placed = [(at, scale.place(value)) for at, value in points]
    step = step_of(points)
    recent = _recent(placed, placed[-1][0], step)
    if len(placed) < 3 * len(recent):
        return _short(placed, scale, step)
    return _tried(placed, scale, step)


def from_control(points: Sequence[Point], unit: str, worse: str, matters: float = MATTERS) -> Reference | None:
    """The reference that the control gives: the median of what it showed so far, or lately."""
    if len(points) < FEWEST - 1:
        return None
    scale = scale_of([value for _, value in points], unit, worse, matters)
    placed = [(at, scale.place(value)) for at, value in points]
    level = median([place for _, place in placed])
    errors = [place - level for _, place in placed]
    few = FEW_CONTROL * _stickiness(errors)
    words = f"the control's last {len(points)} points"
    found = _reference(words, scale, _flat(level), [(placed, errors)], step_of(points), few)
    if len(points) < CALM_POINTS:
        return found
    residuals = [error / found.spread for error in errors]
    return replace(found, near=habits.calm(residuals, list(pairwise(residuals))))


def _stickiness(errors: Sequence[float]) -> float:
    """How many points of a control are worth one that stands alone, since neighbours stick together.

    (1 + r) / (1 - r) for an autocorrelation r, which is mended for its bias in short series (Marriott, Pope, "Bias in
    the estimation of autocorrelations", Biometrika 1954), and leant on a prior, as a few points hardly tell it.
    """
    count, usual = len(errors), habits.spread(errors)
    if usual <= 0:
        return 1.0
    pairs = [(sooner / usual, later / usual) for sooner, later in pairwise(errors)]
    found = habits.raw_correlation(pairs)
    found += (1 + 4 * max(found, 0.0)) / count
    found = (found * len(pairs) + STICKY * STICKY_PAIRS) / (len(pairs) + STICKY_PAIRS)
    return (1 + (r := min(max(found, 0.0), MOST_STICKY))) / (1 - r)


def _flat(level: float) -> Expect:
    return lambda _at: (level, level)


def _short(placed: Sequence[Point], scale: Scale, step: float) -> Reference:
    """A history too short to be tried out: its median; where it clearly moves, it may stay or move on."""
    level = median([place for _, place in placed])
    found = _reference(
        f"the median of {len(placed)} points before",
        scale,
        _flat(level),
        [(placed, [p - level for _, p in placed])],
        step,
    )
    half = len(placed) // 2
    early, late = placed[:half], placed[half:]
    if half < FEWEST:
        return found
    first, last = (median([place for _, place in part]) for part in (early, late))
    away = [place - first for _, place in early] + [place - last for _, place in late]
    usual = habits.spread(away)
    pairs = [(a / usual, b / usual) for a, b in pairwise(away)] if usual > 0 else []
    sticky = habits.correlated(pairs)
    # A median has 1.25 times the standard error of a mean; neighbours that stick together are fewer than they are.
    error = 1.25 * usual * math.sqrt(2 / half * (1 + sticky) / (1 - sticky))
    if abs(last - first) <= TREND * error:
        return found
    begin, end = late[len(late) // 2][0], placed[-1][0]
    slope = (last - first) / (begin - early[half // 2][0])

    def expect(at: float) -> tuple[float, float]:
        moved = last + slope * min(at - begin, 2 * (end - placed[0][0]))
        return min(level, last, moved), max(level, last, moved)

    return replace(found, words=f"{len(placed)} points before, which move", expect=expect)


def _recent(placed: Sequence[Point], until: float, step: float) -> Sequence[Point]:
    """The last hour or the last points up to a moment, whichever is more."""
    end = bisect_right(placed, (until, float("inf")))
    start = bisect_left(placed, (until - max(RECENT_SECONDS, RECENT_POINTS * step), -float("inf")))
    return placed[min(start, max(end - RECENT_POINTS, 0)) : end]


def _level(placed: Sequence[Point], until: float, step: float) -> Expect:
    return _flat(median([place for _, place in _recent(placed, until, step)]))


def _seasonal(placed: Sequence[Point], until: float, step: float) -> Expect | None:
    """The same time on the days before, moved to the level of the last hour."""
    shape = _shape(placed, until, step)
    moves = [place - usual for at, place in _recent(placed, until, step) if (usual := shape(at)) is not None]
    if len(moves) < FEWEST:
        return None
    move = median(moves)
    last = _recent(placed, until, step)
    level = median([place for _, place in last])

    def expect(at: float) -> tuple[float, float]:
        usual = shape(at)
        place = level if usual is None else usual + move
        return place, place

    return expect


def _shape(placed: Sequence[Point], until: float, step: float) -> Callable[[float], float | None]:
    first, around = placed[0][0], AROUND * step + 1e-6

    def usual(at: float) -> float | None:
        days = []
        for day in range(1, 8):
            then = at - day * DAY
            if then < first - around:
                break
            low, high = (bisect_left(placed, (edge, -float("inf"))) for edge in (then - around, then + around))
            known = [place for when, place in placed[low:high] if when <= until]
            if known:
                days.append(median(known))
        return median(days) if days else None

    return usual


Tried = list[tuple[Sequence[Point], list[float]]]


def _tried(placed: Sequence[Point], scale: Scale, step: float) -> Reference:
    """Try the ways to expect on the past, and take the one that erred least."""
    width = max(RECENT_SECONDS, RECENT_POINTS * step)
    end = placed[-1][0]
    # The first window needs a past of its own.
    starts = [end - width * back for back in range(1, TRIALS + 1) if end - width * (back + 1) >= placed[0][0]]
    plain, seasonal = _trial(placed, starts, width, step, _level), _trial(placed, starts, width, step, _seasonal)
    expect = _seasonal(placed, end, step)
    if expect and len(seasonal) >= 0.5 * len(plain) and _size(seasonal) < BETTER * _size(plain):
        words = "the same time on the days before, at the level of the last hour"
        return _reference(words, scale, expect, seasonal, step)
    return _reference("the level of the last hour", scale, _level(placed, end, step), plain, step)


def _trial(
    placed: Sequence[Point],
    starts: Sequence[float],
    width: float,
    step: float,
    way: Callable[[Sequence[Point], float, float], Expect | None],
) -> Tried:
    """The errors that a way to expect made in the windows that begin at these moments."""
    tried: Tried = []
    for start in starts:
        low, high = (bisect_right(placed, (edge, float("inf"))) for edge in (start, start + width))
        expect = way(placed[:low], start, step) if low >= FEWEST else None
        if expect and high > low:
            window = placed[low:high]
            tried.append((window, [place - expect(at)[0] for at, place in window]))
    return tried


def _size(tried: Tried) -> float:
    return fmean(abs(error) for _, errors in tried for error in errors) if tried else float("inf")


def _reference(words: str, scale: Scale, expect: Expect, tried: Tried, step: float, few: float = FEW) -> Reference:
    """Measure the errors, and how they follow each other."""
    every = [error for _, errors in tried for error in errors]
    usual = max(habits.spread(every, few), scale.margin(expect(tried[0][0][-1][0])[1]) / 2)
    usual = usual or sys.float_info.min  # numbers so far apart that their distance is lost
    residuals = [error / usual for error in every]
    pairs = []
    for window, errors in tried:
        for index, ((sooner, _), (later, _)) in enumerate(pairwise(window)):
            if later - sooner <= 1.5 * step:
                pairs.append((errors[index] / usual, errors[index + 1] / usual))
    turned = [(-sooner, -later) for sooner, later in pairs]
    return Reference(
        words=words,
        scale=scale,
        expect=expect,
        spread=usual,
        above=habits.beyond(residuals, pairs),
        below=habits.beyond([-residual for residual in residuals], turned),
        near=None,
        count=len(every),
    )
