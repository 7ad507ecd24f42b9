"""Whether somebody would be told: the monitors can fire, and the service's log lines arrive."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, Table, worst
from deploykit.ports import LogLine, Monitor, Mute
from deploykit.settings import LogsSettings

ALERTS, LOGS = "monitoring.datadog-alerts", "monitoring.log-aggregation"
#: Seconds from the first effect to 100 % traffic, at most; the watch comes after.
WINDOW = 3600.0
#: Clocks differ, and a line carries the service's own time.
EARLIER = timedelta(minutes=2)
#: Seconds between two looks for a line.
LOOK_EVERY = 2.0


def alerts(context: Context) -> Result:
    """`monitoring.datadog-alerts`: each required monitor is there, tells somebody, is not muted, and has data."""
    wanted = context.settings.monitoring
    if wanted is None:
        mend = "write [monitoring] with tags and required into deploykit.toml"
        summary = "no required monitors are set"
        return Result(item=ALERTS, outcome=Outcome.INCONCLUSIVE, summary=summary, mend=mend)
    now = datetime.now(UTC)
    until = now + timedelta(seconds=context.plan.scaled(WINDOW + context.plan.watch_seconds))
    found = context.ports.monitors.monitors(wanted.tags)
    judged = [(monitor, *_judged(monitor, now, until)) for monitor in found if set(wanted.required) & set(monitor.tags)]
    carried = {tag for monitor in found for tag in monitor.tags}
    missing = [tag for tag in wanted.required if tag not in carried]
    bad = [f"{monitor.name}: {why}" for monitor, outcome, why in judged if outcome is not Outcome.PASS]
    faults = [*(f"no monitor carries {tag}" for tag in missing), *bad]
    outcome = Outcome.FAIL if missing else worst([outcome for _, outcome, _ in judged])
    rows = tuple((m.name, m.word, ", ".join(m.targets), outcome.value, why) for m, outcome, why in judged)
    columns = ("monitor", "state", "tells", "outcome", "why")
    facts: Json = {"tags": list(wanted.tags), "required": list(wanted.required), "muted_until_looked": _time(until)}
    evidence = Evidence(
        facts=facts,
        tables=(Table(title="Required monitors", columns=columns, rows=rows),),
        links={monitor.name: monitor.url for monitor, _, _ in judged if monitor.url},
    )
    summary = "; ".join(faults) if faults else f"all {len(judged)} required monitors can tell somebody"
    mend = "" if outcome is Outcome.PASS else "mend these monitors at their pages, then run this cell again"
    return Result(item=ALERTS, outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def _judged(monitor: Monitor, now: datetime, until: datetime) -> tuple[Outcome, str]:
    """Whether a monitor can fire through the window, and if not, why not."""
    muted = next((mute for mute in monitor.mutes if mute.whole and _overlaps(mute, now, until)), None)
    if muted is not None:
        return Outcome.FAIL, f"{muted.why}, {_stretch(muted)}"
    if not monitor.targets:
        return Outcome.FAIL, "it tells nobody"
    if monitor.state == "alert":
        return Outcome.FAIL, "it alerts already, so it would not tell anything new"
    if monitor.state == "no-data":
        return Outcome.FAIL, "it has no data"
    if monitor.state not in {"ok", "warn"}:
        return Outcome.INCONCLUSIVE, f"its state is {monitor.word}"
    partly = [mute.why for mute in monitor.mutes if _overlaps(mute, now, until)]
    return Outcome.PASS, f"muted in part: {'; '.join(partly)}" if partly else ""


def _overlaps(mute: Mute, start: datetime, end: datetime) -> bool:
    return (mute.start is None or mute.start < end) and (mute.end is None or mute.end > start)


def _stretch(mute: Mute) -> str:
    begin = f"from {_time(mute.start)} " if mute.start else ""
    return begin + (f"until {_time(mute.end)}" if mute.end else "without an end")


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def logs_arrive(context: Context) -> Result:
    """`monitoring.log-aggregation`: a request with a word of its own is found in the logs in time."""
    wanted = context.settings.logs
    if wanted is None:
        summary, mend = "it is not set where the logs are", "write [logs] with query into deploykit.toml"
        return Result(item=LOGS, outcome=Outcome.INCONCLUSIVE, summary=summary, mend=mend)
    # Letters and figures alone, so that no tokeniser splits it and no query reads it as more than a word.
    marker, start = f"dk{secrets.token_hex(8)}", datetime.now(UTC) - EARLIER
    query = f"{wanted.query} {wanted.marked.replace('$marker', marker)}"
    # Nobody can have written the word yet: a search that finds something now would prove nothing later.
    if context.ports.logs.search(query, start, datetime.now(UTC), limit=1):
        summary = f"the search {query} finds lines that do not have the word"
        mend = "write logs.marked so that it finds only lines with $marker"
        return Result(item=LOGS, outcome=Outcome.INCONCLUSIVE, summary=summary, mend=mend)
    answer = context.ports.http.get(context.environment.url + wanted.path.replace("$marker", marker))
    facts: Json = {"marker": marker, "status": answer.status, "limit_seconds": wanted.within}
    line, seconds, last = _waited_for(context, wanted, query, start)
    facts |= {"query": query, "seconds": round(seconds, 1)}
    if line is not None:
        facts |= {"line_at": line.at.isoformat(), "line_status": line.status, "line_service": line.service}
        summary = f"the line was found after {seconds:.1f} s"
        evidence = Evidence(facts=facts, text=line.message)
        return Result(item=LOGS, outcome=Outcome.PASS, summary=summary, evidence=evidence)
    if last is not None:
        mend = last.mend or "see whether the logs' vendor is up"
        summary = f"the logs could not be searched: {last.what}"
        return Result(item=LOGS, outcome=Outcome.ERROR, summary=summary, evidence=Evidence(facts=facts), mend=mend)
    others = context.ports.logs.count(wanted.query, start, datetime.now(UTC))
    facts["other_lines"] = others
    summary = f"the line was not found within {wanted.within:g} s, though {others} others of the service came"
    mend = "see whether the service logs a request with its query, and whether logs.path and logs.marked fit that"
    if not others:
        summary = f"no line of the service came within {wanted.within:g} s"
        mend = "see whether the log agent runs beside the service, and whether logs.query is right"
    return Result(item=LOGS, outcome=Outcome.FAIL, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def _waited_for(
    context: Context, wanted: LogsSettings, query: str, start: datetime
) -> tuple[LogLine | None, float, ProviderError | None]:
    """The line if it came in time, how many seconds were waited, and why the last look could not look."""
    began, last = time.monotonic(), None
    while True:
        try:
            found = context.ports.logs.search(query, start, datetime.now(UTC) + EARLIER, limit=1)
            last = None
        except ProviderError as error:
            found, last = (), error
        seconds = time.monotonic() - began
        if found or seconds >= wanted.within:
            return (found[0] if found else None), seconds, last
        context.progress(f"logs: not there after {seconds:.0f} of {wanted.within:g} s", Evidence())
        context.pause(min(LOOK_EVERY, wanted.within - seconds))
