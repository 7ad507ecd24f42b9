"""Where a rollback writes when the store cannot be written: a synced local file, merged later as one event."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from deploykit import redact
from deploykit.journal import clock
from deploykit.journal.events import Actor, Draft, Type
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
        with path.open("ab") as stream:
            stream.write(line)
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
    raw = path.read_bytes()
    lines = [json.loads(line) for line in raw.splitlines() if line.strip()]
    data: Json = {"lines": lines, "head": sha256(raw)}
    store.append(Draft(run=run, actor=actor, type=Type.SPOOL_MERGED, data=data))
    for line in lines:
        meant = Draft(run=run, actor=Actor(**line["actor"]), type=Type(line["type"]), data=line["data"])
        store.append(meant.model_copy(update={"data": {**meant.data, "spooled_at": line["at"]}}))
    path.rename(path.with_suffix(".merged"))
    return len(lines)
