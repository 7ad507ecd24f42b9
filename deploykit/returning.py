"""Sending traffic back to live: the one effect that asks nobody, and acts before it writes at length."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploykit.errors import ProviderError, RollbackIncompleteError
from deploykit.model import Json, Plan
from deploykit.ports import Router, Weights, as_json

#: How often to try before a person is called.
TRIES = 5


def live_weights(plan: Plan) -> Weights:
    """All traffic on the plan's live."""
    return {plan.live.colour: 100, plan.candidate.colour: 0}


def is_split(weights: Weights) -> bool:
    """Whether both colours get traffic."""
    return all(weight > 0 for weight in weights.values())


def send_back(router: Router, plan: Plan, *, late: float, wait: Callable[[float], None] = time.sleep) -> Json:
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
    before = _set(router, plan, wanted, wait)
    took = time.monotonic() - began
    landed = 0
    while time.monotonic() - began < late:
        wait(min(0.25, late))
        if router.weights() != wanted:
            landed += 1
            _set(router, plan, wanted, wait)
    return {"before": before, "weights": as_json(wanted), "seconds": round(took, 4), "late_landings": landed}


def _set(router: Router, plan: Plan, wanted: Weights, wait: Callable[[float], None]) -> Json:
    """Try a few times; returns the weights before, where they could be read."""
    last: ProviderError | None = None
    for attempt in range(TRIES):
        try:
            before = as_json(router.weights()) if attempt == 0 else {}
            router.set_weights(wanted)
        except ProviderError as error:
            last = error
            wait(0.2 * 2**attempt)
        else:
            return before
    raise RollbackIncompleteError(
        f"traffic could not be set back to {plan.live.colour} ({plan.live.version}): {last.what if last else ''}",
        where="router",
        mend=f"set {plan.live.colour} to 100 and {plan.candidate.colour} to 0 at the router by hand, now",
    ) from last
