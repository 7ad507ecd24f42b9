"""The four contacts in every notebook's head: whom one asks, found out now."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from deploykit.checks.people import FIRST, MISSING, table
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result, Table, now
from deploykit.ports import OnCall
from deploykit.settings import ContactSettings
from deploykit.settings.contacts import DAYS


def on_call(context: Context) -> Result:
    """`contact.on-call`: who is on call at this moment, asked of the pager."""
    item, at = "contact.on-call", now()
    if context.settings.pager is None:
        return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary="no pager is set", mend=MISSING)
    turns = context.ports.pager.on_call(at, at + timedelta(minutes=1))
    called = [turn for turn in turns if turn.level == FIRST and turn.reachable and _has_begun(turn, at)]
    asked = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    links = {turn.name: turn.url for turn in called if turn.url}
    evidence = Evidence(facts={"asked at": asked}, tables=(table(turns),), links=links)
    if not called:
        mend = f"put somebody with a way to be reached on {context.settings.pager.escalation_policy}"
        summary = f"nobody who can be reached is on call at {asked}"
        return Result(item=item, outcome=Outcome.FAIL, summary=summary, evidence=evidence, mend=mend)
    names = " and ".join(dict.fromkeys(turn.name for turn in called))
    return Result(item=item, outcome=Outcome.PASS, summary=f"{names} on call at {asked}", evidence=evidence)


def _has_begun(turn: OnCall, at: datetime) -> bool:
    return (turn.start is None or turn.start <= at) and (turn.end is None or at < turn.end)


def database(context: Context) -> Result:
    """`contact.database`: the channel of the database's administrators exists."""
    return _channel(context, "contact.database", context.settings.contacts.database, "contacts.database")


def infrastructure(context: Context) -> Result:
    """`contact.infrastructure`: the channel of who looks after the infrastructure exists."""
    return _channel(
        context, "contact.infrastructure", context.settings.contacts.infrastructure, "contacts.infrastructure"
    )


def _channel(context: Context, item: str, name: str, setting: str) -> Result:
    found = context.ports.chat.channel(name)
    facts: Json = {"channel": name, "id": found}
    outcome = Outcome.PASS if found else Outcome.FAIL
    summary = f"#{name} exists" if found else f"there is no channel #{name}, or none that we may see"
    mend = "" if found else f"make #{name}, invite the app if it is private, or mend {setting}"
    return Result(item=item, outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def product(context: Context) -> Result:
    """`contact.product`: the escalation matrix has somebody who is there now."""
    item, at, matrix = "contact.product", now(), context.settings.contacts.product
    if not matrix:
        mend = "write the escalation matrix as [[contacts.product]]: name, slack or phone, hours, days, timezone"
        return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary="no escalation matrix is set", mend=mend)
    there = [contact for contact in matrix if is_there(contact, at)]
    rows = tuple((c.name, c.slack, c.phone, "yes" if c in there else "no") for c in matrix)
    evidence = Evidence(tables=(Table(title="Product", columns=("who", "slack", "phone", "there now"), rows=rows),))
    if there:
        first = there[0]
        ways = " or ".join(filter(None, (first.slack, first.phone)))
        return Result(item=item, outcome=Outcome.PASS, summary=f"{first.name}, {ways}", evidence=evidence)
    comes, who = min((next_there(contact, at), contact.name) for contact in matrix)
    summary = f"nobody of the escalation matrix is there now; {who} is, from {comes.strftime('%a %Y-%m-%d %H:%M UTC')}"
    mend = "deploy then, or add somebody who is there now to [[contacts.product]]"
    return Result(item=item, outcome=Outcome.FAIL, summary=summary, evidence=evidence, mend=mend)


def is_there(contact: ContactSettings, at: datetime) -> bool:
    """Whether a time lies in the contact's hours, by the clocks there; their day is that on which they begin."""
    local = at.astimezone(ZoneInfo(contact.timezone))
    minute, today = local.hour * 60 + local.minute, DAYS[local.weekday()]
    begin, end = contact.hours
    if begin < end:
        return today in contact.days and begin <= minute < end
    yesterday = DAYS[local.weekday() - 1]
    return (today in contact.days and minute >= begin) or (yesterday in contact.days and minute < end)


def next_there(contact: ContactSettings, at: datetime) -> datetime:
    """The first full minute from then on at which the contact is there.

    Within a week, or within two where the one hour of that week is left out when clocks are put forward.
    """
    at = at.replace(second=0, microsecond=0)
    minutes = (at + timedelta(minutes=number) for number in range(15 * 24 * 60))
    return next(minute for minute in minutes if is_there(contact, minute))
