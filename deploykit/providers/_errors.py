"""The one place where what went wrong in a call becomes an `Unreachable` or a `Rejected`.

An adapter turns its client's exceptions into a `Fault`; `attempt` asks again where that is harmless, and words what is
left. The rule: `Rejected` says that nothing changed, so whatever leaves that open for a changing call is `Unreachable`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import TypeVar

from deploykit import redact
from deploykit.errors import ProviderError, Rejected, Unreachable

FILE = "deploykit.toml"
#: Seconds that a refusal for too many requests is waited out; asking for more is no answer in time.
PATIENCE = 5.0
#: Characters of a vendor's own words that are shown.
LONGEST = 300

T = TypeVar("T")


class Why(Enum):
    """What kind of fault it was."""

    #: No connection was made, so nothing was sent.
    UNSENT = auto()
    #: No answer in time.
    LATE = auto()
    #: The connection broke after it was made.
    LOST = auto()
    #: Too many requests: the system says that it did nothing.
    THROTTLED = auto()
    #: A status other than success.
    STATUS = auto()
    #: A well-formed no.
    REFUSED = auto()
    #: An answer that cannot be read or does not say what was asked.
    GARBLED = auto()


class Fault(Exception):  # noqa: N818 - one attempt's fault; readers get an Unreachable or a Rejected
    """What went wrong in one attempt.

    Args:
        why: The kind.
        said: The system's or the client's own words, from outside.
        status: The HTTP status, for `Why.STATUS`.
        wait: How many seconds the system asks to wait, if it does.
        mend: What helps, where that is known better than in general.
    """

    def __init__(self, why: Why, said: str = "", *, status: int = 0, wait: float | None = None, mend: str = "") -> None:
        self.why, self.said, self.status, self.wait, self.mend = why, words(said), status, wait, mend
        super().__init__(self.said)

    @classmethod
    def of_status(cls, status: int, said: str, headers: Mapping[str, str]) -> Fault:
        """The fault that a status other than success stands for; the names of headers are in lower case."""
        wait = seconds(headers.get("retry-after"))
        return cls(Why.THROTTLED if status == 429 else Why.STATUS, said, status=status, wait=wait)


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
    time.sleep(pause)
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
        case Why.UNSENT | Why.LATE | Why.LOST | Why.THROTTLED:
            return True
        case Why.STATUS:
            return fault.status >= 500 or fault.status == 408
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


def words(said: object) -> str:
    """Words from outside for one line of an error: without secrets, visible, and cut."""
    # Twice, because a secret may stand broken up by what `visible` takes out.
    text = redact.text(redact.visible(redact.text(str(said))))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def seconds(header: str | None) -> float | None:
    """A `Retry-After`: seconds or a date (RFC 9110, 10.2.3). None where there is none or it cannot be read."""
    try:
        wait = float(header or "nan")
    except ValueError:
        return _until(header or "")
    return max(wait, 0.0) if math.isfinite(wait) else None


def _until(date: str) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - datetime.now(UTC)).total_seconds(), 0.0)


# By the names of classes, so that no client has to be imported to read its exceptions: httpx, requests, urllib3, urllib
# and the standard library wrap the same few things, several deep.
_UNSENT = frozenset(
    {
        "ConnectError", "ConnectTimeout", "ConnectTimeoutError", "ConnectionRefusedError", "NameResolutionError",
        "NewConnectionError", "SSLCertVerificationError", "gaierror",
    }
)  # fmt: skip
_LATE = frozenset({"ReadTimeoutError", "Timeout", "TimeoutError", "TimeoutException"})
_LOST = frozenset(
    {"ChunkedEncodingError", "ContentDecodingError", "HTTPException", "HTTPError", "OSError", "TransportError"}
)


def of_network(error: BaseException) -> Fault | None:
    """The fault behind a client's exception when the network is at fault, else None."""
    chain = list(_chain(error))
    names = {kind.__name__ for link in chain for kind in type(link).__mro__}
    said = next((str(link) for link in reversed(chain) if str(link)), type(error).__name__)
    for why, known in ((Why.UNSENT, _UNSENT), (Why.LATE, _LATE), (Why.LOST, _LOST)):
        if names & known:
            return Fault(why, said)
    return None


def of_client(error: Exception) -> Fault:
    """The fault behind any exception of a vendor's client: one of the network, else an answer that it choked on."""
    return of_network(error) or Fault(Why.GARBLED, f"{type(error).__name__}: {error}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and those that it wraps: as its cause, its reason or its argument."""
    queue, seen = [error], set[int]()
    while queue:
        link = queue.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        wrapped = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        queue += [inner for inner in wrapped if isinstance(inner, BaseException)]
