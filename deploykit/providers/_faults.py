"""What can go wrong in one call, read from any client's exceptions without importing the client."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from deploykit import redact

#: Characters of a vendor's own words that are shown.
LONGEST = 300


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
    #: A program that ended with something else than 0.
    ENDED = auto()
    #: A well-formed no.
    REFUSED = auto()
    #: An answer that cannot be read or does not say what was asked.
    GARBLED = auto()


class Fault(Exception):  # noqa: N818 - one attempt's fault; readers get an Unreachable or a Rejected
    """What went wrong in one attempt.

    Args:
        why: The kind.
        said: The system's or the client's own words, from outside.
        status: The HTTP status, for `Why.STATUS`; the exit code, for `Why.ENDED`.
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
        "ConnectError", "ConnectTimeout", "ConnectTimeoutError", "ConnectionRefusedError", "InvalidURL",
        "LocalProtocolError", "NameResolutionError", "NewConnectionError", "SSLCertVerificationError",
        "UnsupportedProtocol", "gaierror",
    }
)  # fmt: skip
_LATE = frozenset({"ReadTimeoutError", "Timeout", "TimeoutError", "TimeoutException"})
_LOST = frozenset({"HTTPException", "HTTPError", "OSError"})


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
    """An exception and those that it wraps: as its cause, its reason or its argument.

    Not its context: a rollback may run while another error is handled, whose causes would then be mistaken for ours.
    """
    queue, seen = [error], set[int]()
    while queue:
        link = queue.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        wrapped = (link.__cause__, getattr(link, "reason", None), *link.args)
        queue += [inner for inner in wrapped if isinstance(inner, BaseException)]
