"""CPU and memory at the end of the watch: beside what live used, and whether they creep up."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from deploykit.analysis.constants import ALPHA, FEWEST_LIVE
from deploykit.analysis.describe import describe_series
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.points import Point, clean
from deploykit.analysis.trend import trend, usual_pace
from deploykit.model import Answer, Finding

Points = Iterable[tuple[float, float | None]]


def hold(metric: Metric, past: Points, live: Points) -> Finding:
    """Judge one gauge over the whole watch: roll back where it is worse, hold where there is too little to tell.

    Args:
        metric: What it is; `part` is its part of the one in a hundred that may be wrong.
        past: Live's points before the release.
        live: The release's since it has all traffic.
    """
    before, points = clean(past), clean(live)
    watch = MetricWatch(metric, before)
    for at, value in points:
        watch.update(at, value)
    found = describe_series(metric, watch, -math.log(ALPHA * metric.part), 0.0)
    if found.answer is Answer.ROLL_BACK or len(points) < FEWEST_LIVE:
        return found
    return _with_trend(found, before, points)


def _with_trend(found: Finding, before: Sequence[Point], points: Sequence[Point]) -> Finding:
    seconds = points[-1][0] - points[0][0]
    usual = usual_pace(before, seconds)
    moved = trend(points, usual)
    if moved is None:
        reason = f"{found.reason}; too few points for a trend"
        return found.model_copy(update={"answer": Answer.HOLD, "reason": reason})
    numbers = found.numbers | {"growth_an_hour": moved.an_hour, "usual_growth_an_hour": usual}
    said, answer = f"{moved.an_hour:+.1%} an hour, not steadily", found.answer
    if moved.creeps:
        said, answer = f"it creeps up, by {moved.an_hour:.0%} an hour to the end", Answer.ROLL_BACK
    return found.model_copy(update={"answer": answer, "reason": f"{found.reason}; {said}", "numbers": numbers})
