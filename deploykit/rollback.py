"""`deploykit rollback`: traffic first; everything else, and the notebook, afterwards."""

from __future__ import annotations

from deploykit.errors import StoreError
from deploykit.journal import spool
from deploykit.journal.events import Actor, Type
from deploykit.model import Json, Plan
from deploykit.providers import connect
from deploykit.returning import send_back
from deploykit.run import Run
from deploykit.settings import Settings


def traffic_back(run: Run, reason: str) -> Json:
    """Take the fence without asking, and send traffic back to live.

    The intent goes to the journal, else to the spool, else to stderr; the effect does not wait for any of them.

    Raises:
        RollbackIncompleteError: The router could not be made to.
    """
    try:
        run.append(Type.ROLLBACK_ASKED, data={"reason": reason})
        run.take_lock(by_force=True)
    except StoreError:
        return without_store(run.settings, run.plan, run.actor, reason)
    facts = _send_back(run.settings, run.plan)
    run.append(Type.TRAFFIC_RETURNED, data={"reason": reason, **facts})
    return facts


def without_store(settings: Settings, plan: Plan, actor: Actor, reason: str) -> Json:
    """The same when the journal cannot be written: what happens goes to the spool and is merged later."""
    state = settings.path(settings.state)
    spool.write(state, plan.run, actor, Type.ROLLBACK_ASKED, {"reason": reason})
    facts = _send_back(settings, plan)
    spool.write(state, plan.run, actor, Type.TRAFFIC_RETURNED, {"reason": reason, **facts})
    return facts


def _send_back(settings: Settings, plan: Plan) -> Json:
    environment = settings.environment(plan.environment)
    return send_back(connect(settings, environment).router, plan, late=environment.router.late)
