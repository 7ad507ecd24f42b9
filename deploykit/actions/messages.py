"""A message to the team: rendered from a template, posted once, found again by the run's key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deploykit import templates
from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.errors import Rejected
from deploykit.model import Evidence, Json, Outcome, Result, canonical, sha256
from deploykit.ports import Message


def head(context: Context) -> Json:
    """The journal's newest event: its number, and the hash that the next one will name as `prev`."""
    events = context.timeline()
    if not events:
        return {"seq": 0, "sha256": ""}
    return {"seq": events[-1]["seq"], "sha256": sha256(canonical(events[-1]) + b"\n")}


def happened(context: Context, kind: str, step: str = "") -> Json | None:
    """The first event of this kind, of this step if one is named."""
    return next((e for e in context.timeline() if e["type"] == kind and (not step or e.get("step") == step)), None)


def at(event: Json) -> datetime:
    """When an event was written."""
    return datetime.fromisoformat(str(event["at"]))


@dataclass(frozen=True)
class Posting:
    """One message in the channel of deployments.

    Attributes:
        item: The item, or step, that it proves.
        kind: The mark by which it is found again, beside the run.
        template: Its name below `slack/`, without the ending.
        values: What the template needs beside plan, environment and head; asked for when it is posted.
        under: The kind of the message in whose thread it goes.
        alone: Whether it is posted in the channel itself where there is no such message; else it is refused.
    """

    context: Context
    item: str
    kind: str
    template: str
    values: Callable[[], Mapping[str, Any]]
    under: str = ""
    alone: bool = False

    def step(self) -> Step:
        """The step that posts it."""
        intent: Json = {"channel": self.channel, "kind": self.kind}
        return Step(id=self.item, intent=intent, do=self._do, probe=self._probe, settle=self._settle)

    @property
    def channel(self) -> str:
        """Where it goes."""
        return self.context.settings.chat.deployments

    def text(self) -> str:
        """The message as it will stand there. It is plain text: the chat's adapter makes nothing in it a mention."""
        context = self.context
        own = context.settings.path(context.settings.templates) if context.settings.templates else None
        template = templates.environment(own).get_template(f"slack/{self.template}.j2")
        given = {"plan": context.plan, "environment": context.environment, "head": head(context)}
        return template.render(**given, **self.values()).strip()

    def _find(self, kind: str) -> Message | None:
        return self.context.ports.chat.find(self.channel, self.context.plan.run, kind=kind)

    def _do(self, _op: str) -> Json:
        found = self._find(self.kind)
        if found is not None:
            return {"channel": found.channel, "ts": found.ts, "found": "posted before"}
        text, above = self.text(), self._find(self.under) if self.under else None
        if self.under and above is None and not self.alone:
            raise Rejected(
                f"there is no message of this run in #{self.channel} to answer",
                where=self.item,
                mend="look whether somebody deleted it; then tell the channel yourself and sign this item",
            )
        thread = above.ts if above else None
        posted = self.context.ports.chat.post(
            self.channel, text, run=self.context.plan.run, kind=self.kind, thread=thread
        )
        return {"channel": posted.channel, "ts": posted.ts, "thread": thread, "head": head(self.context)}

    def _probe(self) -> bool | None:
        return self._find(self.kind) is not None

    def _settle(self) -> Result:
        found = self._find(self.kind)
        if found is None:
            mend = f"tell #{self.channel} yourself"
            return Result(item=self.item, outcome=Outcome.FAIL, summary="the message is not there", mend=mend)
        facts: Json = {"channel": found.channel, "ts": found.ts}
        evidence = Evidence(facts=facts, text=found.text)
        summary = f"#{self.channel} has the message {found.ts}"
        return Result(item=self.item, outcome=Outcome.PASS, summary=summary, evidence=evidence)
