"""`blue-green.deploy`: the release runs in the idle environment."""

from __future__ import annotations

from deploykit.actions.step import Step
from deploykit.checks.service import version_of
from deploykit.context import Context
from deploykit.errors import Rejected
from deploykit.model import Evidence, Json, Outcome, Result
from deploykit.platforms import last_words, newest, wait_for

ITEM = "blue-green.deploy"


class Deploy:
    """Starts the platform's deployment of the plan's commit and waits for it.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.service = context.plan.candidate.platform_service

    def steps(self) -> tuple[Step, ...]:
        """The one step."""
        plan = self.context.plan
        intent: Json = {"service": self.service, "release": plan.release, "commit": plan.commit}
        return (Step(id=ITEM, intent=intent, do=self._do, probe=self._probe, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        if not self.context.ports.platform.deployments(self.service, limit=1):
            raise Rejected(f"service {self.service} never ran here", where="platform", mend="look at platform_service")
        deployment = self.context.ports.platform.deploy(self.service, self.context.plan.commit)
        return {"deployment": deployment}

    def _probe(self) -> bool | None:
        """The newest deployment is of the plan's commit: it happened. A run is the only one that deploys."""
        return newest(self.context.ports.platform, self.service).commit == self.context.plan.commit

    def _settle(self) -> Result:
        plan = self.context.plan
        ended = wait_for(self.context, self.service, plan.commit)
        facts: Json = {"deployment": ended.id, "commit": ended.commit, "status": ended.status}
        if ended.state != "running":
            mend = "read the platform's log of this deployment, mend the release, and make a new plan"
            summary = f"the platform says {ended.status} for {plan.release}"
            return self._result(Outcome.FAIL, summary, facts, mend, last_words(self.context, ended.id))
        found = version_of(self.context, plan.candidate.url)
        facts["version"] = found
        if found != plan.release:
            mend = "compare what the platform built with the tag"
            return self._result(Outcome.FAIL, f"the candidate says {found}, not {plan.release}", facts, mend)
        summary = f"{plan.candidate.colour} runs {plan.release} ({plan.commit[:9]})"
        return self._result(Outcome.PASS, summary, facts)

    def _result(self, outcome: Outcome, summary: str, facts: Json, mend: str = "", text: str = "") -> Result:
        evidence = Evidence(facts=facts, text=text)
        return Result(item=ITEM, outcome=outcome, summary=summary, evidence=evidence, mend=mend)
