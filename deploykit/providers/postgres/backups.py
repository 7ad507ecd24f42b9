"""The folder of backups: `NAME.dump`, and beside those of deploykit a note of what production held at that moment."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from deploykit.errors import Rejected
from deploykit.ports.database import Backup, Contents
from deploykit.providers.postgres.programs import Programs
from deploykit.providers.postgres.reading import contents

SUFFIX = ".dump"
WHERE = "environments.NAME.database.backups"


def listed(folder: Path) -> tuple[Backup, ...]:
    """All backups, the newest first.

    Raises:
        Rejected: The folder cannot be read.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix == SUFFIX and path.is_file()]
        backups = [_told(path) for path in found if not path.name.startswith(".")]
    except OSError as error:
        mend = "name the folder that the backups are in"
        raise Rejected(f"{folder} cannot be read: {error.strerror}", where=WHERE, mend=mend) from error
    return tuple(sorted(backups, key=lambda backup: backup.made_at, reverse=True))


def make(conninfo: str, folder: Path, name: str, programs: Programs) -> Backup:
    """Dump the database and note what is in it, of one snapshot; both are there as a whole or not at all.

    Raises:
        Rejected: The name is taken, or the folder cannot be written.
        ProviderError: It could not be made.
    """
    target = folder / (name + SUFFIX)
    part = folder / f".{name}.{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            raise Rejected(f"{target.name} is there already", where=WHERE, mend="look at it")
        part.touch(mode=0o600)
        held = contents(conninfo, programs, dump=part)
        note = {"sum": checksum(part), "contents": {**asdict(held), "tables": dict(held.tables)}}
        _note(target).write_text(json.dumps(note), "utf-8")
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(target)  # last: who sees it, sees the note too
    except OSError as error:
        raise Rejected(f"cannot be written: {error.strerror}", where=WHERE, mend=f"look at {folder}") from error
    finally:
        part.unlink(missing_ok=True)
    return _told(target)


def file_of(folder: Path, backup: Backup) -> Path:
    """The file of a backup, whose bytes are the ones that were noted.

    Raises:
        Rejected: They are not, or it is not there.
    """
    path = folder / (backup.name + SUFFIX)
    try:
        good = not backup.sum or checksum(path) == backup.sum
    except OSError as error:
        raise Rejected(f"{path.name} cannot be read: {error.strerror}", where=WHERE, mend="look at it") from error
    if not good:
        raise Rejected(f"{path.name} is not what was written", where=WHERE, mend="take another backup")
    return path


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _told(path: Path) -> Backup:
    seen = path.stat()
    made_at = datetime.fromtimestamp(seen.st_mtime, UTC)
    name = path.name.removesuffix(SUFFIX)
    if not _note(path).is_file():
        return Backup(name, seen.st_size, made_at)
    try:
        note = json.loads(_note(path).read_text("utf-8"))
        told = note["contents"]
        tables = {str(table): int(rows) for table, rows in told["tables"].items()}
        held = Contents(str(told["revision"]), tables, tuple(map(str, told["schema"])))
        return Backup(name, seen.st_size, made_at, str(note["sum"]), held)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Rejected(f"{_note(path).name} is not a note of deploykit", where=WHERE, mend="look at it") from error
