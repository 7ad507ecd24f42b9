"""The runbook's own rules. A finding names no passing moment, so that an override stays bound to what was shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from deploykit.checklist import checklist
from deploykit.checks.service import look_at_health
from deploykit.context import Context, data_of
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, TrafficStep, now
from deploykit.platforms import LATEST

#: Where nothing is changed, nothing has to be taken back.
REHEARSED = "a rehearsal makes none"


def no_friday(context: Context) -> Result:
    """`rule.no-friday`: not begun on a quiet day of the service's time zone. What was begun before it may be ended."""
    zone, quiet = context.environment.timezone, context.settings.rules.quiet_days
    begun = _first_change(context.timeline()) or now()
    day = f"{begun.astimezone(ZoneInfo(zone)):%A}"
    facts: Json = {"day": day, "time zone": zone, "quiet days": ", ".join(quiet) or "none"}
    if day.casefold() in quiet:
        return _result("rule.no-friday", Outcome.FAIL, f"it is {day} in {zone}, a quiet day", facts)
    return _result("rule.no-friday", Outcome.PASS, f"it is {day} in {zone}", facts)


def window(context: Context) -> Result:
    """`rule.window`: what is left of the shift fits into the window, from the first change of production on."""
    plan, events = context.plan, context.timeline()
    limit = context.settings.rules.window
    left = left_of_shift(plan.steps, (str(event["step"]) for event in events if event["type"] == "step.happened"))
    begun = _first_change(events)
    gone = (now() - begun).total_seconds() if begun else 0.0
    whole = sum(step.seconds for step in plan.steps)
    facts: Json = {"window": _minutes(limit), "the plan's steps": _minutes(whole)}
    if left and plan.scaled(left) + gone > plan.scaled(limit):
        what = f"what is left of the shift does not fit into the window of {_minutes(limit)}"
        return _result("rule.window", Outcome.FAIL, what, facts)
    return _result("rule.window", Outcome.PASS, f"the shift fits into the window of {_minutes(limit)}", facts)


def left_of_shift(steps: Iterable[TrafficStep], happened: Iterable[str]) -> float:
    """Seconds of the runbook that the steps which have not happened take at least."""
    done = set(happened)
    return sum(step.seconds for step in steps if f"blue-green.traffic/{step.percent}" not in done)


def _first_change(events: tuple[Json, ...]) -> datetime | None:
    """When the first change of production was begun, if one was."""
    production = {item.id for item in checklist().item if item.production}
    first = next((e for e in events if e["type"] == "step.intended" and e["item"] in production), None)
    return datetime.fromisoformat(str(first["at"])) if first else None


def rollback_ready(context: Context) -> Result:
    """`rule.rollback-ready`: live answers, the platform can go back, the router answers, and a backup was restored."""
    looks = {
        "live": _live_is_warm,
        "platform": _platform_can_go_back,
        "router": _router_answers,
        "backup": _backup_was_restored,
    }
    found = {name: look(context) for name, look in looks.items()}
    wrong = [f"{name}: {said}" for name, (good, said) in found.items() if not good]
    facts: Json = {name: said for name, (_, said) in found.items()}
    if wrong:
        mend = "mend it first: nothing is changed that could not be taken back"
        return _result("rule.rollback-ready", Outcome.FAIL, "; ".join(wrong), facts, mend)
    ready = "live, platform, router and backup are ready to go back"
    if found["backup"][1] == REHEARSED:
        ready = f"live, platform and router are ready to go back; backup: {REHEARSED}"
    return _result("rule.rollback-ready", Outcome.PASS, ready, facts)


def _live_is_warm(context: Context) -> tuple[bool, str]:
    live = context.plan.live
    outcome, said, _ = look_at_health(context, live.url)
    return outcome is Outcome.PASS, "answers" if outcome is Outcome.PASS else said


def _platform_can_go_back(context: Context) -> tuple[bool, str]:
    """The candidate's service, if the release runs there, must have something to go back to."""
    plan = context.plan
    try:
        known = context.ports.platform.deployments(plan.candidate.platform_service, limit=LATEST)
    except ProviderError as error:
        return False, error.what
    earlier = [deployment for deployment in known if deployment.commit != plan.commit]
    if not earlier or any(deployment.can_roll_back for deployment in earlier):
        return True, "can go back"
    return False, f"{plan.candidate.platform_service} has no deployment that it can go back to"


def _router_answers(context: Context) -> tuple[bool, str]:
    """It says its weights, and lets requests through: a maintenance answer that was left on would meet every user."""
    router = context.ports.router
    try:
        router.weights()
        stopped = router.stopped()
    except ProviderError as error:
        return False, error.what
    return not stopped, "its maintenance answer is in force" if stopped else "answers"


def _backup_was_restored(context: Context) -> tuple[bool, str]:
    """As readiness found it, or the backup that this run made."""
    if context.environment.database is None:
        return True, "there is no database"
    outcomes = {str(e["item"]): data_of(e).get("outcome") for e in context.timeline() if e["type"] == "item.settled"}
    proofs = ("database.backup", "database.backup-completed")
    if any(outcomes.get(item) == Outcome.PASS.value for item in proofs):
        return True, "restored into a scratch database"
    if all(item in context.settings.left_out for item in proofs):
        return True, "left out by the settings"
    if context.plan.rehearsal and {outcomes.get(item) for item in proofs} == {Outcome.LEFT_OUT.value}:
        return True, REHEARSED
    said = " and ".join(f"{item} is {outcomes.get(item, 'not done')}" for item in proofs)
    return False, said


def documented(context: Context) -> Result:
    """`rule.documented`: every other item of the checklist has its outcome."""
    settled = {str(event["item"]) for event in context.timeline() if event["type"] == "item.settled"}
    items = [item.id for item in checklist().item if item.id != "rule.documented"]
    missing = [item for item in items if item not in settled]
    facts: Json = {"items": len(items) + 1, "without an outcome": ", ".join(missing) or "none"}
    if missing:
        return _result("rule.documented", Outcome.FAIL, f"{len(missing)} items have no outcome", facts)
    return _result("rule.documented", Outcome.PASS, f"all {len(items) + 1} items have their outcome", facts)


def _result(item: str, outcome: Outcome, summary: str, facts: Json, mend: str = "") -> Result:
    return Result(item=item, outcome=outcome, summary=summary, evidence=Evidence(facts=facts), mend=mend)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min"
