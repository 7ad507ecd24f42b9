"""A run's events as sentences, for whoever reads what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from deploykit.journal.events import Event, Type
from deploykit.journal.words import BY_PERSON
from deploykit.model import Answer, DecisionKind, Outcome


@dataclass(frozen=True)
class Moment:
    """One line of what happened.

    Attributes:
        tone: `good`, `bad`, `care` or `plain`, beside the words and never instead of them.
        who: Who or what acted.
    """

    seq: int
    at: datetime
    who: str
    what: str
    tone: str = "plain"


def moments(events: Iterable[Event]) -> Iterator[Moment]:
    """What is worth telling. Of the judge's looks, only those that say something else than the one before."""
    before = Answer.PASS.value
    for event in events:
        if event.type is Type.VERDICT_GIVEN:
            answer = _said(event, "answer")
            if answer == before:
                continue
            before = answer
        told = _TELL.get(event.type)
        if told is None:
            continue
        what, tone = told(event)
        who = f"{event.actor.kind} {event.actor.id}"
        yield Moment(event.seq, datetime.fromisoformat(event.at), who, what, tone)


def _said(event: Event, *names: str) -> str:
    """The first of these that the event says."""
    return next((str(event.data[name]) for name in names if event.data.get(name)), "")


def _and(sentence: str, more: str) -> str:
    return f"{sentence}: {more}" if more else sentence


def _settled(event: Event) -> tuple[str, str]:
    outcome = _said(event, "outcome")
    tone = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.UNKNOWN: "bad", Outcome.ERROR: "bad"}
    tone[Outcome.INCONCLUSIVE] = "care"
    return _and(f"{event.item}: {outcome}", _said(event, "summary")), tone.get(Outcome(outcome), "plain")


def _decided(event: Event) -> tuple[str, str]:
    kind = _said(event, "kind")
    tone = {DecisionKind.SIGNED: "good", DecisionKind.REFUSED: "bad"}.get(DecisionKind(kind), "care")
    return _and(f"{event.item} {kind} by {_said(event, 'signer')}", _said(event, "comment")), tone


def _ended(event: Event) -> tuple[str, str]:
    status = _said(event, "status")
    return _and(f"run ended: {status}", _said(event, "reason", "summary")), "good" if status == "done" else "bad"


def _phase_ended(event: Event) -> tuple[str, str]:
    result = _said(event, "result")
    return _and(f"phase {event.item} ended", result), "good" if result == "passed" else "bad"


def _judged(event: Event) -> tuple[str, str]:
    answer = _said(event, "answer")
    tone = {Answer.PASS.value: "good", Answer.HOLD.value: "care"}.get(answer, "bad")
    return _and(f"judge on {event.step or event.item}: {answer}", _said(event, "reason")), tone


def _archived(event: Event) -> tuple[str, str]:
    status = _said(event, "status") or "kept as a person left it"
    known = {"completed": "plain", "kept as a person left it": "plain"}
    return _and(f"notebook {_said(event, 'name')}: {status}", _said(event, "reason")), known.get(status, "bad")


def _ended_step(event: Event) -> tuple[str, str]:
    """How a step ended, and who says so where it was not seen."""
    step, by = event.step or event.item, _said(event, "by")
    happened = event.type is Type.STEP_HAPPENED
    if by:
        comment = _comment(event)
        return _and(f"{step} {'happened' if happened else 'did not happen'}, says a {by}", comment), "care"
    if happened:
        return _and(f"{step} happened", _said(event, "summary")), "good"
    return _and(f"{step} was refused by the outside system", _said(event, "reason", "summary", "error")), "bad"


def _broken(event: Event) -> tuple[str, str]:
    return _and("the lock was broken", _comment(event)), "bad"


def _guarded(event: Event) -> tuple[str, str]:
    reason = _said(event, "reason")
    return _and("guard started", reason), "care" if reason else "plain"


def _answered(sentence: str, tone: str) -> Callable[[Event], tuple[str, str]]:
    """What became of an earlier decision, by whom and why."""

    def told(event: Event) -> tuple[str, str]:
        who = f" by {event.actor.id}" if event.data.get("by") == BY_PERSON else ""
        return _and(sentence.format(item=event.item) + who, _comment(event) or _said(event, "reason")), tone

    return told


def _comment(event: Event) -> str:
    decision = event.data.get("decision")
    return str(decision.get("comment", "")) if isinstance(decision, dict) else ""


def _tell(sentence: str, tone: str, *names: str) -> Callable[[Event], tuple[str, str]]:
    """A sentence with the event's item and step filled in, and what it says under one of these names."""

    def told(event: Event) -> tuple[str, str]:
        return _and(sentence.format(item=event.item, step=event.step or event.item), _said(event, *names)), tone

    return told


_TELL: dict[Type, Callable[[Event], tuple[str, str]]] = {
    Type.RUN_OPENED: _tell("run opened", "plain", "release"),
    Type.RUN_ENDED: _ended,
    Type.RUN_SEALED: _tell("archive sealed", "plain"),
    Type.PHASE_STARTED: _tell("phase {item} started", "plain"),
    Type.PHASE_ENDED: _phase_ended,
    Type.NOTEBOOK_ARCHIVED: _archived,
    Type.STEP_HAPPENED: _ended_step,
    Type.STEP_REJECTED: _ended_step,
    Type.STEP_UNKNOWN: _tell("{step} ended unseen", "bad", "reason", "summary", "error"),
    Type.ITEM_SETTLED: _settled,
    Type.VERDICT_GIVEN: _judged,
    Type.DECISION_MADE: _decided,
    Type.DECISION_REVOKED: _answered("decision on {item} revoked", "care"),
    Type.DECISION_REVIEWED: _answered("override of {item} reviewed", "good"),
    Type.ROLLBACK_ASKED: _tell("rollback asked", "bad", "reason"),
    Type.TRAFFIC_RETURNED: _tell("traffic returned to live", "bad", "reason"),
    Type.DRIFT_FOUND: _tell("drift", "bad", "text"),
    Type.LOCK_BROKEN: _broken,
    Type.GUARD_STARTED: _guarded,
    Type.NOTE_WRITTEN: _tell("note", "plain", "text", "note"),
    Type.WITNESS_GIVEN: _tell("journal witnessed", "plain", "place"),
    Type.SPOOL_MERGED: _tell("entries made while the journal could not be written were merged", "care", "reason"),
}
