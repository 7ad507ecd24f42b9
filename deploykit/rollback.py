"""Traffic back to live, and said so: to the journal, else to the spool, else to stderr."""

from __future__ import annotations

from pathlib import Path

from deploykit.errors import BrokenRecordError, StoreError, UsageError
from deploykit.journal import spool
from deploykit.journal.events import Actor, Type
from deploykit.model import Json, Plan
from deploykit.ports import Router
from deploykit.providers import connect
from deploykit.returning import send_back
from deploykit.run import Run, read_plan
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
            asked: Json = {"reason": reason, "database": True} if database else {"reason": reason}
            run.append(Type.ROLLBACK_ASKED, data=asked)
            run.take_lock(by_force=True)
        except _NO_STORE:
            return without_store(run.settings, run.plan, run.actor, reason)
        return _returned(run, reason, _send_back(run.settings, run.plan))


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
        _returned(run, reason, _send_back(run.settings, run.plan, router))


def _returned(run: Run, reason: str, facts: Json) -> Json:
    """Say what was done, and what somebody else did meanwhile."""
    say(run, Type.TRAFFIC_RETURNED, {"reason": reason, **facts})
    if facts["late_landings"]:
        text = f"weights were changed {facts['late_landings']} times after traffic was back, and set back each time"
        say(run, Type.DRIFT_FOUND, {"text": text})
    return facts


def without_store(settings: Settings, plan: Plan, actor: Actor, reason: str) -> Json:
    """The same when the journal cannot be written: what happens goes to the spool and is merged later."""
    state = settings.path(settings.state)
    spool.write(state, plan.run, actor, Type.ROLLBACK_ASKED, {"reason": reason})
    facts = _send_back(settings, plan)
    spool.write(state, plan.run, actor, Type.TRAFFIC_RETURNED, {"reason": reason, **facts})
    return facts


def planned(settings: Settings, name: str) -> Plan:
    """The plan of a run that the store cannot name, from the folders of the runs that are not sealed.

    Args:
        settings: Where the folders are.
        name: Its id, number or the end of its id; empty for the only one.

    Raises:
        UsageError: There is not exactly one.
    """
    plans = [plan for plan in _unsealed(settings) if not name or _is(plan, name)]
    if len(plans) != 1:
        listed = ", ".join(plan.run for plan in plans) or "none"
        raise UsageError(
            f"the store cannot be read, so which run? Not sealed: {listed}",
            where=str(settings.archive),
            mend="`deploykit rollback RUN`, with the name of its folder",
        )
    return plans[0]


def _unsealed(settings: Settings) -> list[Plan]:
    plans = []
    for file in sorted(settings.path(settings.archive).glob(f"{settings.service.name}/*/plan.json")):
        if not (file.parent / SEAL).exists():
            plan = _plan(file.parent)
            plans += [plan] if plan else []
    return plans


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


def _send_back(settings: Settings, plan: Plan, router: Router | None = None) -> Json:
    environment = settings.environment(plan.environment)
    router = router or connect(settings, environment).router
    return send_back(router, plan, late=environment.router.late)
