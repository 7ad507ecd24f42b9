"""Before the deployment: production's baseline is frozen, and staging is stable."""

from __future__ import annotations

import time
from statistics import median

from deploykit import measure
from deploykit.analysis.habits import quantile
from deploykit.analysis.judge import Judge
from deploykit.checks import queries as database_queries
from deploykit.context import Context
from deploykit.measure import History
from deploykit.model import Evidence, Figure, Json, Outcome, Result, Series, Table, sha256

#: What a baseline consists of, as the settings name it, and in words.
METRICS = {
    "requests": "throughput",
    "errors": "error rate",
    "slow": "requests over the limit",
    "p50": "p50 of latency",
    "p95": "p95 of latency",
    "p99": "p99 of latency",
    "cpu": "CPU",
    "memory": "memory",
    "query_time": "time of database queries",
}
#: Those that may be silent while all is well.
SPARSE = {"errors", "slow"}
#: Seconds of staging's metrics that are judged, and of those before, which they are judged against.
STAGING, STAGING_BEFORE = 3600.0, 4 * 3600.0


def recorded(context: Context) -> Result:
    """`prepare.baseline`: live's numbers of the last hours, of yesterday and of last week are frozen into the run."""
    queries = context.settings.metrics.queries
    history = measure.recall(context, queries, time.time())
    data = history.csv()
    context.write(measure.FILE, data)
    if context.environment.database is not None:
        database_queries.keep(context)
    unset = [name for name in METRICS if name not in queries]
    silent = [name for name in queries if name not in SPARSE and not history.recent(name).points]
    evidence = Evidence(
        facts={"used": history.used(), "file": measure.FILE, "sha256": sha256(data)},
        tables=(_summary(context, history),),
        figures=_figures(context, history),
    )
    if silent:
        summary = f"nothing in the last hours of {', '.join(METRICS.get(name, name) for name in silent)}"
        mend = f"look at the queries {', '.join(queries[name].key for name in silent)}"
        outcome = Outcome.INCONCLUSIVE
    elif unset:
        summary = f"recorded but for {', '.join(METRICS[name] for name in unset)}"
        mend, outcome = f"set [metrics] {', '.join(unset)}", Outcome.INCONCLUSIVE
    else:
        summary, mend, outcome = f"{len(queries)} metrics frozen: {history.used()}", "", Outcome.PASS
    return Result(item="prepare.baseline", outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def _summary(context: Context, history: History) -> Table:
    rows = []
    for name, query in context.settings.metrics.queries.items():
        series = _shown(history, name)
        values = sorted(value for _, value in series.points if value is not None)
        edges = (median(values), quantile(values, 0.05), quantile(values, 0.95)) if values else (None, None, None)
        rows.append((METRICS.get(name, name), series.unit, *edges, len(values), query.text))
    columns = ("metric", "unit", "median", "5 % below", "5 % above", "points", "query")
    return Table(title="Live in the last hours", columns=columns, rows=tuple(rows))


def _shown(history: History, name: str) -> Series:
    """A metric as a reader wants it: shares for what is counted among requests."""
    series = history.recent(name)
    return measure.share(name, series, history.recent("requests")) if name in SPARSE else series


def _figures(context: Context, history: History) -> tuple[Figure, ...]:
    limits = context.settings.limits
    measured = {name: history.recent(name) for name in history.series if name not in SPARSE}
    shares = {name: _shown(history, name).model_copy(update={"name": METRICS[name]}) for name in sorted(SPARSE)}
    return (
        Figure(title="Failed requests", series=(shares["errors"],), limit=100 * limits.error_rate),
        Figure(title=f"Requests over {limits.latency * 1000:.0f} ms", series=(shares["slow"],), limit=5.0),
        *measure.resource_figures(measured, (), None),
    )


def staging_stable(context: Context) -> Result:
    """`prepare.staging-stable`: staging's last hour, judged against the hours before and the limits."""
    item = "prepare.staging-stable"
    if not context.settings.metrics.staging:
        return Result(
            item=item,
            outcome=Outcome.INCONCLUSIVE,
            summary="the settings do not say how to ask for staging's metrics",
            mend='write [metrics] staging, such as {"env:production,colour:$colour" = "env:staging"}',
        )
    now = time.time()
    before = measure.staging(context, now - STAGING - STAGING_BEFORE, now - STAGING)
    seen = measure.staging(context, now - STAGING, now)
    judge = Judge(measure.bounds(context, None), before, controlled=False)
    verdict = judge.look(seen, None, now)
    outcome = verdict.answer.outcome
    facts: Json = {
        "requests": round(seen.requests.total),
        "errors": round(seen.errors.total),
        "slow": round(seen.slow.total),
        "compared with": f"{len(before.requests.points)} points of the {STAGING_BEFORE / 3600:.0f} hours before",
    }
    lines = (measure.share("failed", seen.errors, seen.requests), measure.share("slow", seen.slow, seen.requests))
    figures = tuple(Figure(title=f"Staging: {line.name} requests", series=(line,)) for line in lines)
    evidence = Evidence(facts=facts, figures=figures, verdict=verdict)
    mend = "" if outcome is Outcome.PASS else "look at staging; what is unstable there will be so in production"
    return Result(item=item, outcome=outcome, summary=verdict.reason, evidence=evidence, mend=mend)
