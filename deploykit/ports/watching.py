"""What watches the running system: metrics, logs, monitors, marks on the time line, and the tracker of errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploykit.model import Series


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
