"""What is learnt after the seal: numbered folders beside what was sealed, each signed, each naming the one before."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from deploykit import redact
from deploykit.errors import BrokenRecordError, RefusedError, UsageError
from deploykit.files import write_atomically
from deploykit.journal.events import Type
from deploykit.journal.store import stored
from deploykit.model import Record, canonical, now, sha256
from deploykit.run import Run
from deploykit.seal import SEAL, SUMS, seal, sums_of
from deploykit.signoff import ssh
from deploykit.signoff.gate import allowed_signers
from deploykit.signoff.kept import ADDED, ADDENDA

NOTE = "note.json"


class Note(Record):
    """What an addendum says.

    Attributes:
        signer: The principal who signed its list.
    """

    run: str
    number: int
    at: AwareDatetime
    signer: str
    text: str

    @property
    def data(self) -> bytes:
        """It as its file has it."""
        return canonical(self.model_dump(mode="json")) + b"\n"

    @classmethod
    def parse(cls, data: bytes, where: str) -> Note:
        """Read one back.

        Raises:
            BrokenRecordError: It is none, or not in canonical form.
        """
        try:
            note = cls.model_validate_json(data)
        except ValidationError as error:
            raise BrokenRecordError(f"not a note: {error.error_count()} faults", where=where) from error
        if note.data != data:
            raise BrokenRecordError("not in canonical form", where=where)
        return note


def add(run: Run, text: str, key: Path, more: Mapping[str, bytes] | None = None) -> Path:
    """Write an addendum to a sealed run, whole or not at all.

    Args:
        run: The run.
        text: What was learnt.
        key: Whose word it is; with a public one the agent signs.
        more: Further files, by name.

    Returns:
        Its folder.

    Raises:
        UsageError: The run is not sealed, or there is nothing to say.
        RefusedError: A secret stands in a file.
    """
    if not (run.folder / SEAL).exists():
        raise UsageError("the run is not sealed", where=run.id, mend=f"deploykit close {run.plan.number}")
    if not text.strip():
        raise UsageError("there is nothing to write down", where="note", mend='deploykit note RUN "what happened"')
    signer = ssh.principal_of_key(key, allowed_signers(run))
    number = len(folders(run.folder)) + 1
    note = Note(run=run.id, number=number, at=now(), signer=signer, text=redact.text(text))
    files = {NOTE: note.data, **(more or {})}
    run.settings.learn()
    for name, data in files.items():
        if redact.found(data.decode("utf-8", "replace")):
            raise RefusedError("a secret stands in this file", where=name, mend="take it out")
    target = run.folder / ADDENDA / str(number)
    with stored(target), tempfile.TemporaryDirectory(prefix=".addendum-", dir=run.folder.parent) as made:
        _write(Path(made), before(run.folder, number), files, key)
        target.parent.mkdir(exist_ok=True)
        # Two at once: the second finds a folder there, and fails.
        Path(made).rename(target)
    sums = sha256((target / SUMS).read_bytes())
    run.append(Type.NOTE_WRITTEN, data={"text": note.text, "addendum": number, "sums": sums})
    return target


def folders(folder: Path) -> tuple[Path, ...]:
    """The addenda of a sealed run, in their order."""
    found = (path for path in (folder / ADDENDA).glob("*") if path.name.isdecimal())
    return tuple(sorted(found, key=lambda path: int(path.name)))


def before(folder: Path, number: int) -> tuple[str, str]:
    """The list that an addendum has to name: the one before it, as seen from its folder, and that list's hash."""
    name = f"../{number - 1}/{SUMS}" if number > 1 else f"../../{SUMS}"
    path = folder / ADDENDA / str(number - 1) / SUMS if number > 1 else folder / SUMS
    return name, sha256(path.read_bytes())


def _write(folder: Path, named: tuple[str, str], files: Mapping[str, bytes], key: Path) -> None:
    folder.chmod(0o755)
    for name, data in files.items():
        write_atomically(folder / name, data)
    seal(folder, {**sums_of(folder), named[0]: named[1]}, key, ssh.Namespace.ADDENDUM)


def attached(paths: tuple[Path, ...]) -> dict[str, bytes]:
    """Files to be kept with a note, by name.

    Raises:
        UsageError: Two have one name, or one that is taken.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        if path.name in {*found, NOTE, *ADDED, SUMS, SEAL}:
            raise UsageError(f"there is a {path.name} already", where="note", mend="give it another name")
        found[path.name] = path.read_bytes()
    return found
