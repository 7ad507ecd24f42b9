"""The seal: the list of files is the signed one, each file is what it was, and the journal ends there."""

from __future__ import annotations

from datetime import datetime

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import Event, Type
from deploykit.model import sha256
from deploykit.seal import HEAD, SEAL, SUMS, files, read_sums
from deploykit.signoff import rules, ssh
from deploykit.signoff.kept import ADDENDA
from deploykit.verify.folder import Folder

#: What may come after the seal in a journal that went on.
_AFTER_SEAL = {Type.WITNESS_GIVEN, Type.NOTE_WRITTEN, Type.LOCK_RELEASED}


def listed(archive: Folder) -> None:
    """The list of files is the sealed one, and each is what it was."""
    sums = read_sums(archive.read(SUMS))
    there = {name.as_posix() for name in files(archive.path) if name.parts[0] != ADDENDA}
    for name in sorted(set(sums) - there):
        archive.find(f"files: {name}: was sealed and is missing")
    for name in sorted(there - set(sums)):
        archive.find(f"files: {name}: is not in the seal")
    for name in sorted(there & set(sums)):
        if sha256((archive.path / name).read_bytes()) != sums[name]:
            archive.find(f"files: {name}: was changed since the seal")


def head(archive: Folder) -> None:
    """HEAD names the journal's end, and the end is the seal."""
    last = archive.end()
    if archive.read(HEAD) != f"{last.seq} {last.hash}\n".encode():
        raise BrokenRecordError("is not the end of the journal", where=HEAD)
    sealing(archive)


def sealing(archive: Folder) -> Event:
    """The event that sealed the run.

    Raises:
        BrokenRecordError: There is not exactly one, or the run went on after it.
    """
    seals = list(archive.of_type(Type.RUN_SEALED))
    if len(seals) != 1:
        raise BrokenRecordError(f"has {len(seals)} events that seal the run", where="journal.jsonl")
    for event in archive.events[seals[0].seq :]:
        if event.type not in _AFTER_SEAL:
            raise BrokenRecordError(f"{event.type} after the seal", where=f"journal.jsonl, line {event.seq}")
    return seals[0]


def seal(archive: Folder) -> None:
    """The list of files was signed by the operator, or by somebody of the team."""
    at = datetime.fromisoformat(sealing(archive).at)
    signed_list(archive, archive.read(SUMS), archive.read(SEAL), ssh.Namespace.SEAL, at)
    archive.seal_holds = True


def signed_list(archive: Folder, sums: bytes, signature: bytes, namespace: ssh.Namespace, at: datetime) -> str:
    """Who of the team signed a list.

    Raises:
        BrokenRecordError, RefusedError: Nobody did.
    """
    signer = ssh.principal_of(signature, archive.signers, at)
    ssh.verify(sums, signature, signer, namespace, archive.signers, at)
    plan = archive.known_plan()
    if signer != plan.operator:
        rules.require_person(signer, plan, archive.people())
    return signer
