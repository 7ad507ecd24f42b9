"""A deadline for a whole answer, for clients that only know one for each read of the connection."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from deploykit.providers._faults import Fault, Why

T = TypeVar("T")


def within(seconds: float, once: Callable[[], T]) -> T:
    """What `once` returns or raises, if that is in time.

    A call that is given up goes on in a thread of its own, which ends with its connection or with the process: whatever
    it uses must not be used again.

    Raises:
        Fault: It took too long.
    """
    done: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()

    def work() -> None:
        try:
            done.put((once(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below, where it was called
            done.put((None, error))

    Thread(target=work, name="deploykit-call", daemon=True).start()
    try:
        value, error = done.get(timeout=seconds)
    except Empty:
        raise Fault(Why.LATE) from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]  # without an error it is what `once` returned
