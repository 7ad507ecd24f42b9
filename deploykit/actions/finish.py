"""`finish.log`: the deployment is written down where people look for it: GitHub, Sentry, Datadog; the index has it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result, now

ITEM = "finish.log"
#: For how long a vendor may take to show what was written, and how often to look, in seconds.
INDEXED, PAUSE = 60.0, 1.0


class Log:
    """One step a system, each found again by the run, so that a second try writes nothing twice.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.plan, self.ports = context.plan, context.ports

    def steps(self) -> tuple[Step, ...]:
        """The code host and the time line of the metrics, and the tracker of errors where one is set."""
        plan = self.plan
        steps = [self._step("repository", {"commit": plan.commit}, self._deployment, self._deployment_found)]
        if self.context.settings.errors is not None:
            steps.append(self._step("errors", {"release": plan.release}, self._deploy, self._deploy_found))
        return (*steps, self._step("events", {"key": plan.run}, self._event, self._event_found))

    def _step(self, name: str, intent: Json, do: Callable[[], Json], found: Callable[[], Json | None]) -> Step:
        def settle() -> Result:
            known = self._shown(found, INDEXED)
            outcome = Outcome.PASS if known else Outcome.INCONCLUSIVE
            said = f"{name}: written" if known else f"{name}: not found again yet"
            mend = "" if known else "look again in a minute: `deploykit resume`"
            return Result(
                item=f"{ITEM}/{name}", outcome=outcome, summary=said, evidence=Evidence(facts=known or {}), mend=mend
            )

        def probe() -> bool:
            # What was written a moment ago may not show yet, and would be written twice.
            return self._shown(found, INDEXED - self._since(f"{ITEM}/{name}")) is not None

        return Step(id=f"{ITEM}/{name}", intent=intent, do=lambda _op: do(), probe=probe, settle=settle)

    def _shown(self, found: Callable[[], Json | None], seconds: float) -> Json | None:
        """What was written, as soon as the vendor shows it; None where it does not within so many seconds."""
        known, tries = found(), seconds / PAUSE
        while known is None and tries > 0:
            self.context.pause(PAUSE)
            known, tries = found(), tries - 1
        return known

    def _since(self, step: str) -> float:
        """Seconds since a step was last begun."""
        begun = [e for e in self.context.timeline() if (e["type"], e["step"]) == ("step.intended", step)]
        return (now() - datetime.fromisoformat(str(begun[-1]["at"]))).total_seconds() if begun else INDEXED

    def _deployment(self) -> Json:
        plan = self.plan
        made = self.ports.repository.record_deployment(plan.run, plan.commit, plan.environment, state="success")
        return {"deployment": made.id, "state": made.state}

    def _deployment_found(self) -> Json | None:
        found = self.ports.repository.find_deployment(self.plan.run, self.plan.commit, self.plan.environment)
        return {"deployment": found.id, "state": found.state} if found and found.state == "success" else None

    def _deploy(self) -> Json:
        made = self.ports.errors.record_deploy(self.plan.release, self.plan.run, start=self._began(), end=now())
        return {"deploy": made.id}

    def _deploy_found(self) -> Json | None:
        found = self.ports.errors.deploy(self.plan.release, self.plan.run)
        return {"deploy": found.id} if found else None

    def _event(self) -> Json:
        plan = self.plan
        title = f"{plan.service} {plan.release} serves {plan.environment}"
        tags = (f"service:{plan.service}", f"env:{plan.environment}", f"version:{plan.release}")
        text = f"{plan.live.version} served before. Run {plan.run} (number {plan.number})."
        return {"event": self.ports.events.post(title, text, key=plan.run, tags=tags)}

    def _event_found(self) -> Json | None:
        found = self.ports.events.find(self.plan.run)
        return {"event": found} if found else None

    def _began(self) -> datetime:
        """When the run was opened."""
        return self.plan.made_at
