"""The one place where what went wrong in a call becomes an `Unreachable` or a `Rejected`.

An adapter turns its client's exceptions into a `Fault`; `attempt` asks again where that is harmless, and words what is
left. The rule: `Rejected` says that nothing changed, so whatever leaves that open for a changing call is `Unreachable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep
from typing import TypeVar

from deploykit.errors import ProviderError, Rejected, Unreachable
from deploykit.providers._faults import Fault, Why

#: Seconds that a refusal for too many requests is waited out; asking for more is no answer in time.
PATIENCE = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One call to one system, and what the reader of its failure needs to know.

    Attributes:
        system: The vendor or the place: `Railway`.
        what: The question or the change: `deployments of shop-blue`.
        address: The setting that holds the address, or the address itself.
        token: The setting that holds the token, if there is one.
        timeout: How many seconds an answer is waited for.
        changes: Whether it changes something outside. Such a call is never repeated on a guess.
        again: Whether a broken connection or a passing 502 or 503 is asked once more; None is: unless it changes.
        patience: The longest wait, in seconds, that a refusal for too many requests is waited out.
    """

    system: str
    what: str
    address: str
    token: str = ""
    timeout: float = 5.0
    changes: bool = False
    again: bool | None = None
    patience: float = PATIENCE


def attempt(call: Call, once: Callable[[], T]) -> T:
    """Do a call, a second time where that is harmless.

    Raises:
        Unreachable: No answer, not in time, or (for a change) an answer that leaves open whether it happened.
        Rejected: An answer that says no, or (for a question) one of no use.
    """
    try:
        return once()
    except Fault as fault:
        pause = _pause(call, fault)
        if pause is None:
            raise error(call, fault) from fault
    sleep(pause)
    try:
        return once()
    except Fault as fault:
        raise error(call, fault) from fault


@contextmanager
def worded(call: Call) -> Iterator[None]:
    """Turn a fault found after the attempts, while reading what they brought, into its error.

    Raises:
        ProviderError: As `attempt`.
    """
    try:
        yield
    except Fault as fault:
        raise error(call, fault) from fault


def _pause(call: Call, fault: Fault) -> float | None:
    """How long to wait before asking again, or None where asking again would not be right."""
    passing = fault.why is Why.LOST or (fault.why is Why.STATUS and fault.status in {502, 503})
    if fault.why is Why.THROTTLED:
        # A throttled call was not carried out: the system says so. Repeating it is no guess, even for a change.
        wait = 1.0 if fault.wait is None else fault.wait
    elif passing and (not call.changes if call.again is None else call.again):
        wait = fault.wait or 0.0
    else:
        return None
    return wait if wait <= call.patience else None


def error(call: Call, fault: Fault) -> ProviderError:
    """The error for a reader: the system, the call, what happened, and what helps."""
    what, mend = _told(call, fault)
    if _open(call, fault):
        doubt = ". Whether the change happened is not known" if call.changes and fault.why not in _NOT_DONE else ""
        return Unreachable(what + doubt, where=f"{call.system}, {call.what}", mend=fault.mend or mend)
    return Rejected(what, where=f"{call.system}, {call.what}", mend=fault.mend or mend)


_NOT_DONE = frozenset({Why.UNSENT, Why.THROTTLED})


def _open(call: Call, fault: Fault) -> bool:
    """Whether the fault is no answer, or none that settles a change."""
    match fault.why:
        case Why.UNSENT | Why.LATE | Why.LOST | Why.THROTTLED | Why.ENDED:
            return True
        case Why.STATUS:
            # A success of another kind than the one that was due may be a change of another kind, too.
            return fault.status >= 500 or fault.status == 408 or (call.changes and fault.status < 300)
        case Why.GARBLED:
            return call.changes
        case Why.REFUSED:
            return False


def _told(call: Call, fault: Fault) -> tuple[str, str]:
    """What happened and what helps, in words."""
    said, system = f": {fault.said}" if fault.said else "", call.system
    up = f"see whether {system} is up, and look at {call.address}"
    match fault.why:
        case Why.UNSENT:
            told = f"no connection, so nothing was sent{said}", up
        case Why.LATE:
            told = f"no answer within {call.timeout:g} s", f"look at {system} before trying again"
        case Why.LOST:
            told = f"the connection broke before the whole answer was there{said}", f"look at {system} and try again"
        case Why.THROTTLED:
            wait = "" if fault.wait is None else f"; it asks to wait {fault.wait:.0f} s"
            told = f"too many requests, so it was not done{wait}{said}", "wait, then try again"
        case Why.STATUS:
            told = f"it answered {fault.status}{said}", _of_status(call, fault.status) or up
        case Why.ENDED:
            told = f"it ended with {fault.status}{said}", f"run it by hand, and look at {call.address}"
        case Why.REFUSED:
            told = f"it said no{said}", f"mend what {system} names, then try again"
        case Why.GARBLED:
            told = f"its answer cannot be used{said}", f"see whether {call.address} is really {system}"
    return told


def _of_status(call: Call, status: int) -> str:
    """What helps against a status, where that is known."""
    if status in {401, 403}:
        place = f"the secret that {call.token} names" if call.token else "who may ask it"
        return f"look at {place}: it may be wrong, expired, or lack a right"
    if status in {400, 422}:
        return f"mend what {call.system} names, then try again"
    return ""
