"""`rollback.notified`: the team knows, once."""

from __future__ import annotations

from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result

ITEM = "rollback.notified"
KIND = "rolled-back"


class RolledBack:
    """Posts one message, found again by the run's key.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.channel = context.settings.chat.deployments

    def steps(self) -> tuple[Step, ...]:
        """The one step."""
        intent: Json = {"channel": self.channel, "kind": KIND}
        return (Step(id=ITEM, intent=intent, do=self._do, probe=self._probe, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        plan, chat = self.context.plan, self.context.ports.chat
        found = chat.find(self.channel, plan.run, kind=KIND)
        if found is not None:
            return {"channel": found.channel, "ts": found.ts, "found": "posted before"}
        events = self.context.timeline()
        why = next((_data(e).get("reason") for e in reversed(events) if e["type"] == "rollback.asked"), "")
        text = (
            f"{plan.service} {plan.release} in {plan.environment} was rolled back; {plan.live.version} serves. "
            f"Reason: {why}. Run {plan.run}, journal at event {len(events)}."
        )
        posted = chat.post(self.channel, text, run=plan.run, kind=KIND)
        return {"channel": posted.channel, "ts": posted.ts}

    def _probe(self) -> bool | None:
        return self.context.ports.chat.find(self.channel, self.context.plan.run, kind=KIND) is not None

    def _settle(self) -> Result:
        found = self.context.ports.chat.find(self.channel, self.context.plan.run, kind=KIND)
        if found is None:
            mend = f"tell #{self.channel} yourself"
            return Result(item=ITEM, outcome=Outcome.FAIL, summary="the message is not there", mend=mend)
        facts: Json = {"channel": self.channel, "ts": found.ts, "text": found.text}
        summary = f"#{self.channel} knows since {found.ts}"
        return Result(item=ITEM, outcome=Outcome.PASS, summary=summary, evidence=Evidence(facts=facts))


def _data(event: Json) -> Json:
    data = event.get("data")
    return data if isinstance(data, dict) else {}
