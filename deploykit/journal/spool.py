"""Where a rollback writes when the store cannot be written: synced local files, merged later as one event.

Each entry is a file of its own, so that writing one waits for nobody, not even for who merges. What is spooled counts
from that moment: `Run.state` reads it, so that no forward step is begun past a rollback that the store never heard of.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploykit import redact
from deploykit.journal import clock
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.store import Store
from deploykit.model import Json, canonical, sha256

_ENTRY = ".json"


def _folder(state: Path) -> Path:
    return state / "spool"


def write(state: Path, run: str, actor: Actor, kind: Type, data: Json) -> None:
    """Add one entry. When even that fails it goes to stderr: what happened is always said somewhere."""
    reading = clock.read()
    said = {**reading._asdict(), "actor": actor.model_dump(), "type": kind.value, "data": redact.tree(data)}
    line = canonical(said) + b"\n"
    # In the order of their time, and no two alike.
    name = f"{run}@{reading.at.replace(':', '')}-{reading.boot_ns}-{secrets.token_hex(4)}{_ENTRY}"
    try:
        _folder(state).mkdir(parents=True, exist_ok=True)
        _synced(_folder(state) / name, line)
    except OSError as error:
        sys.stderr.write(f"deploykit: neither store nor spool can be written ({error}): {line.decode()}")


def _synced(path: Path, line: bytes) -> None:
    """Whole or not there: who merges at this moment must not meet half of it."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("xb") as stream:
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def waiting(state: Path, run: str) -> tuple[Json, ...]:
    """The entries of a run that are not merged yet, in their order."""
    found: list[Json] = []
    for path in _entries(state, run):
        with suppress(FileNotFoundError):  # merged meanwhile, so the journal has it
            found.append(_read(path))
    return tuple(found)


def merge(store: Store, run: str, actor: Actor) -> int:
    """Take what was spooled into the journal: one event that holds the lines and their hash, and what they mean.

    All of it is one transaction, so that a merge that breaks off has happened or not.

    Returns:
        How many entries were merged.
    """
    if not _entries(store.folder, run):
        return 0
    with _alone(store.folder):
        entries = _entries(store.folder, run)
        merged = _merged_before(store, run)
        new = [path for path in entries if path.name not in merged]
        if new:
            lines = [_read(path) for path in new]
            head = sha256(b"".join(path.read_bytes() for path in new))
            data: Json = {"files": [path.name for path in new], "lines": [*lines], "head": head}
            meant = [_meaning(run, line) for line in lines if "type" in line]
            store.append(Draft(run=run, actor=actor, type=Type.SPOOL_MERGED, data=data), *meant)
        for path in entries:
            path.rename(path.with_suffix(".merged"))
    return len(new)


def _entries(state: Path, run: str) -> list[Path]:
    return sorted(_folder(state).glob(f"{run}@*{_ENTRY}"))


def _read(path: Path) -> Json:
    """One entry; half of one, which a power cut leaves, is kept as it is and means nothing."""
    raw = path.read_bytes()
    try:
        return dict(json.loads(raw))
    except ValueError:
        return {"torn": redact.text(raw.decode("utf-8", "replace"))}


def _meaning(run: str, line: Json) -> Draft:
    said: Any = line
    data: Json = {**said["data"], "spooled_at": said["at"]}
    return Draft(run=run, actor=Actor(**said["actor"]), type=Type(said["type"]), data=data)


def _merged_before(store: Store, run: str) -> set[str]:
    """The files of merges that were committed, and broken off before their files were put away."""
    events = [Event.parse(line) for line in store.lines(run)]
    files: list[Any] = [e.data.get("files", []) for e in events if e.type is Type.SPOOL_MERGED]
    return {str(name) for names in files for name in names}


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One process merges at a time. Writing waits for none of them."""
    with (_folder(state) / "merging.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
