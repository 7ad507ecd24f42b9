"""What users say: gathered from the support channels and counted, for a person to read and sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result, Table
from deploykit.ports import Message

REPORTS, COMPLAINTS = "watch.user-reports", "success.no-complaints"
TRAFFIC = "blue-green.traffic/"
#: Seconds from 100 % traffic, in the runbook's time.
FIRST_HOUR = 3600.0
#: Characters of a message, and messages, that are shown.
LONGEST, MOST = 500, 200


@dataclass(frozen=True)
class Gathered:
    """What was written in the support channels.

    Attributes:
        since: The stretch of time that was looked at.
        found: Every message with its channel's name, oldest first.
        usual: For each day before, how many there were in the same hours.
    """

    since: datetime
    until: datetime
    found: tuple[tuple[str, Message], ...]
    usual: tuple[int, ...]


def user_reports(context: Context) -> Result:
    """`watch.user-reports`: messages since the release got its first traffic, for a person to sign over."""
    began = _reached(context, first=True)
    if began is None:
        return _not_yet(REPORTS, "the release has not had any traffic", "move traffic first")
    return _gathered(context, REPORTS, began)


def no_complaints(context: Context) -> Result:
    """`success.no-complaints`: messages of the first hour at 100 %, once it is over."""
    began = _reached(context, first=False)
    if began is None:
        return _not_yet(COMPLAINTS, "the release does not have all traffic", "move traffic first")
    over = began + timedelta(seconds=context.plan.scaled(FIRST_HOUR))
    if datetime.now(UTC) < over:
        said = f"the first hour is not over: it ends at {_clock(over)}"
        return _not_yet(COMPLAINTS, said, f"run this cell again after {_clock(over)}", {"until": over.isoformat()})
    return _gathered(context, COMPLAINTS, began)


def _reached(context: Context, *, first: bool) -> datetime | None:
    """When the first step of the traffic, or the last one to 100 %, had happened."""
    last = f"{TRAFFIC}{context.plan.steps[-1].percent}"
    for event in context.timeline():
        step = str(event.get("step", ""))
        if event.get("type") == "step.happened" and (step.startswith(TRAFFIC) if first else step == last):
            return datetime.fromisoformat(str(event["at"]))
    return None


def _not_yet(item: str, summary: str, mend: str, facts: Json | None = None) -> Result:
    evidence = Evidence(facts={"gathered": False, **(facts or {})})
    return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary=summary, evidence=evidence, mend=mend)


def _gathered(context: Context, item: str, since: datetime) -> Result:
    """Inconclusive with everything that a person needs to read; no support channel is a person's to answer, too."""
    channels = context.settings.chat.support
    if not channels:
        return _not_yet(item, "no support channel is set", "name the channels in [chat] support in deploykit.toml")
    seen = _gather(context, channels, since, datetime.now(UTC))
    usual = f"{min(seen.usual)} to {max(seen.usual)} in the same hours of the {len(seen.usual)} days before"
    where = ", ".join(f"#{name}" for name in channels)
    summary = f"{len(seen.found)} messages in {where} since {_clock(since)}; usual are {usual}"
    facts: Json = {
        "gathered": True,
        "since": seen.since.isoformat(),
        "until": seen.until.isoformat(),
        "messages": len(seen.found),
        "usual": list(seen.usual),
        "channels": list(channels),
    }
    evidence = Evidence(facts=facts, tables=tuple(_tables(seen)))
    return Result(
        item=item, outcome=Outcome.INCONCLUSIVE, summary=summary, evidence=evidence, mend="read them, then sign"
    )


def _gather(context: Context, channels: tuple[str, ...], since: datetime, until: datetime) -> Gathered:
    found = [(name, message) for name in channels for message in _messages(context, name, since, until)]
    days = [timedelta(days=back) for back in range(1, context.settings.chat.usual_days + 1)]
    usual = [sum(len(tuple(_messages(context, name, since - day, until - day))) for name in channels) for day in days]
    found.sort(key=lambda one: one[1].at or since)
    return Gathered(since, until, tuple(found), tuple(usual))


def _messages(context: Context, channel: str, since: datetime, until: datetime) -> Iterator[Message]:
    """What others than deploykit wrote in that time, answers in threads of that time among it."""
    chat = context.ports.chat
    for message in chat.history(channel, since, until):
        if not message.run:
            yield message
        if message.replies:
            answers = chat.thread(message.channel, message.ts)
            yield from (one for one in answers if not one.run and (one.at is None or one.at <= until))


def _tables(seen: Gathered) -> Iterator[Table]:
    shown = tuple(
        (_clock(message.at) if message.at else "", f"#{name}", message.user, message.text[:LONGEST])
        for name, message in seen.found[:MOST]
    )
    left = len(seen.found) - len(shown)
    title = "Messages" + (f", the first {MOST}; {left} more are in the channels" if left else "")
    yield Table(title=title, columns=("at", "channel", "by", "text"), rows=shown)
    rows = tuple((back, count) for back, count in enumerate(seen.usual, start=1))
    yield Table(title="Usual in the same hours", columns=("days before", "messages"), rows=rows)


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
