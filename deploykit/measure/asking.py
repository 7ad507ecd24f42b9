"""Asks the metrics for what one colour served."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from deploykit.analysis.judge import Bounds, Observed
from deploykit.analysis.metric import Metric
from deploykit.context import Context
from deploykit.errors import Rejected
from deploykit.model import Arm, Series
from deploykit.settings import MetricsSettings

#: Seconds; a vendor's newest bucket is filled for so long after it is first seen.
FILLING = 30.0
#: What the judge counts, in the order of `Observed`.
COUNTS = ("requests", "errors", "slow")


def observe(context: Context, arm: Arm, start: float, end: float) -> Observed:
    """Requests, errors and slow requests of one colour between two moments (unix seconds).

    Raises:
        Rejected: The vendor says no, or was never told of a metric whose silence would count as "none".
        Unreachable: No answer.
    """
    plain = tuple((metric, ask(context, arm, metric.name, start, end)) for metric in further(context.settings.metrics))
    return _observed(context, {name: ask(context, arm, name, start, end) for name in COUNTS}, plain)


def staging(context: Context, start: float, end: float) -> Observed:
    """The same of staging, without further metrics."""
    return _observed(context, {name: named(context, name, f"{name}, staging", start, end) for name in COUNTS})


def further(metrics: MetricsSettings) -> Iterable[Metric]:
    """The further metrics of the settings, as the judge knows them."""
    for name, plain in metrics.plain.items():
        yield Metric(name, plain.unit, plain.worse, plain.critical, plain.matters)


def ask(context: Context, arm: Arm, metric: str, start: float, end: float) -> Series:
    """The series of one metric of the settings, for one colour."""
    return named(context, metric, f"{metric}, {arm.colour} {arm.version}", start, end, colour=arm.colour)


def named(context: Context, metric: str, name: str, start: float, end: float, *, colour: str = "") -> Series:
    """The series of one metric of the settings: of a colour, or without one of staging."""
    settings = context.settings.metrics
    query = settings.queries[metric]
    text = query.text.replace("$colour", colour) if colour else settings.staged(query.text)
    since, until = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    return context.ports.metrics.series(text, since, until, name=name, unit=query.unit)


def resources(context: Context, arm: Arm, names: Iterable[str], start: float, end: float) -> dict[str, Series]:
    """Those of these metrics that the settings have, by name: percentiles, CPU, memory, time of database queries."""
    return {name: ask(context, arm, name, start, end) for name in names if name in context.settings.metrics.queries}


def bounds(context: Context, requests: int | None) -> Bounds:
    """The settings' limits, for the judge."""
    delay = context.settings.metrics.delay
    return Bounds(
        error_rate=context.settings.limits.error_rate,
        slow_share=0.05,
        requests=requests,
        fresh=delay + 3 * max(context.look_every, 10.0),
        settled=delay + FILLING,
    )


def _observed(context: Context, asked: dict[str, Series], plain: tuple[tuple[Metric, Series], ...] = ()) -> Observed:
    """Put together, if a silence means what it seems to: nothing failed only where failures would be told."""
    for name, series in asked.items():
        if series.points or not any(value for _, value in asked["requests"].points):
            continue
        unknown = context.ports.metrics.unknown(series.query)
        if unknown:
            raise Rejected(
                f"no {name} are known, and {', '.join(unknown)} was never reported",
                where=f"metrics.{name}",
                mend="mend the query, or have the service report it",
            )
    return Observed(asked["requests"], asked["errors"], asked["slow"], plain=plain)
