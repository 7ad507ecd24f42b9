"""Checks of the service itself, over plain HTTP."""

from __future__ import annotations

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, Table
from deploykit.ports import Answered


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


def smoke(context: Context) -> Result:
    """`blue-green.smoke`: the team's list of requests against the candidate's own address."""
    requests = context.environment.smoke
    if not requests:
        return Result(
            item="blue-green.smoke",
            outcome=Outcome.INCONCLUSIVE,
            summary="no smoke test is set",
            mend=f"list requests under [[environments.{context.plan.environment}.smoke]]",
        )
    rows, failed, silent = [], 0, 0
    for request in requests:
        try:
            answer = context.ports.http.get(context.plan.candidate.url + request.path)
        except ProviderError as error:
            silent += 1
            rows.append((request.path, str(request.status), "no answer", error.what))
            continue
        fault = _fault(answer, request.status, request.contains)
        failed += bool(fault)
        rows.append((request.path, str(request.status), str(answer.status), fault or "ok"))
    outcome = Outcome.FAIL if failed else Outcome.ERROR if silent else Outcome.PASS
    table = Table(title="Smoke test", columns=("path", "expected", "answered", "result"), rows=tuple(rows))
    return Result(
        item="blue-green.smoke",
        outcome=outcome,
        summary=f"{len(requests) - failed - silent} of {len(requests)} requests answered as they must",
        evidence=Evidence(tables=(table,)),
        mend="" if outcome is Outcome.PASS else "ask the candidate yourself, and read its log on the platform",
    )


def _fault(answer: Answered, status: int, contains: str) -> str:
    if answer.status != status:
        return f"answered {answer.status}"
    return f"the answer lacks {contains!r}" if contains and contains not in answer.text else ""
