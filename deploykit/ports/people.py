"""Where people talk, and how they are called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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
