"""What deploykit needs from the outside, by capability.

Checks, actions and the analysis know these and never a vendor. Every method may raise `errors.Unreachable` (no answer,
or not in time: whether a change happened is not known) and `errors.Rejected` (an answer that says no: nothing changed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploykit.model import Colour, Json, Series

Weights = Mapping[Colour, int]


def as_json(weights: Weights) -> Json:
    """Weights, or counts by colour, as they are written down."""
    return {str(colour): number for colour, number in weights.items()}


@dataclass(frozen=True)
class Deployment:
    """One deployment of a service on the platform.

    Attributes:
        status: The platform's own word.
        state: What it means: `running`, `pending`, `failed` or `gone`.
        can_roll_back: Whether the platform can go back *to* it.
    """

    id: str
    commit: str
    status: str
    state: str
    created_at: datetime
    can_roll_back: bool


@dataclass(frozen=True)
class Answered:
    """An HTTP answer: status, JSON body if it was one, text, and how long it took in seconds."""

    status: int
    body: Json | None
    text: str
    seconds: float
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Message:
    """A chat message: where it stands, who wrote it, what it says, and the run it belongs to, if any.

    Attributes:
        ts: Its name in the channel, as the vendor has it.
        at: When it was written; None where the vendor's name for it does not say.
        replies: How many answers hang under it.
    """

    channel: str
    ts: str
    user: str
    text: str
    run: str = ""
    at: datetime | None = None
    replies: int = 0


@dataclass(frozen=True)
class LogLine:
    """One line of the service's logs: when, how bad (the vendor's word: info, error), whose, and what it says."""

    at: datetime
    status: str
    service: str
    message: str


@dataclass(frozen=True)
class Mute:
    """A time in which a monitor tells nobody.

    Attributes:
        why: What mutes it, for a reader.
        start: When it begins; None is: it has begun.
        end: When it ends; None is: when somebody ends it.
        whole: Whether all of the monitor is muted, or only some of what it watches.
    """

    why: str
    start: datetime | None = None
    end: datetime | None = None
    whole: bool = True


@dataclass(frozen=True)
class Monitor:
    """Something that watches the service and tells somebody.

    Attributes:
        state: `ok`, `warn`, `alert`, `no-data`, or `unknown` for every other word.
        word: The vendor's own word for its state.
        targets: Who is told when it alerts, as the vendor names them.
        mutes: Times in which nobody is told, those that have ended left out.
        url: The monitor's own page.
    """

    id: str
    name: str
    state: str
    word: str
    tags: tuple[str, ...]
    targets: tuple[str, ...]
    mutes: tuple[Mute, ...]
    url: str


class Http(Protocol):
    """Plain HTTP to the service itself."""

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:
        """Ask once, without following redirects. Any status is an answer."""
        ...


class Router(Protocol):
    """Splits the traffic between the colours."""

    def weights(self) -> Weights:
        """The weights in force, read from the router itself."""
        ...

    def set_weights(self, weights: Weights) -> None:
        """Set both weights at once; they sum to 100."""
        ...

    def counts(self) -> Mapping[Colour, int]:
        """Requests sent to each colour since the router started."""
        ...


class Platform(Protocol):
    """Runs the service's copies."""

    def deployments(self, service: str, *, limit: int = 10) -> tuple[Deployment, ...]:
        """The latest deployments of a service, newest first."""
        ...

    def deploy(self, service: str, commit: str) -> str:
        """Start a deployment and return its id at once."""
        ...

    def roll_back(self, deployment: str) -> None:
        """Start going back to an earlier deployment. The new one is found in `deployments` afterwards."""
        ...


class Metrics(Protocol):
    """Time series of the running system."""

    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:
        """The points of one query; no points at all is an empty series, more than one series is `Rejected`."""
        ...


class Repository(Protocol):
    """Where the code lives."""

    def commit(self, ref: str) -> str:
        """The full commit of a tag, branch or commit; `Rejected` where there is none."""
        ...


class Logs(Protocol):
    """What the service writes down, where it is collected. Queries are in the vendor's own language."""

    def count(self, query: str, start: datetime, end: datetime) -> int:
        """How many lines match; what has not been indexed yet is not counted."""
        ...

    def search(self, query: str, start: datetime, end: datetime, *, limit: int = 100) -> tuple[LogLine, ...]:
        """The newest lines that match, at most `limit`, newest first."""
        ...


class Monitors(Protocol):
    """What watches the service and tells somebody."""

    def monitors(self, tags: tuple[str, ...]) -> tuple[Monitor, ...]:
        """Every monitor that carries all of these tags."""
        ...


class Events(Protocol):
    """Marks on the vendor's time line."""

    def find(self, key: str) -> str | None:
        """The id of the event that was posted under this key, if there is one."""
        ...

    def post(self, title: str, text: str, *, key: str, tags: tuple[str, ...]) -> str:
        """Post an event, or find the one that was posted under this key; its id."""
        ...


class Chat(Protocol):
    """Where the team talks."""

    def channel(self, name: str) -> str | None:
        """The id of a channel, or None where there is none that we may see."""
        ...

    def history(self, channel: str, since: datetime, until: datetime | None = None) -> tuple[Message, ...]:
        """What people and apps wrote after `since`, oldest first: no joins or renames, and no answers in threads."""
        ...

    def thread(self, channel: str, ts: str) -> tuple[Message, ...]:
        """The answers under a message, oldest first."""
        ...

    def find(self, channel: str, run: str, *, kind: str) -> Message | None:
        """The message of this run and kind, if it was posted before."""
        ...

    def post(self, channel: str, text: str, *, run: str, kind: str, thread: str | None = None) -> Message:
        """Post a message marked with the run and its kind."""
        ...
