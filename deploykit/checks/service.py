"""Checks of the service itself, over plain HTTP."""

from __future__ import annotations

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, Table, worst


def version_of(context: Context, url: str) -> str:
    """The release that answers at an address; empty where the answer does not say."""
    health = context.environment.health
    body = context.ports.http.get(url + health.version_path, timeout=health.within).body
    return str((body or {}).get(health.version_key, ""))


def look_at_health(context: Context, url: str) -> tuple[Outcome, str, Json]:
    """Ask the health endpoint once.

    Returns:
        Outcome, one sentence, and the facts.
    """
    health = context.environment.health
    try:
        answer = context.ports.http.get(url + health.path, timeout=health.within)
    except ProviderError as error:
        return Outcome.ERROR, f"the health endpoint did not answer: {error.what}", {"url": url + health.path}
    facts: Json = {"url": url + health.path, "status": answer.status, "seconds": round(answer.seconds, 3)}
    if answer.status != 200:
        return Outcome.FAIL, f"the health endpoint answers {answer.status}", facts
    if answer.seconds > health.within:
        return Outcome.FAIL, f"the health endpoint took {answer.seconds:.1f} s", facts
    if health.contains and health.contains not in answer.text:
        return Outcome.FAIL, f"the health endpoint's answer lacks {health.contains!r}", facts
    return Outcome.PASS, f"the health endpoint answers 200 in {answer.seconds * 1000:.0f} ms", facts


def candidate_health(context: Context) -> Result:
    """`blue-green.health`: the candidate's own address, not through the router; and it is the release."""
    candidate = context.plan.candidate
    outcome, summary, facts = look_at_health(context, candidate.url)
    if outcome is Outcome.PASS:
        facts["version"] = version_of(context, candidate.url)
        if facts["version"] != candidate.version:
            outcome, summary = Outcome.FAIL, f"{facts['version']} answers there, not {candidate.version}"
    mend = "" if outcome is Outcome.PASS else "read the candidate's log on the platform"
    return Result(item="blue-green.health", outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def health_endpoints(context: Context) -> Result:
    """`monitoring.health-endpoints`: staging's and production's, each by status, body and time."""
    environment, item = context.environment, "monitoring.health-endpoints"
    places = {context.plan.environment: environment.url}
    if environment.staging:
        places["staging"] = environment.staging.url
    looks = {name: look_at_health(context, url) for name, url in places.items()}
    if not environment.staging:
        looks["staging"] = (Outcome.INCONCLUSIVE, "where staging answers is not set", {"url": ""})
    outcome = worst([seen for seen, _, _ in looks.values()])
    rows = tuple(
        (name, str(facts["url"]), seen.value, said, facts.get("seconds")) for name, (seen, said, facts) in looks.items()
    )
    columns = ("environment", "address", "outcome", "answer", "seconds")
    mend = "read the service's log on the platform"
    if not environment.staging:
        mend = f"write [environments.{context.plan.environment}.staging] into the settings"
    return Result(
        item=item,
        outcome=outcome,
        summary="; ".join(f"{name}: {said}" for name, (_, said, _) in looks.items()),
        evidence=Evidence(tables=(Table(title="Health endpoints", columns=columns, rows=rows),)),
        mend="" if outcome is Outcome.PASS else mend,
    )
