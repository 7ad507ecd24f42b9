"""Checks that a journal is whole: every line follows from the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import GENESIS, Event
from deploykit.model import sha256


def follow(lines: Iterable[bytes], *, run: str | None = None, after: Event | None = None) -> Iterator[Event]:
    """Yield each event, as long as the chain holds.

    Args:
        lines: The journal's lines without line ends, first to last.
        run: The run that all must belong to; None takes the first line's.
        after: The event that the first line follows, where those before were read already.

    Raises:
        BrokenRecordError: At the first line that does not follow, by its number.
    """
    before, seq = (after.hash, after.seq) if after else (GENESIS, 0)
    for line in lines:
        seq += 1
        event = Event.parse(line)
        run = run or event.run
        for found, wanted, name in ((event.seq, seq, "seq"), (event.run, run, "run"), (event.prev, before, "prev")):
            if found != wanted:
                raise BrokenRecordError(f"{name} is {found}, expected {wanted}", where=f"journal, line {seq}")
        before = sha256(line + b"\n")  # the event's own hash, without writing the line once more
        yield event
    if seq == 0:
        raise BrokenRecordError("the journal is empty", where="journal")
