"""Sending traffic back to live: the one effect that asks nobody, and acts before it writes at length."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from deploykit.errors import ProviderError, RollbackIncompleteError
from deploykit.model import Arm, Json
from deploykit.ports import Router, Weights, as_json

#: How often to try before a person is called.
TRIES = 5


class Roles(Protocol):
    """Which colour is live: a plan, or what somebody says where there is none."""

    @property
    def live(self) -> Arm:
        """Who is to have all traffic."""
        ...

    @property
    def candidate(self) -> Arm:
        """Who is to have none."""
        ...


def live_weights(plan: Roles) -> Weights:
    """All traffic on the plan's live."""
    return {plan.live.colour: 100, plan.candidate.colour: 0}


def is_split(weights: Weights) -> bool:
    """Whether both colours get traffic."""
    return all(weight > 0 for weight in weights.values())


def send_back(router: Router, plan: Roles, *, late: float, wait: Callable[[float], None] = time.sleep) -> Json:
    """Set all traffic on live, read it back, and set it again for as long as a late effect of another may land.

    Args:
        router: The router in force.
        plan: Says which colour is live.
        late: Seconds for which a request that was under way may still change the weights.
        wait: Sleeps; a test passes its own.

    Returns:
        What was found: the weights before, how long it took until they were read back, and late landings, if any.

    Raises:
        RollbackIncompleteError: The router could not be made to, so a person has to act now.
    """
    began = time.monotonic()
    wanted = live_weights(plan)
    before = _in_force(router)
    _set(router, plan, wanted, wait)
    took = time.monotonic() - began
    landed = 0
    while time.monotonic() - began < late:
        wait(min(0.25, late))
        found = _in_force(router)
        if found != wanted:
            landed += found is not None
            _set(router, plan, wanted, wait)
    return {
        "before": as_json(before or {}),
        "weights": as_json(wanted),
        "seconds": round(took, 4),
        "late_landings": landed,
    }


def _in_force(router: Router) -> Weights | None:
    """The weights, or None where the router does not say."""
    try:
        return router.weights()
    except ProviderError:
        return None


def _set(router: Router, plan: Roles, wanted: Weights, wait: Callable[[float], None]) -> None:
    """Set and read back, a few times if need be: a router that only says yes has done nothing."""
    said, last = "", None
    for attempt in range(TRIES):
        if attempt:
            wait(0.1 * 2**attempt)
        try:
            router.set_weights(wanted)
            found = router.weights()
        except ProviderError as error:
            said, last = error.what, error
            continue
        if found == wanted:
            return
        said, last = f"it accepted the weights, and has {dict(found)} in force", None
    raise RollbackIncompleteError(
        f"traffic could not be set back to {plan.live.colour} ({plan.live.version}): {said}",
        where="router",
        mend=f"set {plan.live.colour} to 100 and {plan.candidate.colour} to 0 at the router by hand, now",
    ) from last
