"""`rollback.stop-traffic` and `rollback.restart`: the service stands still while its database goes back.

Both are needed only where the database goes back, or where somebody asked for it. What was stopped is let through again
as soon as live runs anew and is well.
"""

from __future__ import annotations

from deploykit.actions.step import Step
from deploykit.checks.service import look_at_health
from deploykit.context import Context, data_of
from deploykit.errors import ProviderError
from deploykit.model import Arm, Evidence, Json, Outcome, Result
from deploykit.platforms import find, last_words, running, wait_for_restart
from deploykit.ports import as_json

STOP, RESTART = "rollback.stop-traffic", "rollback.restart"
#: Requests of our own that show what users are answered, beside those of the users themselves.
PROBES = 20


def standstill(context: Context) -> tuple[bool, Json]:
    """Whether the service has to stand still in this rollback, and what that was found from.

    It has to, when the rollback was asked for with the database, or with a standstill of its own.
    """
    asked = [event for event in context.timeline() if event["type"] == "rollback.asked"]
    wanted = [word for event in asked for word in ("database", "stop") if data_of(event).get(word)]
    return bool(wanted), {"rollback.asked events": len(asked), "that ask for a standstill": ", ".join(wanted) or "none"}


class StopTraffic:
    """Has the router answer everything itself.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.router = context.ports.router

    def steps(self) -> tuple[Step, ...] | Result:
        """The one step, or the proof that it is not needed."""
        needed, facts = standstill(self.context)
        if not needed:
            return _not_needed(STOP, "the database stays as it is, so traffic goes on", facts)
        return (
            Step(
                id=STOP, intent={"answer": "maintenance"}, do=self._do, probe=self.router.stopped, settle=self._settle
            ),
        )

    def _do(self, _op: str) -> Json:
        self.router.stop()
        return {"answer": "maintenance"}

    def _settle(self) -> Result:
        """Read back, and counted: real requests are answered, and none of them reaches a colour."""
        if not self.router.stopped():
            return self._result(Outcome.FAIL, "the router does not say that traffic is stopped", {})
        before = self.router.counts()
        answered = [self._answer() for _ in range(PROBES)]
        served = {colour: count - before.get(colour, 0) for colour, count in self.router.counts().items()}
        met = answered.count(503)
        facts: Json = {"requests_of_ours": PROBES, "answered_503": met, "reached": as_json(served)}
        if any(served.values()):
            return self._result(Outcome.FAIL, f"{sum(served.values())} requests still reached the service", facts)
        if met < PROBES:
            return self._result(Outcome.FAIL, f"only {met} of {PROBES} requests met the maintenance answer", facts)
        return self._result(Outcome.PASS, f"all {met} requests met the maintenance answer, none the service", facts)

    def _answer(self) -> int:
        environment = self.context.environment
        try:
            return self.context.ports.http.get(environment.url + environment.health.path).status
        except ProviderError:
            return 0

    def _result(self, outcome: Outcome, summary: str, facts: Json) -> Result:
        mend = "" if outcome is Outcome.PASS else "stop traffic at the router by hand before the database is touched"
        return Result(item=STOP, outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


class Restart:
    """Restarts live, lets traffic through again, and restarts the candidate's service.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.router, self.platform = context.ports.router, context.ports.platform

    def steps(self) -> tuple[Step, ...] | Result:
        """Live first, then traffic, then the idle service; or the proof that none is needed."""
        needed, facts = standstill(self.context)
        if not needed and _intended(self.context, STOP) is None:
            return _not_needed(RESTART, "traffic was never stopped, so nothing has to start anew", facts)
        plan = self.context.plan
        return (self._restart(plan.live), self._resume(), self._restart(plan.candidate))

    def _restart(self, arm: Arm) -> Step:
        step, service, platform = f"{RESTART}/{arm.colour}", arm.platform_service, self.platform
        # A run that goes on after its end waits for a change since the first try began, so that is what is remembered.
        seen = _intended(self.context, step)
        if seen is None:
            before = running(platform, service)
            seen = {"service": service, "deployment": before.id, "before": before.changed}
        name, since = str(seen["deployment"]), str(seen["before"])
        return Step(
            id=step,
            intent=seen,
            do=lambda _op: self._do(name),
            probe=lambda: find(platform, service, name).changed != since,
            settle=lambda: self._settle(step, arm, name, since),
        )

    def _do(self, deployment: str) -> Json:
        self.platform.restart(deployment)
        return {"deployment": deployment}

    def _settle(self, step: str, arm: Arm, deployment: str, since: str) -> Result:
        ended = wait_for_restart(self.context, arm.platform_service, deployment, since)
        facts: Json = {"deployment": ended.id, "status": ended.status, "since": ended.changed}
        if ended.state != "running":
            summary = f"the platform says {ended.status} for {arm.platform_service}"
            return _result(step, Outcome.FAIL, summary, facts, last_words(self.context, ended.id))
        outcome, said, health = look_at_health(self.context, arm.url)
        return _result(step, outcome, f"{arm.colour} was started anew: {said}", {**facts, **health})

    def _resume(self) -> Step:
        return Step(
            id=f"{RESTART}/traffic",
            intent={"answer": "the service's own"},
            do=self._let_through,
            probe=lambda: not self.router.stopped(),
            settle=self._flows,
        )

    def _let_through(self, _op: str) -> Json:
        self.router.resume()
        return {"answer": "the service's own"}

    def _flows(self) -> Result:
        outcome, said, facts = look_at_health(self.context, self.context.environment.url)
        return _result(f"{RESTART}/traffic", outcome, f"through the router: {said}", facts)


def _result(step: str, outcome: Outcome, summary: str, facts: Json, text: str = "") -> Result:
    mend = "" if outcome is Outcome.PASS else "look at the platform and the router, then `deploykit resume`"
    return Result(item=step, outcome=outcome, summary=summary, evidence=Evidence(facts=facts, text=text), mend=mend)


def _not_needed(item: str, summary: str, facts: Json) -> Result:
    return Result(item=item, outcome=Outcome.NOT_NEEDED, summary=summary, evidence=Evidence(facts=facts))


def _intended(context: Context, step: str) -> Json | None:
    """What the journal says was about to be done in this step, the last time that it was begun."""
    begun = [event for event in context.timeline() if event["type"] == "step.intended" and event.get("step") == step]
    return data_of(begun[-1]) if begun else None
