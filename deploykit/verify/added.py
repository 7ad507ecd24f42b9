"""Addenda: each signed by somebody of the team, each naming the list before it, none missing between."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from deploykit import addenda
from deploykit.addenda import NOTE, Note
from deploykit.errors import BrokenRecordError, RefusedError
from deploykit.journal.state import State, fold
from deploykit.model import DecisionKind
from deploykit.seal import SEAL, SUMS, files, read_sums, sums_of
from deploykit.signoff import rules, ssh
from deploykit.signoff.kept import ADDED, ADDENDA
from deploykit.signoff.statement import Statement
from deploykit.verify.folder import Folder
from deploykit.verify.listed import sealing, signed_list


def added(archive: Folder) -> None:
    """Everything below `addenda/`."""
    folders = addenda.folders(archive.path)
    numbers = {str(number) for number in range(1, len(folders) + 1)}
    for name in files(archive.path):
        if name.parts[0] == ADDENDA and (len(name.parts) < 3 or name.parts[1] not in numbers):
            archive.find(f"files: {name}: belongs to no addendum, or one before it is missing")
    state, latest = fold(archive.events), datetime.fromisoformat(sealing(archive).at)
    for number, path in enumerate(folders, start=1):

        def check(path: Path = path, number: int = number) -> None:
            nonlocal latest
            latest = _note(archive, path, number, latest).at
            if (path / ADDED[0]).exists():
                _review(archive, path, state, latest)

        if path.name == str(number):
            archive.attempt(f"{ADDENDA}/{number}", check)


def _note(archive: Folder, path: Path, number: int, latest: datetime) -> Note:
    """An addendum whose list is whole, signed, and follows the one before."""
    sums = (path / SUMS).read_bytes()
    listed, (named, digest) = read_sums(sums), addenda.before(archive.path, number)
    if listed.pop(named, "") != digest:
        raise BrokenRecordError("does not name the list before it", where=SUMS)
    there = sums_of(path)
    for name in sorted(there.keys() | listed.keys()):
        if there.get(name) != listed.get(name):
            raise BrokenRecordError("was changed, added or removed since it was signed", where=name)
    note = Note.parse((path / NOTE).read_bytes(), NOTE)
    signer = signed_list(archive, sums, (path / SEAL).read_bytes(), ssh.Namespace.ADDENDUM, note.at)
    if (note.run, note.number, note.signer) != (archive.known_plan().run, number, signer):
        raise BrokenRecordError("says another run, number or signer than its place and signature", where=NOTE)
    if note.at < latest:
        raise BrokenRecordError("says that it is older than what is before it", where=NOTE)
    return note


def _review(archive: Folder, path: Path, state: State, at: datetime) -> None:
    """A review that was signed after the seal."""
    statement, plan = Statement.parse((path / ADDED[0]).read_bytes()), archive.known_plan()
    said, signature = statement.predicate, (path / ADDED[1]).read_bytes()
    if said.decision is not DecisionKind.REVIEWED:
        raise RefusedError(f"{said.decision} after the seal", where=ADDED[0])
    ssh.verify(statement.data, signature, said.signer, statement.namespace, archive.signers, at)
    rules.check(statement, plan, archive.people(), at)
    rules.check_history(statement, plan, state, archive.events, at)
    archive.reviewed.update(said.evidence)


def unreviewed(archive: Folder) -> None:
    """Overrides that nobody else has looked at, in the run or since."""
    for decision in fold(archive.events).words.to_review:
        if decision.statement not in archive.reviewed:
            archive.warn(f"{decision.item}: {decision.signer} overrode it, and nobody else has reviewed that")
