"""`rollback.incident-report` and `rollback.post-mortem`: what happened is written down, and will be talked about."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from deploykit import redact
from deploykit.actions.messages import Posting, at, happened
from deploykit.actions.notify import key_of
from deploykit.actions.step import Step, Unseen
from deploykit.context import Context, data_of
from deploykit.errors import DeploykitError
from deploykit.model import Evidence, Json, Outcome, Result, now, sha256
from deploykit.templates import markdown

ITEM = "rollback.incident-report"
FILE = "incident.md"
POST_MORTEM = "rollback.post-mortem"
CALENDAR = "post-mortem.ics"
_TALK = f"The post-mortem is in `{CALENDAR}` beside this file. What could have shown it earlier, and what took long?"
#: When a post-mortem begins, in the service's time zone, and how long it lasts.
BEGINS, LASTS = time(10, 0), timedelta(hours=1)


class IncidentReport:
    """Writes `incident.md` into the run's folder.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._written = ""

    def steps(self) -> tuple[Step, ...]:
        """The one step. Writing the file again has no second effect."""
        return (Step(id=ITEM, intent={"file": FILE}, do=self._do, probe=Unseen.REPEAT, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        text, pictures = self.context.incident()
        self._written = f"{text.rstrip()}\n\n## At the pager\n\n{self._at_the_pager()}\n\n## To talk about\n\n{_TALK}\n"
        for name, picture in pictures.items():
            self.context.write(name, picture)
        self.context.write(FILE, self._written.encode())
        return {"file": FILE, "sha256": sha256(self._written.encode()), "graphs": len(pictures)}

    def _at_the_pager(self) -> str:
        """The incident with its link. A pager that does not answer must not keep the report from being written."""
        if self.context.settings.pager is None:
            return "- No pager is set."
        try:
            found = self.context.ports.pager.find(key_of(self.context.plan.run))
        except DeploykitError as error:
            return f"- It could not be asked: {markdown(error.what)}"
        if found is None:
            return "- No incident was opened."
        # An address from outside becomes a link only where it can be nothing else.
        link = f"<{found.url}>" if re.fullmatch(r"https://[\w.:-]+(/[\w./-]*)?", found.url) else markdown(found.url)
        return f"- Incident {markdown(found.id)}, {markdown(found.status)}: {markdown(found.title)} {link}"

    def _settle(self) -> Result:
        lines = len(self._written.splitlines())
        facts: Json = {"file": FILE, "lines": lines}
        summary = f"{FILE} lies in the run's folder" + (f", {lines} lines" if lines else "")
        return Result(item=ITEM, outcome=Outcome.PASS, summary=summary, evidence=Evidence(facts=facts))


class PostMortem:
    """Puts the post-mortem on the next working day: a calendar file in the run's folder, and a message to the team.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        asked = happened(context, "rollback.asked") or happened(context, "traffic.returned")
        self.reason = str(data_of(asked).get("reason", "")) if asked else ""
        # From what happened and not from now, so that another try makes the same file.
        self.rolled_back = at(asked) if asked else now()
        self.begins = next_working_day(self.rolled_back, context.environment.timezone)

    def steps(self) -> tuple[Step, ...]:
        """The file, then the message. Writing the same file again does no harm: unseen is "did not happen"."""
        file = Step(
            id=f"{POST_MORTEM}/calendar",
            intent={"file": CALENDAR, "begins": self.begins.isoformat()},
            do=self._write,
            probe=lambda: False,
            settle=self._settle,
        )
        said = Posting(
            self.context, POST_MORTEM, "post-mortem", "post_mortem", self._values, under="rolled-back", alone=True
        )
        return (file, said.step())

    def _write(self, _op: str) -> Json:
        data = self._calendar()
        self.context.write(CALENDAR, data)
        return {"file": CALENDAR, "sha256": sha256(data)}

    def _settle(self) -> Result:
        facts: Json = {"file": CALENDAR, "begins": self.begins.isoformat(), "ends": (self.begins + LASTS).isoformat()}
        summary = f"{CALENDAR} lies in the run's folder: {self.begins:%A, %Y-%m-%d %H:%M %Z}"
        evidence = Evidence(facts=facts)
        return Result(item=f"{POST_MORTEM}/calendar", outcome=Outcome.PASS, summary=summary, evidence=evidence)

    def _values(self) -> dict[str, Any]:
        return {"begins": self.begins, "ends": self.begins + LASTS, "reason": self.reason, "file": CALENDAR}

    def _calendar(self) -> bytes:
        """One event in RFC 5545, its times in UTC."""
        from icalendar import Calendar, Event  # noqa: PLC0415 - an extra that only this item needs

        plan, utc = self.context.plan, ZoneInfo("UTC")
        event = Event()
        event.add("uid", f"{plan.run}@deploykit")
        event.add("dtstamp", self.rolled_back.astimezone(utc))
        event.add("dtstart", self.begins.astimezone(utc))
        event.add("dtend", (self.begins + LASTS).astimezone(utc))
        event.add("summary", _clean(f"Post-mortem: {plan.service} {plan.release} in {plan.environment}"))
        event.add("description", _clean(f"Rolled back because: {self.reason}\nRun {plan.run}; the report is {FILE}."))
        calendar = Calendar()
        calendar.add("prodid", "-//deploykit//runbook//EN")
        calendar.add("version", "2.0")
        calendar.add_component(event)
        return bytes(calendar.to_ical())


def next_working_day(after: datetime, zone: str) -> datetime:
    """The beginning of a meeting on the next day that is no Saturday and no Sunday there. It knows no holidays."""
    local = after.astimezone(ZoneInfo(zone))
    day = local.date() + timedelta(days=1)
    while day.isoweekday() > 5:
        day += timedelta(days=1)
    return datetime.combine(day, BEGINS, ZoneInfo(zone))


def _clean(text: str) -> str:
    return redact.visible(redact.text(text))
