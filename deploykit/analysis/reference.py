"""What a series is held against: its own past, as it was expected at that time of day, or the control."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from deploykit.analysis import habits
from deploykit.analysis.constants import FEWEST
from deploykit.analysis.habits import Habit
from deploykit.analysis.points import Point, step_of
from deploykit.analysis.scale import Scale, scale_of

DAY = 86400.0
#: The recent past: so many points, and at least an hour.
RECENT_POINTS, RECENT_SECONDS = 30, 3600.0
#: A way to expect is tried on so many windows of the past, each as long as the recent past.
TRIALS = 48
#: A point of yesterday stands for the same time today if it is no further from it than so many steps.
AROUND = 2
#: Another way to expect must be so much better than the plain level to be used.
BETTER = 0.8

Expect = Callable[[float], float]


@dataclass(frozen=True)
class Reference:
    """Where a series should be, and how it strays from there.

    Attributes:
        words: What was used, for a reader.
        scale: The axis on which everything is measured.
        expect: The place where it should be at a moment (unix seconds).
        spread: The usual distance from there, never less than half of what matters.
        above: Its habits above that place, `below` those below, `near` that of lying very near.
        count: How many points it rests on.
    """

    words: str
    scale: Scale
    expect: Expect
    spread: float
    above: tuple[Habit, ...]
    below: tuple[Habit, ...]
    near: Habit
    count: int

    def residual(self, at: float, value: float) -> float:
        """How many usual distances above its place a value lies."""
        return (self.scale.place(value) - self.expect(at)) / self.spread

    def band(self, at: float, width: float = 2.0) -> tuple[float, float]:
        """The values so many usual distances below and above, in the unit of the series, the smaller first."""
        middle = self.expect(at)
        low, high = (self.scale.value(middle + side * width * self.spread) for side in (-1, 1))
        return min(low, high), max(low, high)


def from_history(points: Sequence[Point], unit: str, worse: str) -> Reference | None:
    """The reference that a history gives; None where it has too few points.

    A short one gives its median. A long one is tried out on its own past: the level of the last hour, and, where it
    is longer than a day, the same time on the days before, moved to today's level. The way that erred least is used,
    with the errors that it made.

    Args:
        points: Clean and sorted, all before the change.
        unit: Of the values.
        worse: `increase`, `decrease` or `either`.
    """
    if len(points) < FEWEST:
        return None
    scale = scale_of([value for _, value in points], unit, worse)
    placed = [(at, scale.place(value)) for at, value in points]
    step = step_of(points)
    recent = _recent(placed, placed[-1][0], step)
    if len(placed) < 3 * len(recent):
        level = median([place for _, place in placed])
        words = f"the median of {len(placed)} points before"
        return _reference(words, scale, lambda _at: level, [(placed, [place - level for _, place in placed])], step)
    return _tried(placed, scale, step)


def from_control(points: Sequence[Point], unit: str, worse: str) -> Reference | None:
    """The reference that the control gives: the median of what it showed so far, or lately."""
    found = from_level(points, unit, worse)
    return found and Reference(**{**vars(found), "words": f"the control's last {len(points)} points"})


def from_level(points: Sequence[Point], unit: str, worse: str) -> Reference | None:
    """A reference without regard to time: the median of these points; None where they are too few."""
    if len(points) < FEWEST - 1:
        return None
    scale = scale_of([value for _, value in points], unit, worse)
    placed = [(at, scale.place(value)) for at, value in points]
    level = median([place for _, place in placed])
    errors = [place - level for _, place in placed]
    return _reference(f"{len(placed)} points", scale, lambda _at: level, [(placed, errors)], step_of(points))


def _recent(placed: Sequence[Point], until: float, step: float) -> Sequence[Point]:
    """The last hour or the last points up to a moment, whichever is more."""
    end = bisect_right(placed, (until, float("inf")))
    start = bisect_left(placed, (until - max(RECENT_SECONDS, RECENT_POINTS * step), -float("inf")))
    return placed[min(start, max(end - RECENT_POINTS, 0)) : end]


def _level(placed: Sequence[Point], until: float, step: float) -> Expect:
    level = median([place for _, place in _recent(placed, until, step)])
    return lambda _at: level


def _seasonal(placed: Sequence[Point], until: float, step: float) -> Expect | None:
    """The same time on the days before, moved to the level of the last hour."""
    shape = _shape(placed, until, step)
    moves = [place - usual for at, place in _recent(placed, until, step) if (usual := shape(at)) is not None]
    if len(moves) < FEWEST:
        return None
    move = median(moves)
    last = _recent(placed, until, step)
    level = median([place for _, place in last])

    def expect(at: float) -> float:
        usual = shape(at)
        return level if usual is None else usual + move

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
            tried.append((window, [place - expect(at) for at, place in window]))
    return tried


def _size(tried: Tried) -> float:
    return fmean(abs(error) for _, errors in tried for error in errors) if tried else float("inf")


def _reference(words: str, scale: Scale, expect: Expect, tried: Tried, step: float) -> Reference:
    """Measure the errors, and how they follow each other."""
    every = [error for _, errors in tried for error in errors]
    usual = max(habits.spread(every), scale.margin(expect(tried[0][0][-1][0])) / 2)
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
        near=habits.calm(residuals, pairs),
        count=len(every),
    )
