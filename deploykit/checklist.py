"""The checklist as data: phases, items, and what does each."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import import_module, resources
from typing import Any, Literal

from deploykit.errors import UsageError
from deploykit.model import Kind, Record

When = Literal["always", "rolled-back"]
#: Contacts and rules stand in the head of every notebook, and belong to no phase.
HEAD = "head"


class Phase(Record):
    """One notebook of the runbook."""

    id: str
    notebook: str
    title: str
    when: When = "always"


class Item(Record):
    """One row of the checklist.

    Attributes:
        proof: How it is proved, for a reader.
        touches: What it changes or loads outside; empty for one that only reads.
        production: Whether it changes production: the rules are asked before, and the window counts from the first.
        after: The action that it hangs on, which a rehearsal leaves out.
        instead: The item that makes up for it: where that one passed, this one keeps no gate shut.
        watched: Whether it is proved by what the watch saw.
        by: What does it, as `module:name` below the package; for a sign-off, what gathers the evidence.
    """

    id: str
    phase: str
    kind: Kind
    title: str
    proof: str
    provider: str
    touches: str = ""
    production: bool = False
    after: str = ""
    instead: str = ""
    watched: bool = False
    when: When = "always"
    by: str

    @property
    def automated(self) -> bool:
        """Whether a machine proves it; a sign-off is a person's word over what a machine gathered."""
        return self.kind is not Kind.SIGN_OFF

    def load(self) -> Any:
        """The function or class that does it."""
        module, _, name = self.by.partition(":")
        return getattr(import_module(f"deploykit.{module}"), name)


class Checklist(Record):
    """All phases and items, in order."""

    phase: tuple[Phase, ...]
    item: tuple[Item, ...]

    def items(self, phase: str) -> tuple[Item, ...]:
        """The items of one phase, or of the `HEAD`."""
        return tuple(item for item in self.item if item.phase == phase)

    @property
    def contacts(self) -> tuple[Item, ...]:
        """Who can be called, looked up for each notebook's head."""
        return tuple(item for item in self.items(HEAD) if item.id.startswith("contact."))

    def gate(self, phase: str) -> tuple[Item, ...]:
        """What a phase's gate asks for: its items, and the contacts before anything is announced."""
        return self.items(phase) + (self.contacts if phase == self.phase[0].id else ())

    def find(self, item: str) -> Item:
        """One item; an unknown id is an error."""
        for known in self.item:
            if known.id == item:
                return known
        raise UsageError(f"there is no item {item!r} in the checklist", mend="`deploykit checklist` lists them")

    def find_phase(self, phase: str) -> Phase:
        """One phase; an unknown id is an error."""
        for known in self.phase:
            if known.id == phase:
                return known
        known_ids = ", ".join(known.id for known in self.phase)
        raise UsageError(f"there is no phase {phase!r}", mend=f"use one of: {known_ids}")


@cache
def text() -> str:
    """The checklist's own TOML, as it is archived."""
    return resources.files("deploykit").joinpath("checklist.toml").read_text("utf-8")


@cache
def checklist() -> Checklist:
    """The checklist of this version."""
    return Checklist.model_validate(tomllib.loads(text()))
