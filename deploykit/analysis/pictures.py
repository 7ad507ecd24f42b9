"""What a verdict rests on, as figures: what is usual, what both arms did, and the evidence as it grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploykit.analysis.cases import Counted, Judged, Points, Recorded
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.metric import MetricWatch
from deploykit.analysis.panel import Member
from deploykit.model import Answer, Figure, Series

#: So much of the past is shown beside what is judged.
SHOWN_POINTS = 60


def evidence_figure(evidence: Sequence[tuple[float, float]], certain_at: float | None) -> Figure:
    """The evidence for going back over time, with the line that makes it certain.

    Args:
        evidence: Unix seconds, and evidence of which 1 is enough.
        certain_at: When it was.
    """
    # Far below nothing there is nothing to see.
    points = tuple((at, min(max(value, -1.0), 3.0)) for at, value in evidence)
    series = Series(name="evidence", unit="times what is enough", points=points)
    marks = ((certain_at, "certain"),) if certain_at is not None else ()
    return Figure(title="Evidence that the candidate is worse", series=(series,), limit=1.0, marks=marks)


def case_figures(judged: Judged) -> tuple[Figure, ...]:
    """A judged case: the metric that says most, and the evidence."""
    members = judged.panel.members
    if not members:
        return ()
    most = max(members, key=lambda member: member.watch.log_e - member.needed)
    marks = [(judged.case.change_at, "change")]
    if judged.verdict.answer is Answer.ROLL_BACK and judged.decided_at is not None:
        marks.append((judged.decided_at, "rolled back"))
    picture = metric_figure(judged, most, tuple(marks))
    return (picture, evidence_figure(judged.evidence, judged.panel.certain_at))


def metric_figure(judged: Judged, member: Member, marks: tuple[tuple[float, str], ...]) -> Figure:
    """One metric: past, control and candidate, and the band of what is usual."""
    name, watch = member.metric.name, member.watch
    every: list[Recorded | Counted] = [*judged.case.recorded, *judged.case.counted]
    recorded = next(one for one in every if one.metric.name == name)
    arms = {
        "before": _points(recorded.baseline)[-SHOWN_POINTS:],
        "control": _points(recorded.control or []),
        "candidate": _points(recorded.live),
    }
    lines = tuple(_series(f"{name}, {arm}", member.metric.unit, points) for arm, points in arms.items() if points)
    return Figure(title=name, series=lines, marks=marks, band=_usual(watch, judged.case.looks))


def _usual(watch: CountWatch | MetricWatch, times: Iterable[float]) -> tuple[tuple[float, float, float], ...]:
    reference = watch.reference if isinstance(watch, MetricWatch) else None
    return tuple((at, *reference.band(at)) for at in times) if reference else ()


def _points(points: Points | list[tuple[float, float, float]]) -> Points:
    found: Points = []
    for at, *rest in points:
        if len(rest) == 2:
            requests, events = rest[0] or 0.0, rest[1] or 0.0
            found.append((at, events / requests if requests else None))
        else:
            found.append((at, rest[0]))
    return sorted(found, key=lambda point: point[0])


def _series(name: str, unit: str, points: Points) -> Series:
    return Series(name=name, unit=unit, points=tuple(points))
