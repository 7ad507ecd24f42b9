"""The success criteria: they pass only when the counts prove the limit, which takes requests."""

from __future__ import annotations

import time

from deploykit import measure
from deploykit.analysis.bounds import upper_bound
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result

#: Confidence of the bound: one in a hundred proofs may be wrong.
ALPHA = 0.01


def error_rate(context: Context) -> Result:
    """`success.error-rate`: the bound on the share of failed requests lies under the limit."""
    return _proved(context, "success.error-rate", "errors", context.settings.limits.error_rate, "failed")


def latency(context: Context) -> Result:
    """`success.latency`: at most 5 % of requests over the limit is what a 95th percentile under it means."""
    limit = context.settings.limits.latency
    return _proved(context, "success.latency", "slow", 0.05, f"took over {limit * 1000:.0f} ms")


def _proved(context: Context, item: str, metric: str, limit: float, words: str) -> Result:
    plan, end = context.plan, time.time()
    start = end - plan.scaled(plan.watch_seconds) - context.settings.metrics.delay
    seen = measure.observe(context, plan.candidate, start, end)
    served, events = round(seen.requests.total), round(getattr(seen, metric).total)
    figures = measure.figures(context, ((plan.candidate, seen),), ())
    bound = upper_bound(min(events, served), served, ALPHA)
    facts: Json = {"requests": served, "events": events, "limit": limit, "bound": bound}
    evidence = Evidence(facts=facts, figures=figures[0 if metric == "errors" else 1 :][:1])
    if served <= 0:
        return Result(
            item=item,
            outcome=Outcome.INCONCLUSIVE,
            summary="no requests of the release are known",
            evidence=evidence,
            mend="look whether the metrics arrive",
        )
    said = f"{events:,} of {served:,} requests {words}; at most {bound:.3%} with 99 % confidence, limit {limit:.3%}"
    if bound < limit:
        outcome, mend = Outcome.PASS, ""
    elif events / served > limit:
        outcome, mend = Outcome.FAIL, "`deploykit rollback`, or a signed override"
    else:
        outcome, mend = Outcome.INCONCLUSIVE, "it takes more requests to prove it; watch for longer, or sign"
    return Result(item=item, outcome=outcome, summary=said, evidence=evidence, mend=mend)
