"""A whole answer in time: clients time each read alone, so one that drips in would never be late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from deploykit.providers._faults import Fault, Why

#: Seconds beyond a client's own time-outs, which say more about what happened and so shall come first.
GRACE = 0.5

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Do a call of a vendor's client, and wait for it no longer than this.

    Its thread is left to itself when it is late: a client cannot be stopped from outside, and nobody reads what it
    still brings. A change may still happen then, which is what `Why.LATE` says.

    Raises:
        Fault: It took too long.
        Exception: Whatever the call raises.
    """
    done = threading.Event()
    brought: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            brought.append(call())
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            raised.append(error)
        done.set()

    threading.Thread(target=work, name="deploykit-call", daemon=True).start()
    if not done.wait(seconds + GRACE):
        raise Fault(Why.LATE)
    if raised:
        raise raised[0]
    return brought[0]
