"""Recorded deployments: read from JSON, judged look by look as if they were happening."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deploykit.analysis.constants import ERRORS_PART, MATTERS
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.panel import Panel, Seen
from deploykit.analysis.rates import Bucket, is_count
from deploykit.model import Answer, Verdict

Points = list[tuple[float, float | None]]
WORSE = ("increase", "decrease", "either")
#: Beside counts, requests over this edge are a metric of their own, unless the case names another (`slow_ms`).
SLOW_MS = 500.0


class CaseError(ValueError):
    """A line that is no case; the message says what is wrong with it."""


@dataclass(frozen=True)
class Recorded:
    """One plain metric of a case."""

    metric: Metric
    baseline: Points
    control: Points | None
    live: Points


@dataclass(frozen=True)
class Counted:
    """One counted metric of a case: time, requests and events of each arm, by time."""

    metric: Metric
    baseline: list[tuple[float, float, float]]
    control: list[tuple[float, float, float]]
    live: list[tuple[float, float, float]]
    limit: float | None = None


@dataclass(frozen=True)
class Case:
    """A recorded deployment. What it says of its own outcome is not read."""

    id: str
    change_at: float
    step: float
    recorded: tuple[Recorded, ...]
    counted: tuple[Counted, ...]

    @property
    def looks(self) -> list[float]:
        """The moments at which something of the candidate was known."""
        moments = {at for one in self.recorded for at, _ in one.live}
        return sorted(moments | {at for one in self.counted for at, _, _ in one.live})


@dataclass
class Judged:
    """A judged case.

    Attributes:
        decided_at: The look that made a rollback certain, else the last one.
        evidence: Unix seconds and the evidence for going back, where 1 is enough.
    """

    case: Case
    verdict: Verdict
    decided_at: float | None
    panel: Panel
    evidence: list[tuple[float, float]] = field(default_factory=list)

    def line(self) -> dict[str, Any]:
        """The verdict as it is written."""
        return {
            "id": self.case.id,
            "verdict": self.verdict.answer.value,
            "decided_at": self.decided_at,
            "reason": self.verdict.reason,
        }


def parse(text: str) -> Case:
    """One line of a file of cases.

    Raises:
        CaseError: It is not JSON, or lacks something, or a time or unit makes no sense.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise CaseError(f"is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise CaseError("is no JSON object")
    counted = tuple(_counted(data)) if data.get("counts") is not None else ()
    names = {one.metric.name for one in counted}
    recorded = [_recorded(one) for one in _need(data, "metrics", list)]
    if len({one.metric.name for one in recorded}) < len(recorded):
        raise CaseError("two metrics have the same name")
    return Case(
        id=str(_need(data, "id", str | int)),
        change_at=_number(data, "change_at"),
        step=_number(data, "step_s"),
        recorded=tuple(one for one in recorded if one.metric.name not in names),
        counted=counted,
    )


def judge(case: Case, watch: Callable[[Panel, float], None] | None = None) -> Judged:
    """Judge a case point by point, without looking ahead.

    Args:
        case: What was recorded.
        watch: Called after each look, for who draws.
    """
    panel = panel_of(case)
    evidence: list[tuple[float, float]] = []
    for at, seen in moments(case):
        panel.update(at, seen)
        evidence.append((at, max(panel.evidence)))
        if watch:
            watch(panel, at)
        if panel.certain_at is not None:
            break
    verdict = panel.verdict()
    decided = panel.certain_at if verdict.answer is Answer.ROLL_BACK else (evidence[-1][0] if evidence else None)
    return Judged(case, verdict, decided, panel, evidence)


def panel_of(case: Case) -> Panel:
    """The judge of a case, before its first look."""
    counts = [
        (one.metric, CountWatch(_before(one, case.change_at), limit=one.limit, controlled=bool(one.control)))
        for one in case.counted
    ]
    series = []
    for one in case.recorded:
        past = [point for point in one.baseline if point[0] <= case.change_at]
        series.append((one.metric, MetricWatch(one.metric, past, controlled=one.control is not None)))
    return Panel(counts, series)


def _before(one: Counted, change_at: float) -> list[tuple[float, float, float]]:
    return [bucket for bucket in one.baseline if bucket[0] <= change_at]


def moments(case: Case) -> Iterator[tuple[float, dict[str, Seen]]]:
    """What was known at each look, in time order; several points of one moment count as their median."""
    lives: dict[str, tuple[dict[float, float | None], dict[float, float | None]]] = {
        one.metric.name: (_by_time(one.live), _by_time(one.control or [])) for one in case.recorded
    }
    buckets: dict[str, tuple[dict[float, tuple[float, float]], dict[float, tuple[float, float]]]] = {
        one.metric.name: (_summed(one.live), _summed(one.control)) for one in case.counted
    }
    for at in case.looks:
        seen: dict[str, Seen] = {
            name: (live.get(at), control.get(at)) for name, (live, control) in lives.items() if at in live
        }
        for name, (live_counts, control_counts) in buckets.items():
            if at in live_counts:
                seen[name] = Bucket(*live_counts[at], *control_counts.get(at, (0.0, 0.0)))
        yield at, seen


def _by_time(points: Points) -> dict[float, float | None]:
    found: dict[float, list[float]] = {}
    for at, value in points:
        known = found.setdefault(at, [])
        if value is not None:
            known.append(value)
    return {at: sorted(values)[len(values) // 2] if values else None for at, values in found.items()}


def _summed(buckets: list[tuple[float, float, float]]) -> dict[float, tuple[float, float]]:
    found: dict[float, tuple[float, float]] = {}
    for at, requests, events in buckets:
        before = found.get(at, (0.0, 0.0))
        found[at] = (before[0] + requests, before[1] + events)
    return found


def _recorded(data: Any) -> Recorded:
    if not isinstance(data, dict):
        raise CaseError("a metric is no JSON object")
    name, worse = str(_need(data, "name", str)), str(data.get("worse", "increase"))
    if worse not in WORSE:
        raise CaseError(f"metric {name}: worse is {worse!r}, not one of {', '.join(WORSE)}")
    matters = _number(data, "matters") if "matters" in data else MATTERS
    if matters <= 0:
        raise CaseError(f"metric {name}: matters is {matters:g}, and must be above 0")
    metric = Metric(name, str(data.get("unit", "raw")), worse, bool(data.get("critical", True)), matters)
    control = data.get("control")
    return Recorded(
        metric,
        _points(name, "baseline", data.get("baseline") or []),
        None if control is None else _points(name, "control", control),
        _points(name, "live", _need(data, "live", list)),
    )


def _counted(data: dict[str, Any]) -> Iterator[Counted]:
    """Errors, and requests over the latency edge, from raw counts."""
    counts = _need(data, "counts", dict)
    edges = [float(edge) for edge in counts.get("edges_ms") or []]
    critical = {
        one.get("name"): bool(one.get("critical", True)) for one in data.get("metrics", []) if isinstance(one, dict)
    }
    arms = {arm: counts.get(arm) or [] for arm in ("baseline", "control", "live")}
    limits = {name: _limit(counts, name) for name in ("errors", "slow")}
    yield Counted(
        Metric("errors", "fraction", critical=critical.get("errors", True), part=ERRORS_PART),
        **_arms(arms, _errors),
        limit=limits["errors"],
    )
    edge = _number(counts, "slow_ms") if "slow_ms" in counts else SLOW_MS
    if edge in edges:
        first = edges.index(edge) + 1

        def slow(bucket: dict[str, Any]) -> float:
            return math.fsum(_count(one) for one in bucket["histogram"][first:])

        metric = Metric("slow", "fraction", critical=critical.get("slow", True))
        yield Counted(metric, **_arms(arms, slow), limit=limits["slow"])


def _limit(counts: dict[str, Any], name: str) -> float | None:
    """A promised limit, if the case names one."""
    limits = counts.get("limits") or {}
    if not isinstance(limits, dict):
        raise CaseError("'limits' is of the wrong kind")
    if name not in limits:
        return None
    limit = _number(limits, name)
    if not 0 < limit < 1:
        raise CaseError(f"the limit of {name} is {limit:g}, and must lie between 0 and 1")
    return limit


def _arms(
    arms: dict[str, list[dict[str, Any]]], events: Callable[[dict[str, Any]], float]
) -> dict[str, list[tuple[float, float, float]]]:
    try:
        return {
            arm: sorted((_time(one["t"]), _count(one["requests"]), events(one)) for one in buckets)
            for arm, buckets in arms.items()
        }
    except (KeyError, TypeError, IndexError) as error:
        raise CaseError(f"a bucket of the counts lacks {error}") from None


def _errors(bucket: dict[str, Any]) -> float:
    return _count(bucket["errors"])


def _points(name: str, arm: str, data: Any) -> Points:
    try:
        return [(_time(at), _value(value)) for at, value in data]
    except (TypeError, ValueError) as error:
        if isinstance(error, CaseError):
            raise CaseError(f"metric {name}: {arm}: {error}") from None
        raise CaseError(f"metric {name}: {arm} is no list of [time, value]") from None


def _time(at: Any) -> float:
    if not isinstance(at, int | float) or isinstance(at, bool) or not math.isfinite(at):
        raise CaseError(f"{at!r} is no time")
    return float(at)


def _value(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise CaseError(f"{value!r} is no number")
    return float(value) if math.isfinite(value) else None


def _count(value: Any) -> float:
    number = _value(value)
    if number is None or not is_count(number):
        raise CaseError(f"{value!r} is no count")
    return number


def _need(data: dict[str, Any], key: str, kind: Any) -> Any:
    if key not in data:
        raise CaseError(f"lacks {key!r}")
    if not isinstance(data[key], kind):
        raise CaseError(f"{key!r} is of the wrong kind")
    return data[key]


def _number(data: dict[str, Any], key: str) -> float:
    return _time(_need(data, key, int | float))
