"""The watch: production judged look by look, from 100 % traffic on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median

from deploykit import measure
from deploykit.analysis.judge import Judge
from deploykit.analysis.metric import Metric
from deploykit.analysis.resources import hold
from deploykit.checks.service import look_at_health
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.measure import History
from deploykit.model import Answer, Evidence, Figure, Finding, Json, Outcome, Result, Series, Table, Verdict, worst

#: What is not judged at every look is asked for at every so many-th: it moves slowly, and vendors count the questions.
SELDOM = 6
PERCENTILES = ("p50", "p95", "p99")
#: And by how much more of them matters.
RESOURCES = {"cpu": 0.25, "memory": 0.1}
#: So many points of a percentage do not matter, however little was used before: 14 instead of 5 % of a CPU hurt nobody.
POINTS = 10.0


@dataclass
class Watched:
    """What the watch saw, for the items that it proves.

    Attributes:
        began: Unix seconds of its start.
        blind: Looks at which the metrics could not be asked, with the reason.
        health: Outcome and sentence of each look at the health endpoint that was not a pass.
        measured: Percentiles, CPU and memory, by name, as far as the settings have them.
        before: Live's past, as the run froze it.
    """

    began: float
    looks: int = 0
    verdict: Verdict | None = None
    figures: tuple[Figure, ...] = ()
    blind: list[tuple[float, str]] = field(default_factory=list)
    health: list[tuple[float, Outcome, str]] = field(default_factory=list)
    health_asked: int = 0
    judge: Judge | None = None
    before: History | None = None
    measured: dict[str, Series] = field(default_factory=dict)


def watch(context: Context) -> Watched:
    """Look again and again until the time is over, or the judge says to go back.

    There is no control left at 100 %, so the limits judge, and live's past.
    """
    watched, start = Watched(began=time.time()), time.monotonic()
    lasts = context.plan.scaled(context.plan.watch_seconds)
    while time.monotonic() - start < lasts:
        context.pause(context.look_every)
        _look(context, watched)
        left = max(lasts - (time.monotonic() - start), 0)
        said = watched.verdict.reason if watched.verdict else "nothing seen yet"
        context.progress(f"watch: {said} ({left:.0f} s to go)", Evidence(figures=watched.figures))
        if watched.verdict and watched.verdict.answer is Answer.ROLL_BACK:
            break
    return watched


def _look(context: Context, watched: Watched) -> None:
    candidate, at = context.plan.candidate, time.time()
    watched.looks += 1
    watched.health_asked += 1
    outcome, sentence, _ = look_at_health(context, context.environment.url)
    if outcome is not Outcome.PASS:
        watched.health.append((at, outcome, sentence))
    try:
        seen = measure.observe(context, candidate, watched.began, at)
        if watched.looks % SELDOM == 1 or not watched.measured:
            _measure(context, watched, at)
    except ProviderError as error:
        watched.blind.append((at, error.what))
        watched.verdict = Verdict(answer=Answer.HOLD, reason=f"cannot see: {error.what}")
        return
    if watched.judge is None:
        watched.before = measure.before(context, watched.began)
        past = watched.before.observed(context) if watched.before else None
        watched.judge = Judge(measure.bounds(context, 1), past, controlled=False)
    watched.verdict = watched.judge.look(seen, None, at)
    marks = ((watched.began, "100 %"),)
    watched.figures = (
        *measure.figures(context, ((candidate, seen),), marks, watched.judge, watched.before),
        *measure.resource_figures(watched.measured, marks, watched.before),
    )


def _measure(context: Context, watched: Watched, at: float) -> None:
    names = (*PERCENTILES, *RESOURCES)
    watched.measured = measure.resources(context, context.plan.candidate, names, watched.began, at)


def errors(_context: Context, watched: Watched) -> Result:
    """`watch.errors`: no look found the error rate above its limit, and most looks, the last one too, could see."""
    return _judged("watch.errors", "errors", watched, ("Failed requests", "Evidence"))


def latency(_context: Context, watched: Watched) -> Result:
    """`watch.latency`: the same for slow requests, with the percentiles."""
    return _judged("watch.latency", "slow", watched, ("Requests over", "Latency", "Evidence"))


def _judged(item: str, metric: str, watched: Watched, titles: tuple[str, ...]) -> Result:
    verdict = watched.verdict
    finding = next((f for f in verdict.findings if f.metric == metric), None) if verdict else None
    evidence = Evidence(
        facts={"looks": watched.looks, "looks_without_an_answer": len(watched.blind), "baseline": _used(watched)},
        figures=_figures(watched, titles),
        verdict=verdict,
    )
    if finding is None:
        outcome, summary = Outcome.INCONCLUSIVE, verdict.reason if verdict else "the watch saw nothing"
    elif finding.answer is Answer.ROLL_BACK:
        outcome, summary = Outcome.FAIL, finding.reason
    elif len(watched.blind) * 2 > watched.looks:
        outcome, summary = Outcome.INCONCLUSIVE, f"most looks got no answer: {watched.blind[-1][1]}"
    else:
        outcome, summary = Outcome.PASS, f"{finding.reason}, after {watched.looks} looks"
    mend = "" if outcome is Outcome.PASS else "look at the graph; `deploykit rollback` is always there"
    return Result(item=item, outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def _used(watched: Watched) -> str:
    return watched.before.used() if watched.before else "none"


def _figures(watched: Watched, titles: tuple[str, ...]) -> tuple[Figure, ...]:
    return tuple(figure for figure in watched.figures if figure.title.startswith(titles))


def resources(_context: Context, watched: Watched) -> Result:
    """`watch.resources`: memory and CPU are what live's were, and do not creep up."""
    found = [_held(name, watched) for name in RESOURCES]
    outcome = worst([finding.answer.outcome for finding in found])
    numbers: dict[str, Json] = {finding.metric: dict(finding.numbers) for finding in found}
    facts: Json = {"baseline": _used(watched), **numbers}
    mend = ""
    if outcome is Outcome.FAIL:
        mend = "look at the graph; `deploykit rollback`, or a signed override"
    elif outcome is Outcome.INCONCLUSIVE:
        mend = "set [metrics] cpu and memory; watch for longer where there were too few points"
    evidence = Evidence(facts=facts, figures=_figures(watched, ("CPU", "Memory")))
    summary = "; ".join(finding.reason for finding in found if finding.answer.outcome is outcome)
    return Result(item="watch.resources", outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def _held(name: str, watched: Watched) -> Finding:
    now = watched.measured.get(name)
    if now is None:
        reason = f"{name}: it was not measured, or [metrics] {name} is not set"
        return Finding(metric=name, answer=Answer.HOLD, reason=reason)
    past = watched.before.series.get(name) if watched.before else None
    known = past.points if past else ()
    values = [value for _, value in known if value is not None]
    level = median(values) if values and now.unit == "percent" else 0.0
    matters = max(RESOURCES[name], POINTS / level) if level > 0 else RESOURCES[name]
    return hold(Metric(name, now.unit, matters=matters, part=1 / len(RESOURCES)), known, now.points)


def health(_context: Context, watched: Watched) -> Result:
    """`success.health`: the health endpoint answered well at every look of the watch."""
    rows = tuple((f"{at:.0f}", outcome.value, sentence) for at, outcome, sentence in watched.health)
    table = Table(title="Looks that were not well", columns=("unix seconds", "outcome", "answer"), rows=rows)
    evidence = Evidence(facts={"looks": watched.health_asked}, tables=(table,) if rows else ())
    if not watched.health_asked:
        outcome, summary = Outcome.INCONCLUSIVE, "the endpoint was never asked"
    elif watched.health:
        outcome = Outcome.FAIL if any(o is Outcome.FAIL for _, o, _ in watched.health) else Outcome.ERROR
        summary = f"{len(watched.health)} of {watched.health_asked} looks were not well"
    else:
        outcome, summary = Outcome.PASS, f"all {watched.health_asked} looks answered 200 in time"
    mend = "" if outcome is Outcome.PASS else "read the service's log at these times"
    return Result(item="success.health", outcome=outcome, summary=summary, evidence=evidence, mend=mend)
