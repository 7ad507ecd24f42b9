"""`rollback.notified`: the team knows, once: in the chat, and by the pager."""

from __future__ import annotations

from deploykit.actions.step import Step
from deploykit.context import Context, data_of
from deploykit.model import Evidence, Json, Outcome, Result

ITEM = "rollback.notified"
CHAT, PAGER = f"{ITEM}/chat", f"{ITEM}/pager"
KIND = "rolled-back"


def key_of(run: str) -> str:
    """What the incident of a run goes by at the pager, so that it is found again and not opened twice."""
    return f"deploykit/{run}"


class RolledBack:
    """Posts one message, and opens one incident; each is found again by the run.

    Each is told whatever becomes of the other.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...]:
        """The chat, and the pager where one is set."""
        chat = _Chat(self.context)
        pager = _Pager(self.context)
        told = Step(id=CHAT, intent=chat.intent, do=chat.do, probe=chat.probe, settle=chat.settle, alone=True)
        called = Step(id=PAGER, intent=pager.intent, do=pager.do, probe=pager.probe, settle=pager.settle, alone=True)
        return (told,) if self.context.settings.pager is None else (told, called)


class _Chat:
    """The message."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.channel = context.settings.chat.deployments
        self.intent: Json = {"channel": self.channel, "kind": KIND}

    def do(self, _op: str) -> Json:
        plan, chat = self.context.plan, self.context.ports.chat
        found = chat.find(self.channel, plan.run, kind=KIND)
        if found is not None:
            return {"channel": found.channel, "ts": found.ts, "found": "posted before"}
        posted = chat.post(self.channel, _text(self.context), run=plan.run, kind=KIND)
        return {"channel": posted.channel, "ts": posted.ts}

    def probe(self) -> bool | None:
        return self.context.ports.chat.find(self.channel, self.context.plan.run, kind=KIND) is not None

    def settle(self) -> Result:
        found = self.context.ports.chat.find(self.channel, self.context.plan.run, kind=KIND)
        if found is None:
            mend = f"tell #{self.channel} yourself"
            return Result(item=CHAT, outcome=Outcome.FAIL, summary="the message is not there", mend=mend)
        facts: Json = {"channel": self.channel, "ts": found.ts, "text": found.text}
        if self.context.settings.pager is None:
            facts["pager"] = "none is set; write the section [pager] to have one called"
        summary = f"#{self.channel} knows since {found.ts}"
        return Result(item=CHAT, outcome=Outcome.PASS, summary=summary, evidence=Evidence(facts=facts))


class _Pager:
    """The incident."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.key = key_of(context.plan.run)
        self.intent: Json = {"incident": self.key}

    def do(self, _op: str) -> Json:
        plan, pager = self.context.plan, self.context.ports.pager
        found = pager.find(self.key)
        if found is not None:
            return {"incident": found.id, "found": "opened before"}
        title = f"{plan.service} {plan.release} in {plan.environment} was rolled back"
        opened = pager.open(self.key, title, _text(self.context))
        return {"incident": opened.id}

    def probe(self) -> bool | None:
        return self.context.ports.pager.find(self.key) is not None

    def settle(self) -> Result:
        found = self.context.ports.pager.find(self.key)
        if found is None:
            mend = "open the incident yourself"
            return Result(item=PAGER, outcome=Outcome.FAIL, summary="the incident is not there", mend=mend)
        facts: Json = {"incident": found.id, "status": found.status, "key": self.key, "title": found.title}
        evidence = Evidence(facts=facts, links={f"incident {found.id}": found.url} if found.url else {})
        summary = f"incident {found.id} is {found.status}"
        return Result(item=PAGER, outcome=Outcome.PASS, summary=summary, evidence=evidence)


def _text(context: Context) -> str:
    plan, events = context.plan, context.timeline()
    why = next((data_of(e).get("reason") for e in reversed(events) if e["type"] == "rollback.asked"), "")
    return (
        f"{plan.service} {plan.release} in {plan.environment} was rolled back; {plan.live.version} serves. "
        f"Reason: {why}. Run {plan.run}, journal at event {len(events)}."
    )
