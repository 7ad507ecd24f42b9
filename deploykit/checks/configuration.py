"""Checks of how production is set up: variables, certificates, limits, origins. Nothing is changed."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, Table, worst
from deploykit.ports import Answered
from deploykit.settings.edge import CorsSettings, RateLimitSettings, TlsHost, VariableSettings

VARIABLES, TLS = "configuration.environment-variables", "configuration.tls-certificates"
RATE_LIMITS, CORS = "configuration.rate-limits", "configuration.cors"
#: One of each group tells a client where it stands (RFC 9110, 10.2.3; draft-ietf-httpapi-ratelimit-headers).
WHEN = ("retry-after",)
HOW_MUCH = ("ratelimit", "ratelimit-limit", "x-ratelimit-limit", "x-rate-limit-limit")
#: Nobody's: `.invalid` never resolves (RFC 2606), and `null` is what a sandboxed frame sends.
STRANGERS = ("https://stranger.invalid", "null")
#: What a browser sends without asking first (Fetch standard, CORS-safelisted methods).
SIMPLE_METHODS = frozenset({"GET", "HEAD", "POST"})


def not_set_up(context: Context, item: str, section: str) -> Result:
    """What a check says whose settings are not there."""
    where = f"environments.{context.plan.environment}.{section}"
    return Result(
        item=item,
        outcome=Outcome.INCONCLUSIVE,
        summary=f"[{where}] is not set up, so nothing was looked at",
        mend=f"write [{where}] into the settings",
    )


def variables(context: Context) -> Result:
    """`configuration.environment-variables`: what both services have, against the manifest.

    Values are compared in memory; only names, and whether they match, are recorded.
    """
    manifest = context.environment.variables
    if manifest is None or not (manifest.required or manifest.expected):
        return not_set_up(context, VARIABLES, "variables")
    plan, platform = context.plan, context.ports.platform
    expected = {name: context.settings.resolve(reference) for name, reference in manifest.expected.items()}
    arms = (plan.live, plan.candidate)
    found = [_compared(manifest, expected, dict(platform.variables(arm.platform_service))) for arm in arms]
    rows = tuple((name, *(states[name] for states in found)) for name in found[0])
    wrong = [name for name, *states in rows if not set(states) <= {"there", "matches"}]
    columns = ("name", *(arm.colour for arm in arms))
    outcome = Outcome.FAIL if wrong else Outcome.PASS
    return Result(
        item=VARIABLES,
        outcome=outcome,
        summary=f"not as they must be: {', '.join(wrong)}"
        if wrong
        else f"all {len(rows)} variables are as they must be on both services",
        evidence=Evidence(tables=(Table(title="Variables", columns=columns, rows=rows),)),
        mend="set them on the platform, or mend the manifest" if wrong else "",
    )


def _compared(manifest: VariableSettings, expected: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """Name to one word: how what is there compares with what must be."""
    states = {}
    for name in (*manifest.required, *(name for name in expected if name not in manifest.required)):
        value = known.get(name)
        if value is None:
            states[name] = "missing"
        elif not value.strip():
            states[name] = "empty"
        elif name in expected:
            same = hmac.compare_digest(value.encode(), expected[name].encode())
            states[name] = "matches" if same else "differs"
        else:
            states[name] = "there"
    return states


def tls(context: Context) -> Result:
    """`configuration.tls-certificates`: each host's chain, host name and days left."""
    wanted = context.environment.tls
    if wanted is None:
        return not_set_up(context, TLS, "tls")
    looks = [_look(context, host, wanted.days) for host in wanted.hosts]
    rows = tuple(row for _, row in looks)
    if bad := [f"{row[0]}: {row[1]}" for seen, row in looks if seen is not Outcome.PASS]:
        summary, mend = "; ".join(bad), "renew or install it, whole chain included, then look again"
    else:
        summary, mend = f"{len(rows)} certificates hold for {min(int(row[2]) for row in rows)} days and more", ""
    columns = ("host", "result", "days left", "valid until", "names", "issuer")
    evidence = Evidence(tables=(Table(title="Certificates", columns=columns, rows=rows),))
    return Result(item=TLS, outcome=worst([seen for seen, _ in looks]), summary=summary, evidence=evidence, mend=mend)


def _look(context: Context, host: TlsHost, days: int) -> tuple[Outcome, tuple[str, ...]]:
    """One host's outcome, and its row."""
    shown = f"{host.name}:{host.port}"
    try:
        seen = context.ports.tls.certificate(host.name, address=host.address, port=host.port)
    except ProviderError as error:
        return Outcome.ERROR, (shown, error.what, "", "", "", "")
    left = (seen.ends - datetime.now(UTC)).days
    fault = seen.fault or ("" if left > days else f"it ends in {left} days; more than {days} are wanted")
    row = (shown, fault or "holds", str(left), f"{seen.ends:%Y-%m-%d}", ", ".join(seen.names), seen.issuer)
    return Outcome.FAIL if fault else Outcome.PASS, row


def rate_limits(context: Context) -> Result:
    """`configuration.rate-limits`: a bounded burst meets 429, and the headers that tell a client what to do.

    A 429 without them fails: clients that do not know when to come back come back at once.
    """
    wanted = context.environment.rate_limit
    if wanted is None:
        return not_set_up(context, RATE_LIMITS, "rate_limit")
    url, began, took = context.environment.url + wanted.path, time.monotonic(), 0.0
    headers = {name: _plain(context, value) for name, value in wanted.headers.items()}
    answers: list[Answered] = []
    while len(answers) < wanted.burst and took <= wanted.within and not (answers and answers[-1].status >= 400):
        answers.append(context.ports.http.ask("GET", url, headers=headers, timeout=wanted.within))
        took = time.monotonic() - began
    last = answers[-1]
    outcome, summary, mend = _met(wanted, len(answers), last, took)
    told: Json = {name: value for name, value in sorted(last.headers.items()) if name in (*WHEN, *HOW_MUCH)}
    facts: Json = {"requests": len(answers), "seconds": round(took, 2), "last_status": last.status, "headers": told}
    return Result(item=RATE_LIMITS, outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def _plain(context: Context, value: str) -> str:
    """A header's value: what stands there, or the secret that it refers to."""
    return context.settings.resolve(value) if value.startswith(("env:", "file:")) else value


def _met(wanted: RateLimitSettings, count: int, last: Answered, took: float) -> tuple[Outcome, str, str]:
    """Outcome, sentence and mend of a burst that ended with this answer."""
    if last.status == 429:
        lacks = [group[0] for group in (WHEN, HOW_MUCH) if not any(last.headers.get(name) for name in group)]
        if lacks:
            summary = f"request {count} met 429, without {' and '.join(lacks)}"
            return Outcome.FAIL, summary, "have the limit say how much it allows, and when to come back"
        return Outcome.PASS, f"request {count} of {wanted.burst} met 429, with its limit and when to come back", ""
    if last.status >= 500 and count > 1:
        return Outcome.FAIL, f"request {count} of a burst met {last.status}", "the service must refuse, not break"
    if last.status != 200:
        mend = "name a path under rate_limit.path that is there, and limited"
        return Outcome.INCONCLUSIVE, f"{wanted.path} answers {last.status}, so no limit was met", mend
    if took > wanted.within:
        summary = f"{count} of {wanted.burst} requests took {took:.1f} s, longer than the limit's {wanted.within:g} s"
        return Outcome.INCONCLUSIVE, summary, "look again from nearer by, or set a longer rate_limit.within"
    return Outcome.FAIL, f"{count} requests in {took:.1f} s met no limit", "limit how often a client may ask"


def cors(context: Context) -> Result:
    """`configuration.cors`: allowed origins are granted what they need, and no other is granted anything."""
    wanted = context.environment.cors
    if wanted is None:
        return not_set_up(context, CORS, "cors")
    looks = [_asked(context, wanted, "OPTIONS", origin, allowed=True) for origin in wanted.allowed]
    for origin in (*wanted.forbidden, *STRANGERS):
        # What a preflight refuses, the answer itself may still grant.
        looks += [_asked(context, wanted, method, origin, allowed=False) for method in ("OPTIONS", "GET")]
    outcome = worst([seen for seen, _ in looks])
    rows = tuple(row for _, row in looks)
    if outcome is Outcome.PASS:
        summary, mend = f"{len(wanted.allowed)} allowed origins are granted what they need, and no other anything", ""
    else:
        first, *more = [row for seen, row in looks if seen is outcome]
        summary = f"{first[1]} from {first[0]}: {first[3]}" + (f" (and {len(more)} more)" if more else "")
        mend = "name the allowed origins in the service, one by one"
    table = Table(title="Origins", columns=("origin", "asked", "status", "result"), rows=rows)
    return Result(item=CORS, outcome=outcome, summary=summary, evidence=Evidence(tables=(table,)), mend=mend)


Row = tuple[str, str, str, str]


def _asked(context: Context, wanted: CorsSettings, method: str, origin: str, *, allowed: bool) -> tuple[Outcome, Row]:
    """One question from one origin: its outcome and its row."""
    headers = {"Origin": origin}
    if method == "OPTIONS":
        headers["Access-Control-Request-Method"] = wanted.method
        if wanted.headers:
            headers["Access-Control-Request-Headers"] = ", ".join(wanted.headers)
    try:
        answer = context.ports.http.ask(method, context.environment.url + wanted.path, headers=headers)
    except ProviderError as error:
        return Outcome.ERROR, (origin, method, "no answer", error.what)
    fault = _not_granted(wanted, origin, answer) if allowed else _granted(origin, answer)
    outcome, said = (Outcome.FAIL, fault) if fault else (Outcome.PASS, "granted" if allowed else "not granted")
    if answer.status >= 500 or answer.status == 429:
        # Something before the service may have answered; only a grant to a stranger is one, whoever gave it.
        outcome, said = (outcome, said) if fault and not allowed else (Outcome.INCONCLUSIVE, "no answer of the service")
    return outcome, (origin, method, str(answer.status), said)


def _granted(origin: str, answer: Answered) -> str:
    """What is wrong with an answer to an origin that may not ask; empty where it is granted nothing."""
    grants = set(_listed(answer, "access-control-allow-origin"))
    if "*" in grants:
        return f"any origin is granted{_with_credentials(answer)}"
    # Browsers compare byte by byte, but a server that answers in another case reflects all the same.
    if origin.lower() in {grant.lower() for grant in grants}:
        return f"it is granted{_with_credentials(answer)}, so origins are only reflected"
    return ""


def _not_granted(wanted: CorsSettings, origin: str, answer: Answered) -> str:
    """What is wrong with a preflight's answer to an origin that may ask; empty where it is granted all it needs."""
    # Not a list: a browser takes the one origin, byte by byte, or refuses.
    grant = answer.headers.get("access-control-allow-origin", "").strip(" \t")
    credentials = bool(_with_credentials(answer))
    if grant == "*" and credentials:
        return "any origin is granted, with credentials"
    if grant not in {origin, "*"}:
        return f"it is not granted, but {grant[:80] or 'nothing'}"
    if not 200 <= answer.status < 300:
        return f"the preflight answers {answer.status}"
    methods = _listed(answer, "access-control-allow-methods")
    if wanted.method not in SIMPLE_METHODS and not _covers(methods, (wanted.method,), any_too=not credentials):
        return f"{wanted.method} is not granted"
    headers = [name.lower() for name in _listed(answer, "access-control-allow-headers")]
    if not _covers(headers, [name.lower() for name in wanted.headers], any_too=not credentials):
        return f"not all of these headers are granted: {', '.join(wanted.headers)}"
    return ""


def _covers(granted: list[str], needed: Iterable[str], *, any_too: bool) -> bool:
    """Whether all that is needed is granted; `*` stands for anything only without credentials (Fetch standard)."""
    return (any_too and "*" in granted) or set(needed) <= set(granted)


def _with_credentials(answer: Answered) -> str:
    allowed = answer.headers.get("access-control-allow-credentials", "").strip().lower() == "true"
    return ", with credentials" if allowed else ""


def _listed(answer: Answered, name: str) -> list[str]:
    return [part.strip() for part in answer.headers.get(name, "").split(",") if part.strip()]
