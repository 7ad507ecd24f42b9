"""What a metric says, in a sentence and in numbers: effect with interval, and how long certainty would take."""

from __future__ import annotations

import math
from functools import partial
from statistics import median

from deploykit.analysis import bounds
from deploykit.analysis.constants import SPREADING
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.model import Answer, Finding

#: Log evidence that already speaks against a release, though not enough.
SPEAKS = math.log(3)


def describe_count(metric: Metric, watch: CountWatch, needed: float, look: float) -> Finding:
    """The finding of a counted metric.

    Args:
        metric: What it is.
        watch: Its state.
        needed: Log evidence that would be enough on its own.
        look: Seconds between two looks; 0 where that is not known.
    """
    totals = watch.totals
    rate = totals.events / totals.requests if totals.requests else None
    control = totals.control_events / totals.control_requests if totals.control_requests else None
    numbers: dict[str, float | None] = {
        "events": totals.events,
        "requests": totals.requests,
        "rate": rate,
        "control_events": totals.control_events,
        "control_requests": totals.control_requests,
        "control_rate": control,
        "past_rate": watch.past.rate or None,
        "limit": watch.limit,
        "log_e": watch.log_e,
        "log_e_needed": needed,
    }
    if rate is None:
        return Finding(
            metric=metric.name, answer=Answer.HOLD, reason=f"{metric.name}: no requests yet", numbers=numbers
        )
    low, high = bounds.rate_interval(totals.events, totals.requests)
    numbers |= {"rate_low": low, "rate_high": high}
    reason = f"{metric.name}: {rate:.2%} of {totals.requests:,.0f} requests (99 % sure: {low:.2%} to {high:.2%})"
    if control is not None:
        pair = (totals.events, totals.requests), (totals.control_events, totals.control_requests)
        least, most = bounds.ratio_interval(*pair)
        numbers |= {"ratio_low": least, "ratio_high": most if math.isfinite(most) else None}
        times = f", {least:.2g} to {most:.2g} times" if math.isfinite(most) and most > 0 else ""
        reason += f", live {control:.2%}{times}"
    elif watch.limit:
        reason += f", the limit is {watch.limit:.2%}"
    elif watch.past.rate:
        reason += f", {watch.past.rate:.2%} before"
    if watch.log_e >= needed:
        return Finding(metric=metric.name, answer=Answer.ROLL_BACK, reason=reason, numbers=numbers)
    numbers["seconds_to_certainty"] = wait = _wait_count(watch, needed, look)
    return Finding(metric=metric.name, answer=Answer.PASS, reason=reason + _waiting(wait), numbers=numbers)


def describe_series(metric: Metric, watch: MetricWatch, needed: float, look: float) -> Finding:
    """The finding of a plain series. The effect's interval holds the median with order statistics.

    Args:
        metric: What it is.
        watch: Its state.
        needed: Log evidence that would be enough on its own.
        look: Seconds between two looks; 0 where that is not known.
    """
    numbers: dict[str, float | None] = {"points": float(watch.seen), "log_e": watch.log_e, "log_e_needed": needed}
    reference = watch.reference
    if not watch.recent or not reference:
        lack = "no points yet" if not watch.recent else "nothing to compare with"
        return Finding(metric=metric.name, answer=Answer.HOLD, reason=f"{metric.name}: {lack}", numbers=numbers)
    strays = watch.strays
    values = sorted(strays or [value for _, value in watch.recent])
    middle, (low, high) = median(values), _median_interval(values)
    least, most = reference.band(watch.recent[-1][0])
    numbers |= {"value": middle, "value_low": low, "value_high": high, "usual_low": least, "usual_high": most}
    told = partial(amount, unit=metric.unit)
    which = f"{len(strays)} of the last {len(watch.recent)} points at" if strays else "lately"
    usual = f"{told(least)} to {told(most)} is usual ({reference.words})"
    reason = f"{metric.name}: {which} {told(middle)} ({told(low)} to {told(high)}) where {usual}"
    numbers |= {"strays": float(len(strays))}
    if watch.log_e >= needed:
        return Finding(metric=metric.name, answer=Answer.ROLL_BACK, reason=reason, numbers=numbers)
    numbers["seconds_to_certainty"] = wait = _wait_series(watch, needed, look)
    return Finding(metric=metric.name, answer=Answer.PASS, reason=reason + _waiting(wait), numbers=numbers)


def amount(value: float, unit: str) -> str:
    """A number with its unit, for a reader: bytes in mega."""
    if unit == "bytes":
        return f"{value / 1e6:.4g} MB"
    return f"{value:.4g}" + {"fraction": "", "raw": "", "count": "", "percent": " %"}.get(unit, f" {unit}")


def seen_by(watch: CountWatch, needed: float) -> tuple[float, float]:
    """The smallest worsening that would have been seen by now: as a ratio, and as the rate that it makes.

    Beside a control, from the mix of traffic that showed most; alone, from the limit, or from what lasts.
    """
    rate, enough = watch.usual, needed + SPREADING
    ratios = [
        bounds.smallest_seen(rate, epoch.requests, epoch.control_requests, enough)
        for epoch in watch.epochs
        if epoch.control_requests > 0
    ]
    ratio = min(ratios, default=math.inf)
    if watch.limit and watch.totals.requests and not watch.totals.control_requests:
        over = watch.limit * bounds.smallest_seen(watch.limit, watch.totals.requests, 0.0, enough)
        ratio = min(ratio, over / rate if rate > 0 else math.inf)
    if not watch.totals.control_requests and rate > 0:
        ratio = min(ratio, watch.lasting / rate)
    return ratio, ratio * rate


def _wait_count(watch: CountWatch, needed: float, look: float) -> float | None:
    """Seconds until it would be certain if it goes on as it is; None where it does not speak against the release."""
    totals = watch.totals
    usual = totals.control_events / totals.control_requests if totals.control_requests else watch.usual
    if watch.log_e < SPEAKS or look <= 0 or usual <= 0:
        return None
    ratio = totals.events / totals.requests / usual
    each = bounds.growth(ratio, usual, totals.requests, totals.control_requests) / max(watch.looks, 1)
    return max(needed - watch.log_e, 0.0) / each * look if each > 0 and ratio > 1 else None


def _wait_series(watch: MetricWatch, needed: float, look: float) -> float | None:
    if watch.log_e < SPEAKS or look <= 0 or watch.gain <= 0:
        return None
    return math.ceil(max(needed - watch.log_e, 0.0) / watch.gain) * look


def _waiting(seconds: float | None) -> str:
    if seconds is None:
        return ""
    amount = f"{seconds:.0f} more seconds" if seconds < 90 else f"{seconds / 60:.0f} more minutes"
    return f"; if it stays so, certain in about {amount} at this traffic"


def _median_interval(values: list[float]) -> tuple[float, float]:
    """The order statistics that hold the median with 99 % confidence; all values where they are too few."""
    count, tail, rank = len(values), 0.5 ** len(values), 0
    term = tail
    while rank < count // 2 and tail <= 0.005:
        rank += 1
        term *= (count - rank + 1) / rank
        tail += term
    place = max(rank - 1, 0)
    return values[place], values[count - 1 - place]
