"""What stand-ins were asked, and how they are broken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """A recorded operation.

    Attributes:
        name: The vendor's name: `chat.postMessage`, `deploymentRollback`, `GET /api/v1/query`.
        changing: Whether it changes something.
        at: When it arrived, in seconds since the epoch.
        detail: What it was about.
        status: The HTTP status answered; 0 when the connection was broken.
        applied: Whether the stand-in carried it out; a fault may come before or after that.
    """

    name: str
    changing: bool
    at: float
    detail: str
    status: int
    applied: bool


@dataclass(frozen=True)
class Fault:
    """How requests are broken.

    Attributes:
        status: Answer with this status.
        delay: Wait this many seconds first.
        reset: Break the connection.
        garbage: Answer with something that is not JSON.
        after: Carry the operation out before breaking its answer.
        times: Break that many requests; None breaks all.
        only: Break operations of that name only.
    """

    status: int | None = None
    delay: float = 0.0
    reset: bool = False
    garbage: bool = False
    after: bool = False
    times: int | None = None
    only: str | None = None
