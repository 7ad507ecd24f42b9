"""One line of the journal, and the closed list of what it may say."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, ValidationError

from deploykit.errors import BrokenRecordError
from deploykit.model import Json, Record, Sha256, canonical, sha256

#: What the first line's `prev` holds.
GENESIS = "0" * 64


class Type(StrEnum):
    """Everything that a journal can say. A reader that meets another word refuses the journal."""

    RUN_OPENED = "run.opened"
    RUN_ENDED = "run.ended"
    RUN_SEALED = "run.sealed"
    PHASE_STARTED = "phase.started"
    PHASE_ENDED = "phase.ended"
    NOTEBOOK_ARCHIVED = "notebook.archived"
    LOCK_TAKEN = "lock.taken"
    LOCK_RELEASED = "lock.released"
    LOCK_BROKEN = "lock.broken"
    STEP_INTENDED = "step.intended"
    STEP_HAPPENED = "step.happened"
    STEP_REJECTED = "step.rejected"
    STEP_UNKNOWN = "step.unknown"
    ITEM_SETTLED = "item.settled"
    VERDICT_GIVEN = "verdict.given"
    DECISION_MADE = "decision.made"
    DECISION_REVOKED = "decision.revoked"
    DECISION_REVIEWED = "decision.reviewed"
    ROLLBACK_ASKED = "rollback.asked"
    TRAFFIC_RETURNED = "traffic.returned"
    DRIFT_FOUND = "drift.found"
    GUARD_STARTED = "guard.started"
    NOTE_WRITTEN = "note.written"
    WITNESS_GIVEN = "witness.given"
    SPOOL_MERGED = "spool.merged"


class Actor(Record):
    """Who or what acted.

    Attributes:
        kind: A person is named by what they are logged in as, or by the principal that their signature proved.
    """

    kind: Literal["person", "runner", "kernel", "guard", "service"]
    id: str


class Head(Record):
    """One event's place and hash, which stand for everything before it."""

    seq: int = Field(ge=1)
    hash: Sha256


class Draft(Record):
    """An event before the store gives it its place in the chain."""

    run: str
    actor: Actor
    fence: int = 0
    type: Type
    item: str = ""
    step: str = ""
    op: str = ""
    data: Json = Field(default_factory=dict)


class Event(Draft):
    """One event.

    Attributes:
        at: UTC, to the millisecond. `boot` and `boot_ns` are the boot's id and CLOCK_BOOTTIME, for durations.
        fence: The number of the lock under which it was written; 0 for none.
        op: The operation's id, the same for an intent and its end, and passed on to the vendor where it takes one.
        prev: SHA-256 of the line before.
    """

    v: Literal[1] = 1
    seq: int = Field(ge=1)
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
    boot: str
    boot_ns: int
    host: str
    prev: str = Field(pattern=r"^[0-9a-f]{64}$")

    @property
    def line(self) -> bytes:
        """The canonical line, without its line end."""
        return canonical(self.model_dump(mode="json"))

    @property
    def hash(self) -> str:
        """What the next line's `prev` must be. The line end counts, so that `sed -n Np | sha256sum` agrees."""
        return sha256(self.line + b"\n")

    @property
    def head(self) -> Head:
        """What a witness is told, and a signature is bound to."""
        return Head(seq=self.seq, hash=self.hash)

    @classmethod
    def parse(cls, line: bytes) -> Event:
        """Read one line back.

        Raises:
            BrokenRecordError: It is not an event of a version and type that we know, or not in canonical form.
        """
        try:
            event = cls.model_validate_json(line)
            same = event.line == line
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            place = ".".join(map(str, fault["loc"])) or "line"
            raise BrokenRecordError(f"not an event: {place}: {fault['msg']}", where="journal") from error
        except ValueError as error:  # a number that JSON does not have, such as 1e999
            raise BrokenRecordError(f"not an event: {error}", where="journal") from error
        if not same:
            raise BrokenRecordError("not in canonical form", where=f"journal, event {event.seq}")
        return event
