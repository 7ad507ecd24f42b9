"""Traffic back to live, and said so: to the journal, else to the spool, else to stderr."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploykit.errors import BrokenRecordError, StoreError, UsageError
from deploykit.journal import spool
from deploykit.journal.events import Actor, Event, Type
from deploykit.journal.state import fold
from deploykit.journal.store import Store
from deploykit.model import Arm, Colour, Json, Plan
from deploykit.ports import Router
from deploykit.providers import connect
from deploykit.returning import Roles, send_back
from deploykit.run import Run, new_id, read_plan
from deploykit.seal import SEAL
from deploykit.settings import Settings

#: A journal that cannot be read or written, or whose end is damaged, keeps no traffic where it is.
_NO_STORE = (StoreError, BrokenRecordError)


def traffic_back(run: Run, reason: str, *, database: bool = False) -> Json:
    """`deploykit rollback`, and the judge's: take the fence without asking, and send traffic back to live.

    The intent goes to the journal, else to the spool, else to stderr; the effect does not wait for any of them, nor for
    another process that keeps the store busy.

    Args:
        run: The run.
        reason: Why.
        database: Whether its migrations are to be taken back, too. That is never asked for by a machine.

    Raises:
        RollbackIncompleteError: The router could not be made to.
    """
    with run.store.hurry():
        try:
            run.append(Type.ROLLBACK_ASKED, data=_asked(reason, database=database))
            run.take_lock(by_force=True)
        except _NO_STORE:
            return without_store(run.settings, run.plan, run.actor, reason, database=database)
        return _returned(run, reason, _send_back(run.settings, run.plan, run.plan.environment))


def return_traffic(run: Run, reason: str, router: Router | None = None) -> None:
    """Send traffic back to live because a step or a process ended, unless another run is in charge by now.

    Raises:
        RollbackIncompleteError: The router could not be made to.
    """
    with run.store.hurry():
        held = _holder(run)
        if held not in {run.id, ""}:
            say(run, Type.NOTE_WRITTEN, {"text": f"traffic left alone ({reason}): run {held} has the lock"})
            return
        _returned(run, reason, _send_back(run.settings, run.plan, run.plan.environment, router))


def _returned(run: Run, reason: str, facts: Json) -> Json:
    """Say what was done, and what somebody else did meanwhile."""
    say(run, Type.TRAFFIC_RETURNED, {"reason": reason, **facts})
    if facts["late_landings"]:
        text = f"weights were changed {facts['late_landings']} times after traffic was back, and set back each time"
        say(run, Type.DRIFT_FOUND, {"text": text})
    return facts


def _asked(reason: str, *, database: bool) -> Json:
    return {"reason": reason, "database": True} if database else {"reason": reason}


def without_store(settings: Settings, plan: Plan, actor: Actor, reason: str, *, database: bool = False) -> Json:
    """The same when the journal cannot be written: what happens goes to the spool and is merged later."""
    return _spooling(settings, plan, plan.run, plan.environment, actor, _asked(reason, database=database))


def without_run(settings: Settings, environment: str, live: Colour, actor: Actor, reason: str) -> Json:
    """Traffic to a colour that somebody names, where no run says which one is live. Nothing else is known to undo.

    What happens lies in the spool, under an id of its own, for whoever looks later.
    """
    known = settings.environment(environment).colours
    arms = {colour: Arm(colour=colour, version="as named", **dict(known[colour])) for colour in known}
    roles = _Named(arms[live], next(arm for colour, arm in arms.items() if colour != live))
    return _spooling(
        settings, roles, new_id(settings.service.name, environment), environment, actor, {"reason": reason}
    )


@dataclass(frozen=True)
class _Named:
    """Roles that somebody named."""

    live: Arm
    candidate: Arm


def _spooling(settings: Settings, roles: Roles, run: str, environment: str, actor: Actor, asked: Json) -> Json:
    state = settings.path(settings.state)
    spool.write(state, run, actor, Type.ROLLBACK_ASKED, asked)
    facts = _send_back(settings, roles, environment)
    spool.write(state, run, actor, Type.TRAFFIC_RETURNED, {"reason": asked["reason"], **facts})
    return facts


def in_charge(settings: Settings, environment: str, *, patience: float) -> str:
    """The run that a rollback of an environment is about: who has its lock, else the newest that was begun.

    Returns:
        Its id; empty where none is under way.

    Raises:
        StoreError, BrokenRecordError: The journal cannot be read, or does not hold.
    """
    store = Store(settings.path(settings.state), patience=patience)
    place = (settings.service.name, environment)
    rows = sorted((row.number, row.run) for row in store.runs() if (row.service, row.environment) == place)
    if not rows and any(plan.environment == environment for plan in _unsealed(settings)):
        raise StoreError("it knows none of the runs that the archive holds", where=str(settings.state))
    held = store.lock(*place)
    states = {run: fold(Event.parse(line) for line in store.lines(run)) for _, run in rows}
    active = [run for run, state in states.items() if state.steps and not state.sealed]
    return held.run if held and held.run in active else "".join(active[-1:])


def planned(settings: Settings, name: str, environment: str = "") -> Plan:
    """The plan of a run that the store cannot name, from the folders of the runs that are not sealed.

    Args:
        settings: Where the folders are.
        name: Its id, number or the end of its id; empty for the only one.
        environment: Or where it is; of several that agree on who is live there, the newest.

    Raises:
        UsageError: There is not exactly one.
    """
    plans = [plan for plan in _unsealed(settings) if not name or _is(plan, name)]
    if environment:
        plans = [plan for plan in plans if plan.environment == environment]
        if len({plan.live.colour for plan in plans}) == 1:
            plans = plans[-1:]
    if len(plans) != 1:
        listed = ", ".join(plan.run for plan in plans) or "none"
        raise UsageError(
            f"the store cannot be read, so which run? Not sealed: {listed}",
            where=str(settings.archive),
            mend="`deploykit rollback RUN`, with the name of its folder; or `-e ENVIRONMENT --to COLOUR`, who is live",
        )
    return plans[0]


def _unsealed(settings: Settings) -> list[Plan]:
    """Oldest first."""
    plans: list[Plan] = []
    for file in settings.path(settings.archive).glob(f"{settings.service.name}/*/plan.json"):
        if not (file.parent / SEAL).exists():
            plan = _plan(file.parent)
            plans += [plan] if plan else []
    return sorted(plans, key=lambda plan: plan.number)


def _plan(folder: Path) -> Plan | None:
    """A folder's plan; None where it cannot be read, which must not keep another run from going back."""
    try:
        return read_plan(folder)
    except (BrokenRecordError, UsageError):
        return None


def _is(plan: Plan, name: str) -> bool:
    return name in {plan.run, str(plan.number)} or (len(name) >= 4 and plan.run.endswith(name))


def _holder(run: Run) -> str:
    """The run that has the environment; ours where the store cannot say."""
    try:
        held = run.store.lock(*run.place)
    except _NO_STORE:
        return run.id
    return held.run if held else ""


def say(run: Run, kind: Type, data: Json) -> None:
    """Write it down where it can be written."""
    try:
        run.append(kind, data=data)
    except _NO_STORE:
        spool.write(run.settings.path(run.settings.state), run.id, run.actor, kind, data)


def _send_back(settings: Settings, roles: Roles, environment: str, router: Router | None = None) -> Json:
    known = settings.environment(environment)
    router = router or connect(settings, known).router
    return send_back(router, roles, late=known.router.late)
