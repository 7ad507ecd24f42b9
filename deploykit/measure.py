"""Asks the metrics for what one colour served."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from deploykit.analysis.habits import quantile
from deploykit.analysis.judge import Bounds, Judge, Observed
from deploykit.analysis.metric import Metric
from deploykit.analysis.pictures import evidence_figure
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Arm, Figure, Series

#: Seconds of live's past that the judge learns from; not scaled, for the service does not run faster in a rehearsal.
HISTORY = 3600.0
#: Seconds; a vendor's newest bucket is filled for so long after it is first seen.
FILLING = 30.0


def observe(context: Context, arm: Arm, start: float, end: float) -> Observed:
    """Requests, errors and slow requests of one colour between two moments (unix seconds)."""
    return Observed(
        requests=ask(context, arm, "requests", "requests", start, end),
        errors=ask(context, arm, "errors", "requests", start, end),
        slow=ask(context, arm, "slow", "requests", start, end),
        plain=tuple(
            (
                Metric(name, plain.unit, plain.worse, plain.critical, plain.matters),
                _ask(context, arm, (name, plain.query, plain.unit), start, end),
            )
            for name, plain in context.settings.metrics.plain.items()
        ),
    )


def baseline(context: Context, end: float) -> Observed | None:
    """What live served in the hour before a moment; None where the metrics have no answer."""
    try:
        return observe(context, context.plan.live, end - HISTORY, end)
    except ProviderError:
        return None


def ask(context: Context, arm: Arm, metric: str, unit: str, start: float, end: float) -> Series:
    """The series of one metric of the settings, for one colour."""
    return _ask(context, arm, (metric, str(getattr(context.settings.metrics, metric)), unit), start, end)


def _ask(context: Context, arm: Arm, what: tuple[str, str, str], start: float, end: float) -> Series:
    metric, text, unit = what
    query = text.replace("$colour", arm.colour)
    name = f"{metric}, {arm.colour} {arm.version}"
    since, until = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    return context.ports.metrics.series(query, since, until, name=name, unit=unit)


def bounds(context: Context, requests: int) -> Bounds:
    """The settings' limits, for the judge."""
    delay = context.settings.metrics.delay
    return Bounds(
        error_rate=context.settings.limits.error_rate,
        slow_share=0.05,
        requests=requests,
        fresh=delay + 3 * max(context.look_every, 10.0),
        settled=delay + FILLING,
    )


def share(name: str, events: Series, requests: Series) -> Series:
    """Events as a percentage of requests, bucket by bucket; None where nothing was served."""
    counted = {at: value or 0.0 for at, value in events.points}
    points = tuple((at, 100 * counted.get(at, 0.0) / value if value else None) for at, value in requests.points)
    return Series(name=name, unit="percent", query=f"{events.query} / {requests.query}", points=points)


def figures(
    context: Context,
    arms: tuple[tuple[Arm, Observed], ...],
    marks: tuple[tuple[float, str], ...],
    judge: Judge | None = None,
    before: Observed | None = None,
) -> tuple[Figure, ...]:
    """Failed and slow requests over time, a line an arm, with the limits; and the evidence, where there is a judge.

    Args:
        context: The run.
        arms: What each arm served.
        marks: Moments worth a line.
        judge: Who judged it.
        before: What live served before, for the band of what is usual.
    """

    def lines(metric: str) -> tuple[Series, ...]:
        return tuple(share(f"{arm.colour} {arm.version}", getattr(seen, metric), seen.requests) for arm, seen in arms)

    def usual(metric: str) -> dict[str, Any]:
        times = [at for _, seen in arms for at, _ in seen.requests.points]
        return {"band": _band(share("", getattr(before, metric), before.requests), times) if before else ()}

    limits = context.settings.limits
    served = tuple(seen.requests.model_copy(update={"name": f"{arm.colour} {arm.version}"}) for arm, seen in arms)
    found = (
        Figure(
            title="Failed requests",
            series=lines("errors"),
            limit=100 * limits.error_rate,
            marks=marks,
            **usual("errors"),
        ),
        Figure(
            title=f"Requests over {limits.latency * 1000:.0f} ms",
            series=lines("slow"),
            limit=5.0,
            marks=marks,
            **usual("slow"),
        ),
        Figure(title="Requests served", series=served, marks=marks),
        *_plain_figures(arms, marks),
    )
    return (*found, evidence_figure(judge.evidence, judge.certain_at)) if judge else found


def frozen(context: Context, before: Observed | None) -> tuple[Figure, ...]:
    """What the judge learnt from, with its queries: it goes into the archive with the step that it judged."""
    if before is None:
        return ()
    name = f"{context.plan.live.colour} {context.plan.live.version}"
    lines = tuple(
        share(f"{what}, {name}", getattr(before, metric), before.requests)
        for metric, what in (("errors", "failed"), ("slow", "slow"))
    )
    return (Figure(title="Live before the shift", series=lines),)


def _band(shares: Series, times: list[float]) -> tuple[tuple[float, float, float], ...]:
    """From the first to the last of these times, between which nine of ten buckets lay before."""
    values = sorted(value for _, value in shares.points if value is not None)
    if not values or not times:
        return ()
    low, high = quantile(values, 0.05), quantile(values, 0.95)
    return ((min(times), low, high), (max(times), low, high))


def _plain_figures(arms: tuple[tuple[Arm, Observed], ...], marks: tuple[tuple[float, str], ...]) -> tuple[Figure, ...]:
    names = [metric.name for metric, _ in arms[0][1].plain] if arms else []
    return tuple(
        Figure(title=name, series=tuple(s for _, seen in arms for m, s in seen.plain if m.name == name), marks=marks)
        for name in names
    )
