"""`rollback.platform`: the candidate's service goes back to its last good deployment."""

from __future__ import annotations

from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result
from deploykit.platforms import newest, wait_for, way_back

ITEM = "rollback.platform"


class Platform:
    """Rolls the candidate's service back on the platform.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.service = context.plan.candidate.platform_service

    def steps(self) -> tuple[Step, ...]:
        """The one step."""
        intent: Json = {"service": self.service, "away_from": self.context.plan.commit}
        return (Step(id=ITEM, intent=intent, do=self._do, probe=self._probe, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        if newest(self.context.ports.platform, self.service).commit != self.context.plan.commit:
            return {"done": "nothing: the release is not what runs there"}
        target = way_back(self.context.ports.platform, self.service, self.context.plan.commit)
        self.context.ports.platform.roll_back(target.id)
        return {"deployment": target.id, "commit": target.commit}

    def _probe(self) -> bool | None:
        return newest(self.context.ports.platform, self.service).commit != self.context.plan.commit

    def _settle(self) -> Result:
        found = newest(self.context.ports.platform, self.service)
        ended = wait_for(self.context, self.service, found.commit)
        good = ended.state == "running" and ended.commit != self.context.plan.commit
        facts: Json = {"deployment": ended.id, "commit": ended.commit, "status": ended.status}
        return Result(
            item=ITEM,
            outcome=Outcome.PASS if good else Outcome.FAIL,
            summary=f"{self.service} runs {ended.commit[:9]}: {ended.status}",
            evidence=Evidence(facts=facts),
            mend="" if good else "traffic is on live; mend the idle service on the platform's own page",
        )
