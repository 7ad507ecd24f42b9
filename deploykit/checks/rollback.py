"""Checks after a rollback: traffic is back, and the service is well."""

from __future__ import annotations

from deploykit.checks.service import look_at_health, version_of
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result
from deploykit.ports import as_json
from deploykit.returning import live_weights

#: Requests of our own that show where traffic goes when there is no other.
PROBES = 20


def traffic(context: Context) -> Result:
    """`rollback.traffic`: weights read back, and real requests counted by colour."""
    plan, router = context.plan, context.ports.router
    weights, before = router.weights(), router.counts()
    silent = sum(not _answers(context) for _ in range(PROBES))
    served = {colour: count - before.get(colour, 0) for colour, count in router.counts().items()}
    facts: Json = {"weights": as_json(weights), "requests": as_json(served), "unanswered": silent}
    wrong = served.get(plan.candidate.colour, 0)
    if weights != live_weights(plan) or wrong:
        outcome, summary = Outcome.FAIL, f"weights are {dict(weights)}, and {wrong} requests went to the candidate"
    elif served.get(plan.live.colour, 0) <= 0:
        outcome, summary = Outcome.INCONCLUSIVE, "the weights are right, but no request was served"
    else:
        outcome, summary = Outcome.PASS, f"all of {served[plan.live.colour]} requests went to {plan.live.colour}"
    mend = "" if outcome is Outcome.PASS else "`deploykit rollback` again, or set the router by hand"
    return Result(item="rollback.traffic", outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def _answers(context: Context) -> bool:
    try:
        context.ports.http.get(context.environment.url + context.environment.health.path)
    except ProviderError:
        return False
    return True


def health(context: Context) -> Result:
    """`rollback.health`: well through the router, and it is the plan's live that answers."""
    live, url = context.plan.live, context.environment.url
    outcome, summary, facts = look_at_health(context, url)
    if outcome is Outcome.PASS:
        facts["version"] = version_of(context, url)
        summary += f"; {facts['version']} answers"
        if facts["version"] != live.version:
            outcome = Outcome.FAIL
            summary = f"{facts['version']} answers through the router, not {live.version}"
    mend = "" if outcome is Outcome.PASS else f"read the log of {live.platform_service} on the platform"
    return Result(item="rollback.health", outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)
