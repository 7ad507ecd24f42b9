"""Asks the metrics for what one colour served."""

from __future__ import annotations

from datetime import UTC, datetime

from deploykit.analysis.judge import Bounds, Observed
from deploykit.context import Context
from deploykit.model import Arm, Figure, Series


def observe(context: Context, arm: Arm, start: float, end: float) -> Observed:
    """Requests, errors and slow requests of one colour between two moments (unix seconds)."""
    return Observed(
        requests=ask(context, arm, "requests", "requests", start, end),
        errors=ask(context, arm, "errors", "requests", start, end),
        slow=ask(context, arm, "slow", "requests", start, end),
    )


def ask(context: Context, arm: Arm, metric: str, unit: str, start: float, end: float) -> Series:
    """The series of one metric of the settings, for one colour."""
    query = str(getattr(context.settings.metrics, metric)).replace("$colour", arm.colour)
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
    )


def share(name: str, events: Series, requests: Series) -> Series:
    """Events as a percentage of requests, bucket by bucket; None where nothing was served."""
    counted = {at: value or 0.0 for at, value in events.points}
    points = tuple((at, 100 * counted.get(at, 0.0) / value if value else None) for at, value in requests.points)
    return Series(name=name, unit="percent", query=f"{events.query} / {requests.query}", points=points)


def figures(
    context: Context, arms: tuple[tuple[Arm, Observed], ...], marks: tuple[tuple[float, str], ...]
) -> tuple[Figure, ...]:
    """Failed and slow requests over time, a line an arm, with the limits."""

    def lines(metric: str) -> tuple[Series, ...]:
        return tuple(share(f"{arm.colour} {arm.version}", getattr(seen, metric), seen.requests) for arm, seen in arms)

    limits = context.settings.limits
    served = tuple(seen.requests.model_copy(update={"name": f"{arm.colour} {arm.version}"}) for arm, seen in arms)
    return (
        Figure(title="Failed requests", series=lines("errors"), limit=100 * limits.error_rate, marks=marks),
        Figure(title=f"Requests over {limits.latency * 1000:.0f} ms", series=lines("slow"), limit=5.0, marks=marks),
        Figure(title="Requests served", series=served, marks=marks),
    )
