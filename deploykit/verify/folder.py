"""An archive under examination, and what was found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deploykit import redact
from deploykit.errors import BrokenRecordError, DeploykitError
from deploykit.journal import chain
from deploykit.journal.events import Event, Type
from deploykit.model import Plan
from deploykit.settings import PersonSettings
from deploykit.signoff import kept


@dataclass
class Folder:
    """An archive under examination.

    Attributes:
        signers: The file of principals and keys that signatures are held against.
        events: The journal, as far as its chain holds.
        witnesses: Files, repositories or words of those outside who know the journal.
        seal_holds: Whether the seal's signature was proved.
        reviewed: Statements of overrides that addenda review.
    """

    path: Path
    signers: Path
    witnesses: tuple[str, ...] = ()
    plan: Plan | None = None
    events: tuple[Event, ...] = ()
    wrong: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seal_holds: bool = False
    reviewed: set[str] = field(default_factory=set)

    def read(self, name: str) -> bytes:
        """A plain file of the archive."""
        path = self.path / name
        if path.is_symlink() or not path.is_file():
            raise BrokenRecordError("is missing", where=name)
        return path.read_bytes()

    def read_journal(self) -> None:
        """Take in the events, as far as their chain holds.

        Raises:
            BrokenRecordError: Where it does not.
        """
        data = self.read("journal.jsonl")
        lines = data.split(b"\n")
        followed = []
        try:
            for event in chain.follow(lines[:-1], run=self.known_plan().run):
                followed.append(event)  # noqa: PERF402 - what held before a break is still looked at
        finally:
            self.events = tuple(followed)
        if lines[-1]:
            raise BrokenRecordError("the last line has no end", where="journal.jsonl")

    def known_plan(self) -> Plan:
        """The plan, once it was read."""
        if self.plan is None:
            raise BrokenRecordError("cannot be held against a plan, because there is none", where="journal.jsonl")
        return self.plan

    def people(self) -> dict[str, PersonSettings]:
        """The team, as the archived settings have it."""
        return kept.people(self.read("settings.toml"))

    def end(self) -> Event:
        """The journal's newest event."""
        if not self.events:
            raise BrokenRecordError("there is no journal to hold it against", where="journal.jsonl")
        return self.events[-1]

    def of_type(self, kind: Type) -> Iterator[Event]:
        """The events of one type."""
        return (event for event in self.events if event.type is kind)

    def attempt(self, what: str, check: Callable[[], None]) -> None:
        """One check; a record that cannot even be read is a finding like any other."""
        try:
            check()
        except DeploykitError as error:
            self.find(f"{what}: {error.where}: {error.what}" if error.where else f"{what}: {error.what}")
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            self.find(f"{what}: cannot be read: {error}")

    def find(self, text: str) -> None:
        """Something does not hold."""
        self.wrong.append(one_line(text))

    def warn(self, text: str) -> None:
        """Something holds, and is worth knowing."""
        self.warnings.append(one_line(text))


def one_line(text: str) -> str:
    """Names of files and words of others, so that none can pass for another line."""
    return " ".join(redact.visible(text).split())
