from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from deploykit.journal.events import GENESIS, Actor, Event, Type
from deploykit.journal.state import Status, StepPhase, fold
from deploykit.model import DecisionKind, Json, Outcome

ITEM, STEP = "blue-green.traffic", "blue-green.traffic/10"


def event(kind: Type, data: Json | None = None, *, item: str = "", step: str = "", op: str = "") -> Event:
    return Event(
        run="r-7f3a",
        seq=1,
        at="2026-11-23T03:10:00.000Z",
        boot="b",
        boot_ns=1,
        actor=Actor(kind="runner", id="shop"),
        host="h",
        type=kind,
        item=item,
        step=step,
        op=op,
        data=data or {},
        prev=GENESIS,
    )


def settled(outcome: Outcome) -> Event:
    said: Json = {"outcome": outcome.value, "summary": "it did", "mend": "", "evidence": "0" * 64}
    return event(Type.ITEM_SETTLED, said, item=ITEM)


def decided(kind: DecisionKind) -> Event:
    said: Json = {"kind": kind.value, "signer": "ada", "statement": "0" * 64, "at": "2026-11-23T03:10:00Z"}
    return event(Type.DECISION_MADE, said, item=ITEM)


def steps(*kinds: Type) -> Iterable[Event]:
    return [event(kind, item=ITEM, step=STEP, op="op-1") for kind in kinds]


def test_a_run_without_events_is_open_and_nothing_is_known() -> None:
    state = fold([])
    assert (state.status, state.sealed, state.last) == (Status.OPEN, False, None)
    assert not state.opens(ITEM)


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_alone_opens_as_the_outcome_says(outcome: Outcome) -> None:
    assert fold([settled(outcome)]).opens(ITEM) == outcome.opens


@pytest.mark.parametrize("outcome", [o for o in Outcome if not o.opens])
def test_an_override_opens_everything_but_an_unknown_end(outcome: Outcome) -> None:
    assert fold([settled(outcome), decided(DecisionKind.OVERRIDDEN)]).opens(ITEM) == (outcome is not Outcome.UNKNOWN)


@pytest.mark.parametrize("kind", [DecisionKind.SIGNED, DecisionKind.REFUSED])
def test_no_other_decision_opens_what_did_not_pass(kind: DecisionKind) -> None:
    assert not fold([settled(Outcome.FAIL), decided(kind)]).opens(ITEM)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_refusal_shuts_whatever_the_outcome_says(outcome: Outcome) -> None:
    assert not fold([settled(outcome), decided(DecisionKind.REFUSED)]).opens(ITEM)


@pytest.mark.parametrize(("seconds", "opens"), [(-1, True), (0, False), (1, False)])
def test_an_override_counts_until_it_expires_at_the_moment_of_use(seconds: int, *, opens: bool) -> None:
    until = datetime(2026, 11, 24, 3, 10, tzinfo=UTC)
    override = decided(DecisionKind.OVERRIDDEN)
    lasting = override.model_copy(update={"data": {**override.data, "until": until.isoformat()}})
    state = fold([settled(Outcome.FAIL), lasting])
    assert state.opens(ITEM, until + timedelta(seconds=seconds)) == opens


def test_a_step_remembers_what_it_was_about_to_do_and_how_many_operations_there_were() -> None:
    first = event(Type.STEP_INTENDED, {"to": "blue"}, item=ITEM, step=STEP, op="op-1")
    again = [first, event(Type.STEP_UNKNOWN, item=ITEM, step=STEP, op="op-1"), first]
    other = event(Type.STEP_INTENDED, {"to": "green"}, item=ITEM, step=STEP, op="op-2")
    known = fold([*again, event(Type.STEP_HAPPENED, {"facts": 1}, item=ITEM, step=STEP, op="op-1")]).steps[STEP]
    assert (known.intent, known.intended, known.tries, known.data) == ({"to": "blue"}, first.hash, 1, {"facts": 1})
    known = fold([*again, event(Type.STEP_REJECTED, item=ITEM, step=STEP, op="op-1"), other]).steps[STEP]
    assert (known.intent, known.intended, known.tries) == ({"to": "green"}, other.hash, 2)


def test_an_item_that_was_never_settled_cannot_be_overridden() -> None:
    assert not fold([decided(DecisionKind.OVERRIDDEN)]).opens(ITEM)


def test_a_revoked_override_no_longer_opens() -> None:
    state = fold([settled(Outcome.FAIL), decided(DecisionKind.OVERRIDDEN), event(Type.DECISION_REVOKED, item=ITEM)])
    assert not state.opens(ITEM)
    assert state.decisions == {}


def test_the_newest_outcome_counts() -> None:
    assert fold([settled(Outcome.FAIL), settled(Outcome.PASS)]).items[ITEM].outcome is Outcome.PASS
    assert fold([settled(Outcome.PASS), settled(Outcome.FAIL)]).items[ITEM].outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("kinds", "phase", "unknown"),
    [
        ([Type.STEP_INTENDED], StepPhase.INTENDED, [STEP]),
        ([Type.STEP_INTENDED, Type.STEP_UNKNOWN], StepPhase.UNKNOWN, [STEP]),
        ([Type.STEP_INTENDED, Type.STEP_HAPPENED], StepPhase.HAPPENED, []),
        ([Type.STEP_INTENDED, Type.STEP_REJECTED], StepPhase.REJECTED, []),
        ([Type.STEP_INTENDED, Type.STEP_UNKNOWN, Type.STEP_HAPPENED], StepPhase.HAPPENED, []),
        ([Type.STEP_INTENDED, Type.STEP_REJECTED, Type.STEP_INTENDED], StepPhase.INTENDED, [STEP]),
    ],
)
def test_a_step_without_an_end_is_unknown(kinds: list[Type], phase: StepPhase, unknown: list[str]) -> None:
    state = fold(steps(*kinds))
    assert state.steps[STEP].phase is phase
    assert [step.step for step in state.unknown] == unknown


def test_phases_rollback_end_and_seal_are_taken_in() -> None:
    events = [
        event(Type.PHASE_STARTED, item="blue-green"),
        event(Type.PHASE_ENDED, {"result": "held"}, item="blue-green"),
        event(Type.ROLLBACK_ASKED, {"reason": "errors rose"}),
        event(Type.TRAFFIC_RETURNED, {"reason": "rollback"}),
        event(Type.RUN_ENDED, {"status": "rolled-back"}),
        event(Type.RUN_SEALED),
    ]
    state = fold(events)
    assert (state.started, state.phases) == ({"blue-green"}, {"blue-green": "held"})
    assert (state.rolled_back, state.returned) == ("errors rose", "rollback")
    assert (state.status, state.sealed, state.last) == (Status.ROLLED_BACK, True, events[-1])


@pytest.mark.parametrize(("asked", "open_again"), [({}, False), ({"database": True}, True), ({"stop": True}, True)])
def test_what_a_rollback_did_not_need_is_looked_at_anew_when_it_is_asked_for(asked: Json, *, open_again: bool) -> None:
    """Else a rollback with the database, after one without it, would do nothing and pass."""
    spared = settled(Outcome.NOT_NEEDED).model_copy(update={"item": "rollback.migration"})
    done = settled(Outcome.PASS).model_copy(update={"item": "rollback.platform"})
    other = settled(Outcome.NOT_NEEDED).model_copy(update={"item": "database.migrate"})
    first = event(Type.ROLLBACK_ASKED, {"reason": "errors"})
    state = fold([first, spared, done, other, event(Type.ROLLBACK_ASKED, {"reason": "again", **asked})])
    assert ("rollback.migration" not in state.items) is open_again
    assert {"rollback.platform", "database.migrate"} <= set(state.items)


def test_every_type_can_be_folded_without_changing_what_it_does_not_concern() -> None:
    only_read = [Type.RUN_OPENED, Type.NOTE_WRITTEN, Type.LOCK_TAKEN, Type.LOCK_RELEASED, Type.VERDICT_GIVEN]
    only_read += [
        Type.LOCK_BROKEN,
        Type.DRIFT_FOUND,
        Type.GUARD_STARTED,
        Type.WITNESS_GIVEN,
        Type.SPOOL_MERGED,
        Type.NOTEBOOK_ARCHIVED,
    ]
    state = fold([event(kind) for kind in only_read])
    assert (state.items, state.steps, state.phases, state.status) == ({}, {}, {}, Status.OPEN)
