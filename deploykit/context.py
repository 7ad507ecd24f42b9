"""What a check or an action is given: the plan, the ports, and a way to say how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from deploykit.model import Evidence, Json, Plan
from deploykit.ports import (
    Chat,
    Database,
    Errors,
    Events,
    Flags,
    Http,
    Logs,
    Metrics,
    Monitors,
    Pager,
    Platform,
    Repository,
    Router,
    Tls,
)
from deploykit.settings import EnvironmentSettings, Settings


class Ports(Protocol):
    """Every outside system, connected when it is first used."""

    @property
    def http(self) -> Http:
        """Plain HTTP."""
        ...

    @property
    def tls(self) -> Tls:
        """The certificates that hosts show."""
        ...

    @property
    def router(self) -> Router:
        """The router in front of both colours."""
        ...

    @property
    def platform(self) -> Platform:
        """What runs the copies."""
        ...

    @property
    def metrics(self) -> Metrics:
        """Where the numbers come from."""
        ...

    @property
    def logs(self) -> Logs:
        """What the service writes down."""
        ...

    @property
    def errors(self) -> Errors:
        """Where its errors are tracked."""
        ...

    @property
    def pager(self) -> Pager:
        """Who is on call."""
        ...

    @property
    def flags(self) -> Flags:
        """Its feature flags."""
        ...

    @property
    def monitors(self) -> Monitors:
        """What watches the service."""
        ...

    @property
    def events(self) -> Events:
        """Marks on the vendor's time line."""
        ...

    @property
    def repository(self) -> Repository:
        """Where the code lives."""
        ...

    @property
    def chat(self) -> Chat:
        """Where the team talks."""
        ...

    @property
    def database(self) -> Database:
        """Production's database; `UsageError` where none is set up."""
        ...


class Guard(Protocol):
    """The small process that returns traffic to live when nobody is left to do it."""

    def start(self) -> None:
        """Say that this run is alive, and be sure that a guard is: before weights are split, and while they are."""
        ...

    def stand_down(self) -> None:
        """Weights are whole again; nobody needs to watch."""
        ...


def data_of(event: Json) -> Json:
    """What an event of the timeline carries; empty where it carries nothing."""
    data = event.get("data")
    return data if isinstance(data, dict) else {}


class StopAskedError(Exception):
    """Somebody asked the work under way to stop (a rollback elsewhere, or an interrupt)."""


@dataclass(frozen=True)
class Context:
    """One run, as a check or an action sees it.

    Attributes:
        progress: Called with one line and the evidence so far, as often as there is something new to show.
        pause: Waits for so many seconds; raises `StopAskedError` as soon as somebody asks to stop.
        timeline: The run's events so far, as JSON, for what renders them.
        incident: Renders the incident report from what happened so far: Markdown, and its pictures by their names.
        write: Writes a file of this name into the run's folder.
        objection: Why a rule forbids the next forward step just now; empty where none does.
        read: Reads one from there; None where there is none.
        repeat: Says in the journal that an effect of this run was lost, and makes it again; raises where this run is no
            longer in charge.
    """

    plan: Plan
    settings: Settings
    environment: EnvironmentSettings
    ports: Ports
    guard: Guard
    progress: Callable[[str, Evidence], None]
    pause: Callable[[float], None]
    timeline: Callable[[], tuple[Json, ...]]
    incident: Callable[[], tuple[str, Mapping[str, bytes]]]
    write: Callable[[str, bytes], None]
    read: Callable[[str], bytes | None]
    repeat: Callable[[str, Callable[[], None]], None]
    objection: Callable[[], str] = str

    @property
    def look_every(self) -> float:
        """Seconds between two looks of the judge, in this run's time."""
        return max(self.plan.scaled(self.settings.shift.look_every), 0.5)
