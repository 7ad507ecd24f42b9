"""The watch: production judged look by look, from 100 % traffic on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from deploykit import measure
from deploykit.analysis.judge import Judge, Observed
from deploykit.checks.service import look_at_health
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Answer, Evidence, Figure, Outcome, Result, Table, Verdict


@dataclass
class Watched:
    """What the watch saw, for the items that it proves.

    Attributes:
        began: Unix seconds of its start.
        blind: Looks at which the metrics could not be asked, with the reason.
        health: Outcome and sentence of each look at the health endpoint that was not a pass.
    """

    began: float
    looks: int = 0
    verdict: Verdict | None = None
    figures: tuple[Figure, ...] = ()
    observed: Observed | None = None
    blind: list[tuple[float, str]] = field(default_factory=list)
    health: list[tuple[float, Outcome, str]] = field(default_factory=list)
    health_asked: int = 0
    judge: Judge | None = None
    before: Observed | None = None


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
    except ProviderError as error:
        watched.blind.append((at, error.what))
        watched.verdict = Verdict(answer=Answer.HOLD, reason=f"cannot see: {error.what}")
        return
    watched.observed = seen
    if watched.judge is None:
        watched.before = measure.baseline(context, watched.began)
        watched.judge = Judge(measure.bounds(context, 1), watched.before, controlled=False)
    watched.verdict = watched.judge.look(seen, None, at)
    marks = ((watched.began, "100 %"),)
    watched.figures = measure.figures(context, ((candidate, seen),), marks, watched.judge, watched.before)


def errors(_context: Context, watched: Watched) -> Result:
    """`watch.errors`: no look found the error rate above its limit, and most looks, the last one too, could see."""
    return _judged("watch.errors", "errors", watched, 0)


def latency(_context: Context, watched: Watched) -> Result:
    """`watch.latency`: the same for slow requests."""
    return _judged("watch.latency", "slow", watched, 1)


def _judged(item: str, metric: str, watched: Watched, figure: int) -> Result:
    verdict = watched.verdict
    finding = next((f for f in verdict.findings if f.metric == metric), None) if verdict else None
    evidence = Evidence(
        facts={"looks": watched.looks, "looks_without_an_answer": len(watched.blind)},
        figures=watched.figures[figure : figure + 1],
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
