"""The judge of a running deployment: what both arms served goes in, a verdict with its reason comes out.

No data is never a pass. The judge may be asked at any moment, and as often as one likes.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

from deploykit.analysis.constants import ERRORS_PART
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.panel import Panel, Seen
from deploykit.analysis.points import step_of
from deploykit.analysis.rates import Bucket, is_count
from deploykit.model import Answer, Series, Verdict


@dataclass(frozen=True)
class Observed:
    """What one colour served, as counts a bucket. The three series share their times where they have points.

    Attributes:
        plain: Further metrics, as they are asked for in the settings.
    """

    requests: Series
    errors: Series
    slow: Series
    plain: tuple[tuple[Metric, Series], ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What the verdict is held against.

    Attributes:
        error_rate: The largest share of failed requests that is still fine.
        slow_share: The largest share of requests over the latency limit; 0.05 is what a 95th percentile means.
        requests: Fewer than these of the candidate are too few to pass; None asks for what would have shown a fault.
        fresh: Seconds; when the newest point is older, and by more than two buckets, the judge sees nothing and holds.
        settled: Seconds; points that are younger may still change, and are judged anew at the next look.
    """

    error_rate: float
    slow_share: float
    requests: int | None
    fresh: float
    settled: float = 0.0


class Judge:
    """The judge of one step, or of the watch. What is settled is remembered, so that a look costs the same, always.

    Args:
        bounds: Limits and minimums.
        baseline: What live served before; without it the control and the limits alone judge.
        controlled: Whether live serves a part of the traffic at the same time.
    """

    def __init__(self, bounds: Bounds, baseline: Observed | None = None, *, controlled: bool = True) -> None:
        self.bounds, self.controlled = bounds, controlled
        limits = {"errors": bounds.error_rate, "slow": bounds.slow_share}
        counts = []
        for name, limit in limits.items():
            past = _triples(name, baseline) if baseline else []
            part = ERRORS_PART if name == "errors" else 1.0
            counts.append((Metric(name, "fraction", part=part), CountWatch(past, limit=limit, controlled=controlled)))
        plain = baseline.plain if baseline else ()
        series = [(metric, MetricWatch(metric, past.points, controlled=controlled)) for metric, past in plain]
        self._panel = Panel(counts, series, requests=bounds.requests)
        #: Unix seconds and evidence for going back, 1 being enough: what is drawn.
        self.evidence: list[tuple[float, float]] = []

    @property
    def certain_at(self) -> float | None:
        """Unix seconds of the look that made a rollback certain."""
        return self._panel.certain_at

    def look(self, candidate: Observed, control: Observed | None, now: float) -> Verdict:
        """Judge the candidate by all that was seen since it got its share of the traffic.

        Args:
            candidate: What it served, from the beginning or from the last look on.
            control: What live served at the same time; None where the candidate has all traffic.
            now: Unix seconds of this look.
        """
        mixed = _mixed(candidate, control)
        if mixed and self.certain_at is None:
            return Verdict(answer=Answer.HOLD, reason=mixed)
        beside = _since(control, self._panel.latest) if control and self.controlled else None
        moments = _moments(_since(candidate, self._panel.latest), beside)
        old = [at for at in moments if at <= now - self.bounds.settled]
        for at in old:
            self._panel.update(at, moments[at])
        panel = self._panel
        young = [at for at in moments if at > now - self.bounds.settled]
        if young:
            panel = copy.deepcopy(self._panel)
            for at in young:
                panel.update(at, moments[at])
            if panel.certain_at is not None:
                self._panel = panel
        verdict = panel.verdict()
        self.evidence.append((now, max(panel.evidence)))
        missing = _missing(candidate, self.bounds, now)
        if missing and verdict.answer is not Answer.ROLL_BACK:
            return verdict.model_copy(update={"answer": Answer.HOLD, "reason": missing, "findings": ()})
        return verdict


def judge(candidate: Observed, control: Observed | None, bounds: Bounds, now: float) -> Verdict:
    """Judge once, without a baseline: `Judge` for a single look.

    Args:
        candidate: What it served.
        control: What live served at the same time; None where the candidate has all traffic, then the limits judge.
        bounds: Limits and minimums.
        now: Unix seconds of this look.
    """
    return Judge(bounds, controlled=control is not None).look(candidate, control, now)


def _missing(candidate: Observed, bounds: Bounds, now: float) -> str:
    """What keeps the judge from seeing, or nothing."""
    times = [at for at, value in candidate.requests.points if value is not None and is_count(value)]
    if not times or candidate.requests.total <= 0:
        return "no requests of the candidate are known yet"
    # A bucket is labelled by its beginning, and the next one is only there when it is full.
    age, oldest = now - max(times), bounds.fresh + 2 * step_of([(at, 0.0) for at in sorted(set(times))])
    if age > oldest:
        return f"the newest point is {age:.0f} s old; nothing newer than {oldest:.0f} s is known"
    return ""


def _mixed(candidate: Observed, control: Observed | None) -> str:
    """What cannot be compared because its units differ, or nothing."""
    arms = [candidate, control] if control else [candidate]
    for counts in ("requests", "errors", "slow"):
        units = sorted({getattr(arm, counts).unit for arm in arms})
        if len(units) > 1:
            return f"{counts}: the arms have different units, {' and '.join(units)}"
    for metric, series in [pair for arm in arms for pair in arm.plain]:
        if series.unit != metric.unit:
            return f"{metric.name}: the points are in {series.unit}, and {metric.unit} was promised"
    return ""


def _since(seen: Observed, after: float | None) -> Observed:
    """What is new: who asks for everything again at each look is not made to wait longer and longer."""
    if after is None:
        return seen

    def new(series: Series) -> Series:
        return series.model_copy(update={"points": tuple(point for point in series.points if point[0] > after)})

    plain = tuple((metric, new(series)) for metric, series in seen.plain)
    return Observed(new(seen.requests), new(seen.errors), new(seen.slow), plain)


def _triples(name: str, seen: Observed) -> list[tuple[float, float, float]]:
    """Time, requests and events; a count that the vendor does not send is zero where requests were served.

    A bucket in which either is no count (negative, say) is none: rubbish is not "no errors".
    """
    events = {at: 0.0 if value is None else value for at, value in getattr(seen, name).points}
    found = []
    for at, value in sorted((at, value) for at, value in seen.requests.points if value):
        counted = events.get(at, 0.0)
        if is_count(value) and is_count(counted):
            found.append((at, value, min(counted, value)))
    return found


def _moments(candidate: Observed, control: Observed | None) -> dict[float, dict[str, Seen]]:
    """What each moment brought, by metric, in time order."""
    found: dict[float, dict[str, Seen]] = {}
    for name in ("errors", "slow"):
        served = {at: (n, k) for at, n, k in _triples(name, candidate)}
        beside = {at: (n, k) for at, n, k in _triples(name, control)} if control else {}
        for at, (n, k) in served.items():
            if control is None or at in beside:
                found.setdefault(at, {})[name] = Bucket(n, k, *beside.get(at, (0.0, 0.0)))
    others = {metric.name: dict(series.points) for metric, series in control.plain} if control else {}
    for metric, series in candidate.plain:
        for at, value in series.points:
            if value is not None and math.isfinite(value):
                found.setdefault(at, {})[metric.name] = (value, others.get(metric.name, {}).get(at))
    return dict(sorted(found.items()))
