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
from deploykit.ports.database import Database

__all__ = [
    "Answered",
    "Chat",
    "Database",
    "Deployment",
    "Http",
    "Message",
    "Metrics",
    "Platform",
    "Repository",
    "Router",
    "Weights",
    "as_json",
]

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
    """A chat message: where and when it stands, who wrote it, what it says, and the run it belongs to, if any."""

    channel: str
    ts: str
    user: str
    text: str
    run: str = ""


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


class Chat(Protocol):
    """Where the team talks."""

    def find(self, channel: str, run: str, *, kind: str) -> Message | None:
        """The message of this run and kind, if it was posted before."""
        ...

    def post(self, channel: str, text: str, *, run: str, kind: str, thread: str | None = None) -> Message:
        """Post a message marked with the run and its kind."""
        ...
