"""`blue-green.traffic`: each step shifts, waits and is judged."""

from __future__ import annotations

import time
from dataclasses import dataclass

from deploykit import measure
from deploykit.actions.counted import Counted
from deploykit.actions.step import Step
from deploykit.analysis.judge import Judge, Observed
from deploykit.context import Context
from deploykit.errors import ProviderError, Rejected
from deploykit.measure import History
from deploykit.model import Answer, Evidence, Json, Outcome, Result, TrafficStep, Verdict
from deploykit.ports import Weights, as_json
from deploykit.returning import is_split, live_weights

ITEM = "blue-green.traffic"


@dataclass(frozen=True)
class Look:
    """One look of the judge: what was seen, and what it says."""

    verdict: Verdict
    evidence: Evidence


class Traffic:
    """Moves the plan's steps one after the other.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.plan = context.plan
        self.router = context.ports.router

    def steps(self) -> tuple[Step, ...]:
        """One step for each share of the plan."""
        before: Weights = live_weights(self.plan)
        steps = []
        for step in self.plan.steps:
            target: Weights = {self.plan.candidate.colour: step.percent, self.plan.live.colour: 100 - step.percent}
            steps.append(self._step(step, before, target))
            before = target
        return tuple(steps)

    def _step(self, step: TrafficStep, before: Weights, target: Weights) -> Step:
        shift = _Shift(self.context, step, before, target)
        return Step(
            id=f"{ITEM}/{step.percent}",
            intent={"from": as_json(before), "to": as_json(target)},
            do=lambda _op: self._do(shift, before),
            probe=lambda: self._probe(before, target),
            settle=shift.settle,
            ready=self.context.guard.start if is_split(target) else None,
            moves_traffic=True,
        )

    def _do(self, shift: _Shift, before: Weights) -> Json:
        """Shift from where this run left the weights; from anywhere else it is not this run's to shift."""
        found = self.router.weights()
        if found not in (before, shift.target):
            raise Rejected(
                f"somebody else moved the weights: {dict(found)} instead of {dict(before)}",
                where="router",
                mend="find out who; `deploykit runs` shows what else is under way",
            )
        return shift.do()

    def _probe(self, before: Weights, target: Weights) -> bool | None:
        found = self.router.weights()
        if found == target:
            return True
        return False if found == before else None


class _Shift:
    """One step under way."""

    def __init__(self, context: Context, step: TrafficStep, before: Weights, target: Weights) -> None:
        self.context, self.step, self.target = context, step, target
        self.router = context.ports.router
        self.began = time.time()
        self.counted = Counted(self.router, context.plan.candidate.colour, before, target)
        self.before: History | None = None
        self.judge: Judge | None = None

    def do(self) -> Json:
        """Shift."""
        self.before = measure.before(self.context, time.time())
        self.router.set_weights(self.target)
        return {"weights": as_json(self.target)}

    def settle(self) -> Result:
        """Look and judge until the step passed, the judge says no, or the hold has lasted too long."""
        # What is asked is by the wall clock, how long it lasts by one that nobody sets.
        self.began, start, held_since = time.time(), time.monotonic(), None
        wait = self.context.plan.scaled(self.step.seconds)
        while True:
            self.context.pause(self.context.look_every)
            if is_split(self.target):
                self.context.guard.start()
            blind, drift = self._watch_router()
            if drift:
                return self._result(Outcome.FAIL, drift, Look(Verdict(answer=Answer.HOLD, reason=drift), Evidence()))
            look = self._look()
            elapsed = time.monotonic() - start
            self.context.progress(self._line(look, elapsed, wait), look.evidence)
            if look.verdict.answer is Answer.ROLL_BACK:
                return self._result(Outcome.FAIL, f"rolled back: {look.verdict.reason}", look)
            if elapsed < wait:
                continue
            objection = (blind or self._objection()) if look.verdict.answer is Answer.PASS else ""
            if look.verdict.answer is Answer.PASS and not objection:
                return self._counted_right(look)
            if objection:
                look = Look(Verdict(answer=Answer.HOLD, reason=objection), look.evidence)
                self.context.progress(self._line(look, elapsed, wait), look.evidence)
            held_since = held_since or time.monotonic()
            if time.monotonic() - held_since >= self.context.plan.scaled(self.context.plan.hold_limit_seconds):
                return self._result(Outcome.INCONCLUSIVE, f"held too long: {look.verdict.reason}", look)

    def _objection(self) -> str:
        """What keeps the next step from being taken; meanwhile this one is judged on."""
        counted = self.counted
        if counted.total < counted.needed:
            return f"the router counted {counted.total:,} requests, and {counted.needed:,} show where they go"
        return self.context.objection() if self.step.percent < 100 else ""

    def _watch_router(self) -> tuple[str, str]:
        """Why the router cannot be seen, and what somebody else did to its weights; or nothing.

        Weights that a restart lost are set again: they were this step's, and nobody decided otherwise.
        """
        try:
            found, goes_on = self.router.weights(), self.counted.read()
        except ProviderError as error:
            return f"cannot see the router: {error.what}", ""
        if found == self.target:
            return "", ""
        if goes_on:
            return "", f"somebody else moved the weights: {dict(found)} instead of {dict(self.target)}"
        lost = f"the router was restarted and had the weights {dict(found)}; {dict(self.target)} are set again"
        self.context.repeat(lost, lambda: self.router.set_weights(self.target))
        self.counted.begin()
        return "", ""

    def _look(self) -> Look:
        """Ask, and judge. A system that does not answer is a hold, never a pass."""
        plan, now = self.context.plan, time.time()
        try:
            candidate = measure.observe(self.context, plan.candidate, self.began, now)
            control = measure.observe(self.context, plan.live, self.began, now)
        except ProviderError as error:
            return Look(Verdict(answer=Answer.HOLD, reason=f"cannot see: {error.what}"), Evidence())
        share_left = self.step.percent < 100
        if self.judge is None:
            bounds = measure.bounds(self.context, self.step.requests)
            past = self.before.observed(self.context) if self.before else None
            self.judge = Judge(bounds, past, controlled=share_left)
        verdict = self.judge.look(candidate, control if share_left else None, now)
        return Look(verdict, self._evidence(verdict, candidate, control))

    def _evidence(self, verdict: Verdict, candidate: Observed, control: Observed) -> Evidence:
        plan = self.context.plan
        arms = ((plan.live, control), (plan.candidate, candidate))
        figures = measure.figures(
            self.context, arms, ((self.began, f"{self.step.percent} %"),), self.judge, self.before
        )
        return Evidence(figures=figures, verdict=verdict)

    def _line(self, look: Look, elapsed: float, wait: float) -> str:
        left = f"{max(wait - elapsed, 0):.0f} s to go" if elapsed < wait else f"held for {elapsed - wait:.0f} s"
        return f"{self.step.percent} %: {look.verdict.answer.value}, {look.verdict.reason} ({left})"

    def _counted_right(self, look: Look) -> Result:
        """Pass, if the requests that were really served have the share that the router says."""
        if not self.counted.right():
            return self._result(Outcome.FAIL, f"the router does not do what it says: {self.counted}", look)
        return self._result(Outcome.PASS, f"{self.step.percent} %: {look.verdict.reason}; {self.counted}", look)

    def _result(self, outcome: Outcome, summary: str, look: Look) -> Result:
        facts: Json = {"weights": as_json(self.target), "seconds": round(time.time() - self.began, 1)}
        facts |= {"counted": self.counted.total, "sent_to_candidate": self.counted.hits, "needed": self.counted.needed}
        facts["baseline"] = self.before.used() if self.before else "none: the metrics had no answer"
        evidence = look.evidence.model_copy(update={"facts": facts, "verdict": look.verdict})
        mend = "" if outcome is Outcome.PASS else "traffic goes back to live; read the verdict, then make a new plan"
        return Result(
            item=f"{ITEM}/{self.step.percent}", outcome=outcome, summary=summary, evidence=evidence, mend=mend
        )
