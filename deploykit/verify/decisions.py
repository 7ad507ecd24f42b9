"""Each decision of an archive, held against the same rules as when it was made, and the journal as it was then."""

from __future__ import annotations

from datetime import datetime

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import Event, Type
from deploykit.journal.state import State
from deploykit.model import DecisionKind
from deploykit.signoff import kept, rules
from deploykit.signoff.statement import LOCK, PLAN
from deploykit.verify.folder import Folder

#: Phases whose actions do not change production, or bring it back.
_UNAPPROVED = ("prepare.", "rollback.")


def decisions(archive: Folder) -> None:
    """Every decision: its signature, its signer, its place in the journal."""
    state, people = State(), archive.people()
    for event in archive.events:
        archive.attempt(
            f"decision on {event.step or event.item or LOCK}",
            lambda event=event: _decision(archive, event, state, people),  # type: ignore[misc] # mypy infers no lambda's default
        )
        state.add(event)


def _decision(archive: Folder, event: Event, before: State, people: rules.People) -> None:
    decision = rules.decision(event)
    if decision is None:
        if event.type is Type.DECISION_REVOKED:
            raise BrokenRecordError("nobody signed that it is revoked", where=f"line {event.seq}")
        return
    at, plan = datetime.fromisoformat(event.at), archive.known_plan()
    statement = kept.proved(archive.path, decision, archive.signers, at)
    rules.check(statement, plan, people, at)
    rules.check_history(statement, plan, before, archive.events, at)


def approval(archive: Folder) -> None:
    """Whether production was only touched under an approved plan; sending traffic back never asks for one."""
    approved = False
    for event in archive.events:
        if event.item == PLAN and event.type in {Type.DECISION_MADE, Type.DECISION_REVOKED}:
            approved = event.data.get("kind") == DecisionKind.SIGNED.value
        elif event.type is Type.STEP_INTENDED and not approved and not event.item.startswith(_UNAPPROVED):
            archive.warn(f"{event.step}: began at event {event.seq} without an approved plan")
