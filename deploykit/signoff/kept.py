"""What people signed, as it lies in a run's folder: the exact bytes and their signatures."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path

from deploykit.errors import BrokenRecordError
from deploykit.model import Decision, Plan, canonical, sha256
from deploykit.settings import PersonSettings
from deploykit.signoff import ssh
from deploykit.signoff.statement import Statement

#: Where the operator's signature on the plan is kept.
PLAN_SIGNATURE = "signatures/plan.sig"
#: What was learnt after the seal; and what a statement that was signed then, and its signature, are called there.
ADDENDA, ADDED = "addenda", ("statement.json", "statement.sig")


def sign_plan(plan: Plan, key: Path) -> bytes:
    """The operator's own signature on the plan's file, to be kept as `PLAN_SIGNATURE`."""
    return ssh.sign(plan_bytes(plan), key, ssh.Namespace.PLAN)


def plan_bytes(plan: Plan) -> bytes:
    """The plan exactly as it is written to its file."""
    return canonical(plan.model_dump(mode="json")) + b"\n"


def names(digest: str) -> tuple[str, str]:
    """Where a statement and its signature lie, by the statement's hash."""
    return f"statements/{digest}.json", f"signatures/{digest}.sig"


def load(folder: Path, digest: str) -> Statement:
    """A statement of a run's folder, by its hash.

    Raises:
        BrokenRecordError: It is missing, or not what its name says.
    """
    where, _ = _places(folder, digest)
    data = _read(folder, where, "a signed statement")
    if sha256(data) != digest:
        raise BrokenRecordError("a signed statement is not what its name says", where=where)
    return Statement.parse(data)


def load_signature(folder: Path, digest: str) -> bytes:
    """The signature of a statement, by the statement's hash.

    Raises:
        BrokenRecordError: It is missing.
    """
    return _read(folder, _places(folder, digest)[1], "a signature")


def _places(folder: Path, digest: str) -> tuple[str, str]:
    """Where they lie; what was signed after the seal lies in an addendum."""
    usual = names(digest)
    if (folder / usual[0]).exists():
        return usual
    for path in folder.glob(f"{ADDENDA}/*/{ADDED[0]}"):
        if sha256(path.read_bytes()) == digest:
            place = path.parent.relative_to(folder)
            return f"{place}/{ADDED[0]}", f"{place}/{ADDED[1]}"
    return usual


def proved(folder: Path, decision: Decision, allowed_signers: Path, at: datetime | None = None) -> Statement:
    """The statement behind a decision, once its signature holds and it says the same.

    Args:
        folder: The run's folder.
        decision: As the journal has it.
        allowed_signers: Whose keys count.
        at: When the key must have been valid; None is now.

    Raises:
        BrokenRecordError: Statement or signature is missing, does not hold, or says something else.
    """
    statement = load(folder, decision.statement)
    signature = load_signature(folder, decision.statement)
    ssh.verify(statement.data, signature, decision.signer, statement.namespace, allowed_signers, at)
    if statement.decision != decision:
        raise BrokenRecordError("the journal says otherwise than the signed statement", where=decision.item)
    return statement


def people(settings: bytes) -> dict[str, PersonSettings]:
    """The team, from the bytes of a settings file."""
    known = tomllib.loads(settings.decode()).get("people", {})
    return {name: PersonSettings.model_validate(person) for name, person in known.items()}


def _read(folder: Path, name: str, what: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BrokenRecordError(f"{what} is missing", where=name) from error
