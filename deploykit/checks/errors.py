"""Where the service's errors are tracked: it is set up, and nothing critical came with the release."""

from __future__ import annotations

from datetime import datetime

from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result, Table, now
from deploykit.ports import Issue, LogLine

PROJECT, CRITICAL = "monitoring.sentry-project", "success.no-critical-errors"
#: The statuses of a log line that are worse than an error; `fatal` is collected as `emergency`.
#: Source: https://docs.datadoghq.com/logs/log_configuration/processors/#log-status-remapper
FATAL = "status:(emergency OR alert OR critical)"
#: Lines and issues that are shown.
SHOWN = 20
MISSING = "write the section [errors] with where the errors of the service are tracked"


def project_set_up(context: Context) -> Result:
    """`monitoring.sentry-project`: the project is active, a key may send, and the release is registered."""
    if context.settings.errors is None:
        return _inconclusive(PROJECT, "no tracker of errors is set", MISSING)
    errors, release = context.ports.errors, context.plan.release
    project = errors.project()
    keys, registered = errors.active_keys(), errors.registered(release)
    facts: Json = {"project": project.name, "status": project.status, "active keys": keys}
    facts |= {"release": release, "registered": registered}
    faults = {
        f"the project is {project.status}": (not project.active, "restore the project"),
        "no key may send errors": (keys < 1, "make a client key, or enable one, and give the service its DSN"),
        f"release {release} is not registered": (
            not registered,
            f"have the build register {release} before it goes out",
        ),
    }
    found = {words: mend for words, (wrong, mend) in faults.items() if wrong}
    keys_said = "1 active key" if keys == 1 else f"{keys} active keys"
    summary = "; ".join(found) or f"{project.name} is active with {keys_said}, and knows {release}"
    evidence = Evidence(facts=facts, links={"project": project.url})
    outcome = Outcome.FAIL if found else Outcome.PASS
    return Result(item=PROJECT, outcome=outcome, summary=summary, evidence=evidence, mend="; ".join(found.values()))


def none_critical(context: Context) -> Result:
    """`success.no-critical-errors`: no issue new in the release, and nothing fatal in issues or logs since the deploy.

    That nothing is found says something only where something would have been: the release's sessions and log lines
    have to arrive.
    """
    if context.settings.errors is None:
        return _inconclusive(CRITICAL, "no tracker of errors is set", MISSING)
    errors, plan = context.ports.errors, context.plan
    since, until = deployed_at(context), now()
    new, fatal = errors.new_issues(plan.release), errors.fatal_issues(since)
    every = context.settings.errors.logs.replace("$service", plan.service).replace("$environment", plan.environment)
    worst = f"{every} {FATAL}"
    lines = context.ports.logs.count(worst, since, until)
    shown = context.ports.logs.search(worst, since, until, limit=SHOWN) if lines else ()
    heard = errors.sessions(plan.release, since, until) if context.settings.errors.sessions else None
    logged = context.ports.logs.count(every, since, until)
    facts: Json = {"since": since.isoformat(), "new issues": len(new), "fatal issues": len(fatal)}
    facts |= {"critical log lines": lines, "log lines": logged, "sessions of the release": heard, "query": worst}
    evidence = Evidence(facts=facts, tables=_tables(new, fatal, shown))
    said = (
        f"{len(new)} new issues in {plan.release}, {len(fatal)} fatal and {lines} critical log lines since the deploy"
    )
    if new or fatal or lines:
        mend = "read them; `deploykit rollback`, or resolve what is harmless and look again"
        return Result(item=CRITICAL, outcome=Outcome.FAIL, summary=said, evidence=evidence, mend=mend)
    silent = [f"no {what}" for what, number in (("session", heard), ("log line", logged)) if number == 0]
    if silent:
        summary = f"{' and '.join(silent)} of the release arrived, so an error might not have either"
        mend = "see that the service sends its errors and logs; errors.sessions = false where it reports no sessions"
        return _inconclusive(CRITICAL, summary, mend).model_copy(update={"evidence": evidence})
    return Result(item=CRITICAL, outcome=Outcome.PASS, summary=said, evidence=evidence)


def deployed_at(context: Context) -> datetime:
    """When the release began to be deployed; when the run was planned, where no event says so."""
    for event in context.timeline():
        if event.get("type") == "step.intended" and event.get("item") == "blue-green.deploy":
            return datetime.fromisoformat(str(event["at"]))
    return context.plan.made_at


def _tables(new: tuple[Issue, ...], fatal: tuple[Issue, ...], lines: tuple[LogLine, ...]) -> tuple[Table, ...]:
    columns = ("issue", "level", "times", "users", "first seen", "page")
    issues = (("New in the release", new), ("Fatal since the deploy", fatal))
    tables = [
        Table(title=title, columns=columns, rows=tuple(map(_row, found[:SHOWN]))) for title, found in issues if found
    ]
    if lines:
        rows = tuple((line.at.isoformat(), line.status, line.message) for line in lines)
        tables.append(Table(title="Critical log lines", columns=("at", "status", "message"), rows=rows))
    return tuple(tables)


def _row(issue: Issue) -> tuple[str | int, ...]:
    first = issue.first_seen.isoformat() if issue.first_seen else ""
    return issue.title, issue.level, issue.count, issue.users, first, issue.url


def _inconclusive(item: str, summary: str, mend: str) -> Result:
    return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary=summary, mend=mend)
