"""Whether a run is still the one that acts."""

from __future__ import annotations

from deploykit.errors import LockedError, RolledBackError
from deploykit.journal.events import Type
from deploykit.run import Run

_LOOK = "look at the system itself: it may not be as whoever is in charge by now left it"


def require_charge(run: Run, told: str) -> None:
    """The run has its lock, and traffic did not go back meanwhile.

    Args:
        run: The run.
        told: What its error begins with: what landed all the same, or what is left.

    Raises:
        LockedError, RolledBackError: It is no longer in charge, so that whatever moved traffic is sent back.
    """
    lost = _lost(run)
    state = run.state()
    # This run's own rollback takes the lock by force, so what it says comes first.
    if back := state.rolled_back or state.returned:
        raise RolledBackError(f"{told} after traffic went back: {back}", where=run.id, mend=_LOOK) from lost
    if lost is not None:
        raise LockedError(f"{told} after its lock was lost: {lost.what}", where=run.id, mend=_LOOK) from lost


def _lost(run: Run) -> LockedError | None:
    try:
        if run.lock is None:
            run.take_lock()
        run.require_lock()
    except LockedError as error:
        return error
    return None


def require_landed(run: Run, item: str, step: str, op: str) -> None:
    """An effect that landed although its lock was lost, or traffic went back, while it was under way: that is drift.

    Raises:
        LockedError, RolledBackError: Said, so that whatever moved traffic is sent back.
    """
    try:
        require_charge(run, f"{step} landed")
    except (LockedError, RolledBackError) as lost:
        run.append(Type.DRIFT_FOUND, item=item, step=step, op=op, data={"text": lost.what})
        raise
