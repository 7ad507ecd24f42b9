"""What a person signs at the end: what went wrong, and what the runbook should learn from it."""

from __future__ import annotations

from deploykit.checklist import checklist
from deploykit.context import Context, data_of
from deploykit.model import Evidence, Json, Outcome, Result, Table

#: What is not simply as planned, and what to call it.
DEVIATIONS = {
    "note.written": "note",
    "step.unknown": "ended unseen",
    "step.rejected": "refused outside",
    "decision.revoked": "decision revoked",
    "traffic.returned": "traffic returned",
    "rollback.asked": "rollback asked",
    "spool.merged": "written while the journal could not be",
}
_TOLD_BY = ("reason", "text", "comment", "summary")


def issues(context: Context) -> Result:
    """`finish.issues`: every note and deviation that the journal holds, to be signed over; none is an answer too."""
    rows = [row for event in context.timeline() if (row := _deviation(event))]
    said = f"{len(rows)} notes and deviations" if rows else "no note and no deviation"
    return _to_sign("finish.issues", said, "What was not as planned", ("event", "what", "item", "why"), rows)


def runbook(context: Context) -> Result:
    """`finish.runbook`: the proposed changes of the runbook (`deploykit note --runbook`), or none."""
    notes = [event for event in context.timeline() if event["type"] == "note.written" and _said(event, "about")]
    rows = [(_number(event), _said(event, "text")) for event in notes]
    said = f"{len(rows)} changes are proposed" if rows else "no change is proposed"
    return _to_sign("finish.runbook", said, "Proposed changes", ("event", "change"), rows)


def _deviation(event: Json) -> tuple[int, str, str, str] | None:
    kind, item = str(event["type"]), str(event["item"])
    if item in _own():
        return None
    if kind in DEVIATIONS and not _said(event, "about"):
        return _number(event), DEVIATIONS[kind], str(event["step"] or item), _said(event, *_TOLD_BY)
    if kind == "item.settled" and _said(event, "outcome") in {"fail", "error", "inconclusive"} and not _asks(item):
        return _number(event), _said(event, "outcome"), item, _said(event, "summary")
    if kind == "decision.made" and _said(event, "kind") != "signed":
        return _number(event), _said(event, "kind"), item, _said(event, "comment")
    return None


def _own() -> set[str]:
    """The items of this phase: what is signed here must not change by being signed."""
    return {item.id for item in checklist().items("finish")}


def _asks(item: str) -> bool:
    """Whether an item's own answer is a signature, so that being without one is no deviation."""
    return any(known.id == item and not known.automated for known in checklist().item)


def _to_sign(
    item: str,
    said: str,
    title: str,
    columns: tuple[str, ...],
    rows: list[tuple[int, str]] | list[tuple[int, str, str, str]],
) -> Result:
    evidence = Evidence(facts={"journal": said}, tables=(Table(title=title, columns=columns, rows=tuple(rows)),))
    return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary=f"{said}: to be signed", evidence=evidence)


def _number(event: Json) -> int:
    return int(str(event["seq"]))


def _said(event: Json, *names: str) -> str:
    known = data_of(event)
    return next((str(known[name]) for name in names if known.get(name)), "")
