"""How much of the journal somebody outside has seen: by its own account, and by theirs."""

from __future__ import annotations

from deploykit.errors import BrokenRecordError
from deploykit.journal import witness
from deploykit.journal.events import Head, Type
from deploykit.verify.folder import Folder


def witnesses(archive: Folder) -> None:
    """How much of the journal somebody outside has seen: by its own account, and by theirs."""
    seen, count = 0, len(archive.events)
    for event in archive.of_type(Type.WITNESS_GIVEN):
        told = Head.model_validate({name: event.data.get(name) for name in Head.model_fields})
        if told.seq >= event.seq:
            raise BrokenRecordError("a witness saw another journal", where=f"journal.jsonl, line {event.seq}")
        seen = max(seen, _same(archive, told))
    for source in archive.witnesses:
        for told in witness.read(source, archive.known_plan().run):
            seen = max(seen, _same(archive, told))
    if seen < count:
        unseen = f"events {seen + 1} to {count}"
        said = f"no witness but the seal has seen {unseen}" if archive.seal_holds else f"no witness has seen {unseen}"
        archive.warn(f"journal.jsonl: {said}")


def _same(archive: Folder, told: Head) -> int:
    """The event that a witness saw is the one that stands there."""
    if told.seq > len(archive.events):
        archive.find(f"witnesses: the journal ends at event {len(archive.events)}, and a witness saw event {told.seq}")
        return 0
    if archive.events[told.seq - 1].hash != told.hash:
        raise BrokenRecordError("a witness saw another journal", where=f"journal.jsonl, line {told.seq}")
    return told.seq
