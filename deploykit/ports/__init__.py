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
        changed: When its status last changed, as the platform writes it; only good for comparing with itself.
    """

    id: str
    commit: str
    status: str
    state: str
    created_at: datetime
    can_roll_back: bool
    changed: str = ""


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


@dataclass(frozen=True)
class PullRequest:
    """A change that was proposed, and where it stands.

    Attributes:
        author: Who opened it, as the code host names them; empty where the account is gone.
        head: Its last commit.
        base: The branch that it is for.
        state: `open`, `merged`, or `closed` without being merged.
        merged_as: The commit that it became, if it is merged.
    """

    number: int
    title: str
    author: str
    head: str
    base: str
    state: str
    url: str
    merged_as: str = ""


@dataclass(frozen=True)
class Change:
    """A commit that one side has and the other has not.

    Attributes:
        title: The first line of its message.
        authors: Who wrote it, co-authors too, as the code host names them.
        strangers: Those of them whom the code host does not know, by name and address.
        merge: Whether the code host itself merged here what a pull request had, so that nobody wrote it.
        pulls: The pull requests that brought it; before that, those that it stands in.
    """

    commit: str
    title: str
    authors: tuple[str, ...]
    strangers: tuple[str, ...]
    merge: bool
    url: str
    pulls: tuple[PullRequest, ...]


@dataclass(frozen=True)
class Comparison:
    """What `head` has and `base` has not.

    Attributes:
        changes: Oldest first.
        lost: How many commits `base` has and `head` has not.
    """

    base: str
    head: str
    changes: tuple[Change, ...]
    lost: int
    url: str


@dataclass(frozen=True)
class Review:
    """One person's word on a pull request.

    Attributes:
        state: `approved`, `changes_requested`, `commented`, `dismissed`, `pending`, or another word of the host's.
        commit: What was reviewed; empty where the host does not say.
        counts: Whether it is a person whom the settings let decide.
    """

    author: str
    state: str
    commit: str
    counts: bool
    url: str


@dataclass(frozen=True)
class Thread:
    """A discussion of a place in a pull request, and whether it is settled."""

    path: str
    author: str
    resolved: bool
    url: str


@dataclass(frozen=True)
class Test:
    """A test of a commit.

    Attributes:
        state: `passed`, `failed`, `pending`, `skipped`, or `unknown`.
        word: The code host's own word.
    """

    name: str
    state: str
    word: str
    url: str


@dataclass(frozen=True)
class Alert:
    """Something that a scanner found and nobody settled; `severity` is empty where it was not rated."""

    severity: str
    title: str
    place: str
    url: str


@dataclass(frozen=True)
class Scan:
    """What a scanner found; `off` says why it could not be asked: it is switched off, or not ours to read."""

    scanner: str
    alerts: tuple[Alert, ...]
    off: str = ""


@dataclass(frozen=True)
class Recorded:
    """A deployment as the code host keeps it; `state` is its newest, empty where it has none."""

    id: str
    state: str
    url: str


@dataclass(frozen=True)
class Certificate:
    """The certificate that a host shows, and whether a browser would take it.

    Attributes:
        fault: Why chain or host name do not hold; empty where they do.
        names: The host names that it is good for.
        issuer: Who signed it.
        ends: Until when it is valid.
    """

    fault: str
    names: tuple[str, ...]
    issuer: str
    ends: datetime


class Tls(Protocol):
    """Looks at certificates, as a browser would."""

    def certificate(self, name: str, *, address: str = "", port: int = 443) -> Certificate:
        """Shake hands with a host by its name; with an address, there instead of where the name leads."""
        ...


class Http(Protocol):
    """Plain HTTP to the service itself."""

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:
        """Ask once, without following redirects. Any status is an answer."""
        ...

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float = 5.0) -> Answered:
        """The same with another method, and with headers."""
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

    def stop(self) -> None:
        """Have every request met by the maintenance answer (503) instead of a colour."""
        ...

    def resume(self) -> None:
        """Let requests through again, by the weights."""
        ...

    def stopped(self) -> bool:
        """Whether the maintenance answer is in force for all requests, read from the router itself."""
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

    def restart(self, deployment: str) -> None:
        """Start restarting the processes of a deployment; its status tells when they are up."""
        ...

    def logs(self, deployment: str, *, limit: int = 100) -> tuple[str, ...]:
        """The last lines that a deployment wrote, oldest first."""
        ...

    def variables(self, service: str) -> Mapping[str, str]:
        """A service's variables. The values are secrets: to compare in memory, and never to write."""
        ...


class Metrics(Protocol):
    """Time series of the running system."""

    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:
        """The points of one query; no points at all is an empty series, more than one series is `Rejected`."""
        ...

    def unit(self, query: str, start: datetime, end: datetime) -> str:
        """What the vendor says that the query's values are in: ms, s, bytes, percent, its own word; "" is no word."""
        ...

    def unknown(self, query: str) -> tuple[str, ...]:
        """Metrics that a query names and that nobody ever reported. One that is known may be silent all the same."""
        ...


class Repository(Protocol):
    """Where the code lives."""

    def commit(self, ref: str) -> str:
        """The full commit of a tag, branch or commit; `Rejected` where there is none."""
        ...

    def compare(self, base: str, head: str) -> Comparison:
        """What `head` has and `base` has not, whole: a list that is cut short is `Rejected`."""
        ...

    def authors(self, base: str, head: str) -> tuple[str, ...]:
        """Who wrote a change between the two, sorted; `Rejected` where the code host does not know one of them."""
        ...

    def reviews(self, pull: int) -> tuple[Review, ...]:
        """The reviews of a pull request, oldest first."""
        ...

    def threads(self, pull: int) -> tuple[Thread, ...]:
        """The discussions of a pull request."""
        ...

    def mergeable(self, pull: int) -> bool | None:
        """Whether a pull request can be merged without conflicts; None while the code host works it out."""
        ...

    def tests(self, commit: str) -> tuple[Test, ...]:
        """All tests of a commit, of every kind that the code host knows."""
        ...

    def required_tests(self, branch: str) -> tuple[str, ...]:
        """The tests without which nothing gets into a branch, as far as we may know."""
        ...

    def scan(self, scanner: str, branch: str) -> Scan:
        """What a scanner found in a branch: `code-scanning`, `dependabot` or `secret-scanning`."""
        ...

    def find_deployment(self, run: str, commit: str, environment: str) -> Recorded | None:
        """The record of this run, if it was made before."""
        ...

    def record_deployment(self, run: str, commit: str, environment: str, *, state: str, url: str = "") -> Recorded:
        """Record that a run deployed a commit, and how that stands: `in_progress`, `success`, `failure`, `inactive`.

        Safe to repeat: what is there already is found, and not made again.
        """
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


@dataclass(frozen=True)
class ErrorProject:
    """Where the errors of the service are tracked: its name there, the vendor's word for its state, and its page."""

    name: str
    status: str
    active: bool
    url: str


@dataclass(frozen=True)
class Issue:
    """Errors of one kind.

    Attributes:
        level: The vendor's word: `fatal`, `error`, `warning`.
        count: How often it happened.
        users: How many users met it.
        url: Its own page.
    """

    id: str
    title: str
    level: str
    count: int
    users: int
    first_seen: datetime | None
    last_seen: datetime | None
    url: str


@dataclass(frozen=True)
class RecordedDeploy:
    """A deployment as the tracker of errors knows it: its id, its name there, where it went, and when it ended."""

    id: str
    name: str
    environment: str
    finished_at: datetime


@dataclass(frozen=True)
class OnCall:
    """One person's turn.

    Attributes:
        level: 1 is called first.
        start: When it begins; None is: it has no beginning.
        end: When it ends; None is: it has no end.
        reachable: Whether the person is still there and has a way to be reached.
        url: The person's own page.
    """

    id: str
    name: str
    level: int
    start: datetime | None
    end: datetime | None
    reachable: bool
    url: str


@dataclass(frozen=True)
class Incident:
    """An incident at the pager's vendor: its id, the vendor's word for its state, its title and its page."""

    id: str
    status: str
    title: str
    url: str


class Errors(Protocol):
    """Where the errors of the service are tracked. A release goes by its tag."""

    def project(self) -> ErrorProject:
        """The service's project; `Rejected` where there is none."""
        ...

    def active_keys(self) -> int:
        """How many keys the service may send errors with now."""
        ...

    def registered(self, release: str) -> bool:
        """Whether the release is known there, for this project."""
        ...

    def sessions(self, release: str, start: datetime, end: datetime) -> int:
        """How many sessions of the release were heard of: none says that nothing arrives."""
        ...

    def new_issues(self, release: str) -> tuple[Issue, ...]:
        """The unresolved issues that were first seen in the release."""
        ...

    def fatal_issues(self, since: datetime) -> tuple[Issue, ...]:
        """The fatal issues that were seen since then, whoever has dealt with them meanwhile."""
        ...

    def deploy(self, release: str, name: str) -> RecordedDeploy | None:
        """The deploy of the release that was recorded under this name, if there is one."""
        ...

    def record_deploy(self, release: str, name: str, *, start: datetime, end: datetime) -> RecordedDeploy:
        """Register the release and record its deploy, or find the one that was recorded under this name."""
        ...


class Pager(Protocol):
    """Who is on call, and how they are called."""

    def on_call(self, start: datetime, end: datetime) -> tuple[OnCall, ...]:
        """Every turn that touches this span, of all levels, by level and beginning."""
        ...

    def find(self, key: str) -> Incident | None:
        """The newest incident that was opened under this key, if there is one."""
        ...

    def open(self, key: str, title: str, details: str) -> Incident:
        """Open an incident under this key; `Rejected` where one is open."""
        ...


class Flags(Protocol):
    """The service's feature flags."""

    def enabled(self, name: str) -> bool | None:
        """Whether the flag can be on for anybody in this environment; None where there is no such flag."""
        ...
