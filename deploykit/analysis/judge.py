"""The judge: numbers in, verdict with its reason out. No data is never a pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploykit.analysis import evidence
from deploykit.model import Answer, Finding, Series, Verdict

#: How often, at most, a release that is no worse may be sent back, over all metrics and all looks.
ALPHA = 0.01


@dataclass(frozen=True)
class Observed:
    """What one colour served, as counts a bucket. The three series share their times where they have points."""

    requests: Series
    errors: Series
    slow: Series


@dataclass(frozen=True)
class Bounds:
    """What the verdict is held against.

    Attributes:
        error_rate: The largest share of failed requests that is still fine.
        slow_share: The largest share of requests over the latency limit; 0.05 is what a 95th percentile means.
        requests: Fewer than these of the candidate are too few to pass.
        fresh: Seconds; when the newest point is older, the judge sees nothing and holds.
    """

    error_rate: float
    slow_share: float
    requests: int
    fresh: float


@dataclass(frozen=True)
class _Metric:
    name: str
    words: str
    limit: float


def judge(candidate: Observed, control: Observed | None, bounds: Bounds, now: float) -> Verdict:
    """Judge the candidate by all that was seen since it got its share of the traffic.

    Args:
        candidate: What it served.
        control: What live served at the same time; None where the candidate has all traffic, then the limits judge.
        bounds: Limits and minimums.
        now: Unix seconds of this look.
    """
    missing = _missing(candidate, bounds, now)
    if missing:
        return Verdict(answer=Answer.HOLD, reason=missing)
    metrics = (_Metric("errors", "failed", bounds.error_rate), _Metric("slow", "too slow", bounds.slow_share))
    needed = math.log(len(metrics) / ALPHA)
    findings = tuple(_judge_one(metric, candidate, control, needed) for metric in metrics)
    for finding in findings:
        if finding.answer is Answer.ROLL_BACK:
            return Verdict(answer=Answer.ROLL_BACK, reason=finding.reason, findings=findings)
    served = candidate.requests.total
    if served < bounds.requests:
        reason = f"the candidate served {served:,.0f} requests; {bounds.requests:,} are needed to pass"
        return Verdict(answer=Answer.HOLD, reason=reason, findings=findings)
    reason = f"nothing speaks for going back after {served:,.0f} requests"
    return Verdict(answer=Answer.PASS, reason=reason, findings=findings)


def _missing(candidate: Observed, bounds: Bounds, now: float) -> str:
    """What keeps the judge from seeing, or nothing."""
    times = [at for at, value in candidate.requests.points if value is not None]
    if not times or candidate.requests.total <= 0:
        return "no requests of the candidate are known yet"
    age = now - max(times)
    if age > bounds.fresh:
        return f"the newest point is {age:.0f} s old; nothing newer than {bounds.fresh:.0f} s is known"
    return ""


def _judge_one(metric: _Metric, candidate: Observed, control: Observed | None, needed: float) -> Finding:
    events, served = getattr(candidate, metric.name).total, candidate.requests.total
    rate = events / served
    numbers: dict[str, float | None] = {"events": events, "requests": served, "rate": rate, "limit": metric.limit}
    if control is None:
        log_e = evidence.against_limit(min(events, served), served, metric.limit)
        beside = f"the limit is {metric.limit:.2%}"
    else:
        log_e = evidence.against_control(_buckets(metric.name, candidate, control))
        control_served = control.requests.total
        control_rate = getattr(control, metric.name).total / control_served if control_served else None
        numbers |= {"control_rate": control_rate, "control_requests": control_served}
        beside = "live served nothing" if control_rate is None else f"live: {control_rate:.2%}"
    numbers |= {"log_e": log_e, "log_e_needed": needed}
    answer = Answer.ROLL_BACK if log_e >= needed else Answer.PASS
    reason = f"{rate:.2%} of {served:,.0f} requests {metric.words} ({beside})"
    return Finding(metric=metric.name, answer=answer, reason=reason, numbers=numbers)


def _buckets(name: str, candidate: Observed, control: Observed) -> list[tuple[float, float, float, float]]:
    """Both arms by bucket; a count that the vendor does not send is zero where requests were served."""
    sides = []
    for arm in (candidate, control):
        events = {at: value or 0.0 for at, value in getattr(arm, name).points}
        sides.append({at: (value, min(events.get(at, 0.0), value)) for at, value in arm.requests.points if value})
    times = sorted(sides[0].keys() | sides[1].keys())
    return [(*sides[0].get(at, (0.0, 0.0)), *sides[1].get(at, (0.0, 0.0))) for at in times]
