"""What was measured, as figures: live, candidate, what is usual, the limit, and the evidence as it grew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploykit.analysis.habits import quantile
from deploykit.analysis.judge import Judge, Observed
from deploykit.analysis.pictures import evidence_figure
from deploykit.context import Context
from deploykit.measure.history import History
from deploykit.model import Arm, Figure, Series

Arms = tuple[tuple[Arm, Observed], ...]
Marks = tuple[tuple[float, str], ...]


def share(name: str, events: Series, requests: Series) -> Series:
    """Events as a percentage of requests, bucket by bucket; None where nothing was served."""
    counted = {at: value or 0.0 for at, value in events.points}
    points = tuple((at, 100 * counted.get(at, 0.0) / value if value else None) for at, value in requests.points)
    return Series(name=name, unit="percent", query=f"{events.query} / {requests.query}", points=points)


def figures(
    context: Context,
    arms: Arms,
    marks: Marks,
    judge: Judge | None = None,
    before: History | None = None,
) -> tuple[Figure, ...]:
    """Failed and slow requests over time, a line an arm, with the limits; where there is a judge, the evidence too.

    Args:
        context: The run.
        arms: What each arm served.
        marks: Moments worth a line.
        judge: Who judged it.
        before: What live served before, for the band of what is usual.
    """

    def drawn(metric: str, title: str, limit: float) -> Figure:
        lines = tuple(share(_role(context, arm), getattr(seen, metric), seen.requests) for arm, seen in arms)
        usual = share("", before.series[metric], before.series["requests"]) if before else None
        return Figure(title=title, series=lines, limit=limit, marks=marks, band=_band(usual, _times(arms)))

    if judge and judge.certain_at is not None:
        marks = (*marks, (judge.certain_at, "certain"))
    limits = context.settings.limits
    served = tuple(seen.requests.model_copy(update={"name": _role(context, arm)}) for arm, seen in arms)
    found = (
        drawn("errors", "Failed requests", 100 * limits.error_rate),
        drawn("slow", f"Requests over {limits.latency * 1000:.0f} ms", 5.0),
        Figure(title="Requests served", series=served, marks=marks),
        *_plain_figures(context, arms, marks, before),
    )
    return (*found, evidence_figure(judge.evidence, judge.certain_at)) if judge else found


def resource_figures(measured: dict[str, Series], marks: Marks, before: History | None) -> tuple[Figure, ...]:
    """Percentiles of latency in one picture, and each other metric in one of its own, with what was usual."""
    latencies = tuple(series for name, series in measured.items() if name in {"p50", "p95", "p99"})
    found = [Figure(title="Latency", series=latencies, marks=marks)] if latencies else []
    for name, series in measured.items():
        if series not in latencies:
            usual = before.series.get(name) if before else None
            band = _band(usual, [at for at, _ in series.points])
            found.append(Figure(title=WORDS.get(name, name), series=(series,), marks=marks, band=band))
    return tuple(found)


#: Titles of what the settings name with one word.
WORDS = {
    "requests": "Requests served",
    "cpu": "CPU",
    "memory": "Memory",
    "query_time": "Time of database queries",
}


def _role(context: Context, arm: Arm) -> str:
    """What an arm is, before where it runs: `candidate, blue v1.5.0`."""
    role = "candidate" if arm.colour == context.plan.candidate.colour else "live"
    return f"{role}, {arm.colour} {arm.version}"


def _times(arms: Arms) -> list[float]:
    return [at for _, seen in arms for at, _ in seen.requests.points]


def _band(usual: Series | None, times: Iterable[float]) -> tuple[tuple[float, float, float], ...]:
    """From the first to the last of these times, between which nine of ten points lay before."""
    values = sorted(value for _, value in usual.points if value is not None) if usual else []
    times = sorted(times)
    if not values or not times:
        return ()
    low, high = quantile(values, 0.05), quantile(values, 0.95)
    return ((times[0], low, high), (times[-1], low, high))


def _plain_figures(context: Context, arms: Arms, marks: Marks, before: History | None) -> tuple[Figure, ...]:
    found = []
    for name in context.settings.metrics.plain:
        lines = tuple(
            series.model_copy(update={"name": _role(context, arm)})
            for arm, seen in arms
            for metric, series in seen.plain
            if metric.name == name
        )
        usual: dict[str, Any] = {"band": _band(before.series.get(name), _times(arms))} if before else {}
        found.append(Figure(title=name, series=lines, marks=marks, **usual))
    return tuple(found)
