"""Past deployments of one's own, cut out of the metrics as cases for the judge: before, beside and after a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from deploykit.analysis.points import step_of
from deploykit.errors import UsageError
from deploykit.measure.asking import COUNTS
from deploykit.model import Colour, Series
from deploykit.ports import Metrics
from deploykit.settings import Settings

#: Seconds on both sides of a moment in which a colour's share of the requests must have risen, to be the candidate.
AROUND = 600.0
_MEND = "give another moment, with its time zone, and the colour that was brought in: 2026-11-20T10:00:00Z=blue"


@dataclass(frozen=True)
class Moment:
    """A deployment of the past.

    Attributes:
        at: Unix seconds at which the candidate got its first traffic.
        candidate: The colour that was brought in; None is found out from the traffic.
        name: What it is called in the case.
    """

    at: float
    candidate: Colour | None = None
    name: str = ""


def moment(text: str) -> Moment:
    """A moment as it is written: an ISO time with its zone, and after `=` the colour that was brought in.

    Raises:
        UsageError: It is something else.
    """
    time, _, colour = text.partition("=")
    try:
        at = datetime.fromisoformat(time)
    except ValueError as error:
        raise UsageError(f"{text!r} is no moment", where="--at", mend=_MEND) from error
    known: dict[str, Colour] = {name: name for name in get_args(Colour)}
    if at.tzinfo is None or (colour and colour not in known):
        raise UsageError(f"{text!r} is no moment", where="--at", mend=_MEND)
    return Moment(at.timestamp(), known.get(colour))


def case(metrics: Metrics, settings: Settings, when: Moment, before: float, after: float) -> dict[str, Any]:
    """One past deployment as the judge would have seen it, in the format that `backtest` reads.

    Args:
        metrics: Where the numbers are.
        settings: With the queries and the limits.
        when: The deployment.
        before: Seconds of live's past.
        after: Seconds of both arms since.

    Raises:
        UsageError: There is nothing to judge in that window.
        ProviderError: The metrics do not answer.
    """
    candidate = when.candidate or _candidate(metrics, settings, when.at)
    live: Colour = "green" if candidate == "blue" else "blue"
    windows = {
        "baseline": (live, when.at - before, when.at),
        "control": (live, when.at, when.at + after),
        "live": (candidate, when.at, when.at + after),
    }
    asked = {
        arm: {name: _ask(metrics, settings, name, *window) for name in (*COUNTS, *settings.metrics.plain)}
        for arm, window in windows.items()
    }
    step = step_of([(at, 0.0) for at, _ in asked["live"]["requests"].points])
    if not asked["live"]["requests"].total or not step:
        raise UsageError(f"{candidate} served no requests from {_utc(when.at)} on", where="--at", mend=_MEND)
    return {
        "id": when.name or f"{settings.service.name} {_utc(when.at)} {candidate}",
        "source": f"{settings.metrics.kind}: {candidate} beside {live}",
        "change_at": when.at,
        "step_s": step,
        "metrics": _plain(settings, asked, step, when.at),
        "counts": _counts(settings, asked, step, when.at),
    }


def _counts(
    settings: Settings, asked: Mapping[str, Mapping[str, Series]], step: float, change: float
) -> dict[str, Any]:
    edge = 1000 * settings.limits.latency
    limits = {"errors": settings.limits.error_rate, "slow": 0.05}
    arms = {arm: _buckets(series, step, change, before=arm == "baseline") for arm, series in asked.items()}
    return {"edges_ms": [edge], "slow_ms": edge, "limits": limits, **arms}


def _buckets(series: Mapping[str, Series], step: float, change: float, *, before: bool) -> list[dict[str, Any]]:
    """Counts by the moment at which a bucket ended; the bucket in which the change fell is neither before nor after."""
    errors, slow = (dict(series[name].points) for name in ("errors", "slow"))
    found = []
    for at, requests in series["requests"].points:
        ends = at + step
        if not requests or (ends > change if before else at < change):
            continue
        failed, late = (min(events.get(at) or 0.0, requests) for events in (errors, slow))
        found.append({"t": ends, "requests": requests, "errors": failed, "histogram": [requests - late, late]})
    return found


def _plain(
    settings: Settings, asked: Mapping[str, Mapping[str, Series]], step: float, change: float
) -> list[dict[str, Any]]:
    found = []
    for name, plain in settings.metrics.plain.items():
        arms = {
            arm: [
                [at + step, value]
                for at, value in series[name].points
                if (at + step <= change if arm == "baseline" else at >= change)
            ]
            for arm, series in asked.items()
        }
        told = {"name": name, "unit": plain.unit, "worse": plain.worse, "critical": plain.critical}
        found.append({**told, "matters": plain.matters, **arms})
    return found


def _candidate(metrics: Metrics, settings: Settings, at: float) -> Colour:
    """The colour whose share of the requests rose."""

    def share(colour: Colour, start: float) -> float:
        served = {
            one: _ask(metrics, settings, "requests", one, start, start + AROUND).total for one in ("blue", "green")
        }
        whole = sum(served.values())
        if not whole:
            raise UsageError(f"no requests are known from {_utc(start)} on", where="--at", mend=_MEND)
        return served[colour] / whole

    rise = share("blue", at) - share("blue", at - AROUND)
    if not rise:
        raise UsageError(f"no traffic moved at {_utc(at)}", where="--at", mend=_MEND)
    return "blue" if rise > 0 else "green"


def _ask(metrics: Metrics, settings: Settings, name: str, colour: str, start: float, end: float) -> Series:
    query = settings.metrics.queries[name]
    since, until = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    return metrics.series(query.text.replace("$colour", colour), since, until, name=name, unit=query.unit)


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
