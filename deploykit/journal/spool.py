"""Where a rollback writes when the store cannot be written: a synced local file, merged later as one event."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from deploykit import redact
from deploykit.journal import clock
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.store import Store
from deploykit.model import Json, canonical, sha256


def _file(state: Path, run: str) -> Path:
    return state / "spool" / f"{run}.jsonl"


def write(state: Path, run: str, actor: Actor, kind: Type, data: Json) -> None:
    """Add one line. When even that fails it goes to stderr: what happened is always said somewhere."""
    said = {**clock.read()._asdict(), "actor": actor.model_dump(), "type": kind.value, "data": redact.tree(data)}
    line = canonical(said) + b"\n"
    path = _file(state, run)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path) as stream:
            # A power cut may have left half a line before.
            stream.write(b"\n" + line if os.fstat(stream.fileno()).st_size else line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        sys.stderr.write(f"deploykit: neither store nor spool can be written ({error}): {line.decode()}")


def merge(store: Store, run: str, actor: Actor) -> int:
    """Take what was spooled into the journal: one event that holds the lines and their hash, and what they mean.

    Returns:
        How many lines were merged.
    """
    path = _file(store.folder, run)
    if not path.exists():
        return 0
    with _locked(path) as stream:
        stream.seek(0)
        raw = stream.read()
        if not raw:  # another process was faster, and this made the file anew
            path.unlink()
            return 0
        lines: list[Any] = [_read(line) for line in raw.splitlines() if line.strip()]
        known = _meant_before(store, run, head := sha256(raw))
        if known is None:
            data: Json = {"lines": lines, "head": head}
            store.append(Draft(run=run, actor=actor, type=Type.SPOOL_MERGED, data=data))
        for line in [line for line in lines if "type" in line][known or 0 :]:
            meant = Draft(run=run, actor=Actor(**line["actor"]), type=Type(line["type"]), data=line["data"])
            store.append(meant.model_copy(update={"data": {**meant.data, "spooled_at": line["at"]}}))
        path.rename(path.with_suffix(".merged"))
    return len(lines)


def _read(line: bytes) -> Json:
    """One line; half of one, which a power cut leaves, is kept as it is and means nothing."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"torn": redact.text(line.decode("utf-8", "replace"))}


def _meant_before(store: Store, run: str, head: str) -> int | None:
    """How many lines of this spool an interrupted merge already took in; None where it had not begun."""
    events = [Event.parse(line) for line in store.lines(run)]
    begun = [e.seq for e in events if e.type is Type.SPOOL_MERGED and e.data.get("head") == head]
    return sum("spooled_at" in e.data for e in events[begun[-1] :]) if begun else None


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The spool, to oneself, made when it is not there. One that is merged while we wait is let go for a new one."""
    while True:
        with path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return
