"""Who is on call for the whole time that the release needs watching."""

from __future__ import annotations

from datetime import datetime, timedelta

from deploykit.context import Context
from deploykit.model import Evidence, Outcome, Result, Table, now
from deploykit.ports import OnCall

ITEM = "prepare.on-call"
MISSING = "write the section [pager] with the escalation policy of the service"
#: Seconds from the first effect to all traffic, at most: the runbook's window.
WINDOW = 3600.0
#: The level that is called first.
FIRST = 1

Span = tuple[datetime, datetime]


def on_call(context: Context) -> Result:
    """`prepare.on-call`: somebody who can be reached is on call at level 1, without a gap, until the watch is over."""
    if context.settings.pager is None:
        summary = "no pager is set"
        return Result(item=ITEM, outcome=Outcome.INCONCLUSIVE, summary=summary, mend=MISSING)
    start = now()
    end = start + timedelta(seconds=context.plan.scaled(WINDOW + context.plan.watch_seconds))
    turns = context.ports.pager.on_call(start, end)
    first = tuple(turn for turn in turns if turn.level == FIRST)
    open_spans = gaps(tuple(turn for turn in first if turn.reachable), start, end)
    policy = context.settings.pager.escalation_policy
    facts = {"policy": policy, "from": _clock(start), "until": _clock(end), "gaps": [_span(gap) for gap in open_spans]}
    evidence = Evidence(facts=facts, tables=(table(turns),), links={turn.name: turn.url for turn in first if turn.url})
    if not open_spans:
        names = ", then ".join(dict.fromkeys(turn.name for turn in first if turn.reachable))
        summary = f"{names} on call until {_clock(end)}"
        return Result(item=ITEM, outcome=Outcome.PASS, summary=summary, evidence=evidence)
    whole = open_spans == ((start, end),)
    when = "at any time" if whole else "from " + ", and from ".join(_span(gap) for gap in open_spans)
    lost = sorted({turn.name for turn in first if not turn.reachable})
    why = f"; {', '.join(lost)} cannot be reached" if lost else ""
    mend = f"fill the gap in the schedule of {policy} with an override, or deploy at another time"
    summary = f"nobody who can be reached is on call {when}{why}"
    return Result(item=ITEM, outcome=Outcome.FAIL, summary=summary, evidence=evidence, mend=mend)


def gaps(turns: tuple[OnCall, ...], start: datetime, end: datetime) -> tuple[Span, ...]:
    """The parts of a span that no turn covers. A turn ends at the moment at which the next may begin."""
    found, covered = [], start
    for turn in sorted(turns, key=lambda turn: turn.start or start):
        begins, ends = turn.start or start, turn.end or end
        if begins > covered:
            found.append((covered, min(begins, end)))
        covered = max(covered, ends)
        if covered >= end:
            break
    if covered < end:
        found.append((covered, end))
    return tuple(gap for gap in found if gap[0] < gap[1])


def table(turns: tuple[OnCall, ...]) -> Table:
    """The turns, for a reader."""
    rows = tuple(
        (turn.name, turn.level, _clock(turn.start), _clock(turn.end), "yes" if turn.reachable else "no")
        for turn in turns
    )
    return Table(title="On call", columns=("who", "level", "from", "until", "reachable"), rows=rows)


def _span(span: Span) -> str:
    return f"{_clock(span[0])} to {_clock(span[1])}"


def _clock(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else "always"
