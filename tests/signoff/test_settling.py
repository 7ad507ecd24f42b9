"""What a person signs of an end that nobody saw, and of a lock whose holder is gone; and what `verify` says of both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploykit.errors import BrokenRecordError, LockedError, RefusedError, UsageError
from deploykit.journal import clock
from deploykit.journal.events import Type
from deploykit.journal.state import StepPhase
from deploykit.model import DecisionKind, Outcome, canonical
from deploykit.run import Run
from deploykit.signoff import rules, ssh
from deploykit.signoff.gate import require_approval
from deploykit.signoff.policy import accept, decide
from deploykit.signoff.statement import LOCK, PLAN, Choice, Statement, make
from deploykit.verify import verify
from tests.archive.archived import closed_with
from tests.signoff.team import Team, settle

HAPPENED, DID_NOT, BROKEN = DecisionKind.HAPPENED, DecisionKind.DID_NOT, DecisionKind.BROKEN
ITEM, STEP = "blue-green.deploy", "blue-green.deploy/one"


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    """A run with a step whose end nobody saw."""
    with team.run() as run:
        run.intend(item=ITEM, step=STEP, op="op-1", data={"to": "blue"})
        yield run


def signed(run: Run, team: Team, kind: DecisionKind, item: str, who: str = "dev", **predicate: object) -> None:
    """A statement made elsewhere, perhaps by somebody who means ill."""
    events = run.events()
    evidence = rules.shown(run.state(), STEP, HAPPENED) if kind.resolves else ()
    choice = Choice(item=item, kind=kind, signer=f"{who}@example.com", comment="looked")
    statement = make(run.plan, events[-1].head, choice, evidence, 60)
    data = json.loads(statement.data)
    data["predicate"].update(predicate)
    accept(run, canonical(data), ssh.sign(canonical(data), team.key(who), statement.namespace))


# --- resolving


@pytest.mark.parametrize(("kind", "phase"), [(HAPPENED, StepPhase.HAPPENED), (DID_NOT, StepPhase.REJECTED)])
@pytest.mark.parametrize("who", ["dev", "olga", "ann"])
def test_whoever_is_on_the_team_may_say_how_it_ended(
    run: Run, team: Team, kind: DecisionKind, phase: StepPhase, who: str
) -> None:
    made = decide(run, STEP, kind, key=team.key(who), comment="looked at the platform's page")
    event = run.events()[-1]
    assert (event.actor.kind, event.actor.id) == ("person", f"{who}@example.com")
    assert (event.item, event.step, event.op) == (ITEM, STEP, "op-1")
    assert run.state().steps[STEP].phase is phase
    assert run.state().unknown == ()
    assert list(rules.decisions(run.events())) == [(event, made)]
    statement = Statement.parse((run.folder / "statements" / f"{made.statement}.json").read_bytes())
    assert statement.namespace is ssh.Namespace.RESOLUTION
    assert statement.predicate.evidence == (run.state().steps[STEP].intended,)


@pytest.mark.parametrize(("who", "why"), [("stranger", "not on the team"), ("demo", "made for the demo")])
def test_nobody_else_says_how_it_ended(run: Run, team: Team, who: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        decide(run, STEP, HAPPENED, key=team.key(who))
    assert run.state().steps[STEP].phase is StepPhase.INTENDED


@pytest.mark.parametrize("step", ["blue-green.deploy", "blue-green.traffic/10", "nonsense"])
def test_only_a_step_whose_end_nobody_saw_is_resolved(run: Run, team: Team, step: str) -> None:
    with pytest.raises(UsageError, match="nothing to resolve: it was never begun") as caught:
        decide(run, step, HAPPENED, key=team.key("dev"))
    assert caught.value.mend == f"unknown is: {STEP}"


def test_it_is_resolved_once(run: Run, team: Team) -> None:
    decide(run, STEP, DID_NOT, key=team.key("dev"))
    with pytest.raises(UsageError, match="nothing to resolve: it rejected"):
        decide(run, STEP, HAPPENED, key=team.key("dev"))


def test_a_word_on_an_earlier_try_does_not_settle_a_later_one(run: Run, team: Team) -> None:
    events = run.events()
    choice = Choice(item=STEP, kind=DID_NOT, signer="dev@example.com")
    early = make(run.plan, events[-1].head, choice, rules.shown(run.state(), STEP, DID_NOT), 60)
    signature = ssh.sign(early.data, team.key("dev"), early.namespace)
    run.append(Type.STEP_REJECTED, item=ITEM, step=STEP, op="op-1")
    run.intend(item=ITEM, step=STEP, op="op-2", data={"to": "blue"})
    with pytest.raises(RefusedError, match="changed since it was shown"):
        accept(run, early.data, signature)


@pytest.mark.parametrize("namespace", [ssh.Namespace.ATTESTATION, ssh.Namespace.APPROVAL, ssh.Namespace.LOCK])
def test_a_signature_for_another_purpose_does_not_resolve(run: Run, team: Team, namespace: ssh.Namespace) -> None:
    choice = Choice(item=STEP, kind=HAPPENED, signer="dev@example.com")
    made = make(run.plan, run.events()[-1].head, choice, rules.shown(run.state(), STEP, HAPPENED), 60)
    with pytest.raises(BrokenRecordError, match="signed for"):
        accept(run, made.data, ssh.sign(made.data, team.key("dev"), namespace))


def test_a_sign_off_is_not_made_of_a_lock_nor_a_break_of_an_item(run: Run, team: Team) -> None:
    with pytest.raises(UsageError, match="lock cannot be signed"):
        decide(run, LOCK, DecisionKind.SIGNED, key=team.key("ann"))
    with pytest.raises(UsageError, match=r"blue-green\.deploy cannot be broken"):
        decide(run, ITEM, BROKEN, key=team.key("ann"), comment="why")


# --- breaking a lock


def later(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """So much time has passed since the last heartbeat."""
    real = clock.since
    patch.setattr(clock, "since", lambda then: real(then) + seconds)


def test_an_expired_lock_is_broken_with_a_reason_and_the_old_fence_is_void(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = run.lock
    with pytest.raises(RefusedError, match="counts as gone after 15 min"):
        decide(run, LOCK, BROKEN, key=team.key("dev"), comment="the laptop was stolen")
    later(monkeypatch, 901)
    with pytest.raises(RefusedError, match="broken without a reason"):
        decide(run, LOCK, BROKEN, key=team.key("dev"))
    made = decide(run, LOCK, BROKEN, key=team.key("dev"), comment="the laptop was stolen")
    event = run.events()[-1]
    assert (event.type, event.actor.id) == (Type.LOCK_BROKEN, "dev@example.com")
    assert list(rules.decisions(run.events())) == [(event, made)]
    assert fence is not None
    with pytest.raises(LockedError, match="no longer ours"):
        run.intend(item=ITEM, step=STEP, op="op-2", data={})
    assert run.store.take_lock(run.place, "another-run", "bob").fence == fence.fence + 2


def test_a_break_that_was_signed_before_the_holder_came_back_is_refused(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as silent:
        later(silent, 901)
        choice = Choice(item=LOCK, kind=BROKEN, signer="dev@example.com", comment="gone")
        made = make(run.plan, run.events()[-1].head, choice, (), 60)
    with pytest.raises(RefusedError, match="counts as gone"):
        accept(run, made.data, ssh.sign(made.data, team.key("dev"), made.namespace))


# --- a clock that jumped


def test_a_clock_that_jumped_refuses_approvals_and_takes_refusals(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    with team.run() as run:
        decide(run, PLAN, DecisionKind.SIGNED, key=team.key("ann"))
        real = clock.read
        ahead = datetime.now(UTC) + timedelta(seconds=62)
        monkeypatch.setattr(clock, "read", lambda: real()._replace(at=f"{ahead:%Y-%m-%dT%H:%M:%S}.000Z"))
        with pytest.raises(RefusedError, match="clock jumped"):
            require_approval(run)
        with pytest.raises(RefusedError, match="clock jumped"):
            decide(run, PLAN, DecisionKind.SIGNED, key=team.key("ann"))
        settle(run, ITEM, Outcome.FAIL)
        decide(run, PLAN, DecisionKind.REFUSED, key=team.key("dev"), comment="found a bug")


# --- an archive of all this


def test_an_archive_with_a_resolution_and_a_break_holds(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(run: Run) -> None:
        run.intend(item=ITEM, step=STEP, op="op-1", data={})
        decide(run, STEP, HAPPENED, key=team.key("dev"), comment="seen there")
        with monkeypatch.context() as silent:
            later(silent, 901)
            decide(run, LOCK, BROKEN, key=team.key("dev"), comment="the laptop was stolen")

    folder = closed_with(team, meanwhile)
    assert verify(folder, team.signers).wrong == ()


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        (Type.STEP_HAPPENED, {"by": "person"}, "what a person signed is not said"),
        (Type.LOCK_BROKEN, {"by": "person", "decision": {}}, "what a person signed is not said"),
        (
            Type.STEP_HAPPENED,
            {
                "by": "person",
                "decision": {
                    "kind": "happened",
                    "signer": "dev@example.com",
                    "statement": "0" * 64,
                    "at": "2026-11-23T03:10:00Z",
                },
            },
            "signed statement is missing",
        ),
    ],
)
def test_a_person_who_signed_nothing_is_found(team: Team, kind: Type, data: dict[str, str], why: str) -> None:
    def meanwhile(run: Run) -> None:
        run.intend(item=ITEM, step=STEP, op="op-1", data={})
        run.append(kind, item=ITEM, step=STEP, op="op-1", data=dict(data))

    found = verify(closed_with(team, meanwhile, last=True), team.signers).wrong
    assert why in "\n".join(found)


def test_a_word_that_was_turned_round_is_found(team: Team) -> None:
    """The statement says that it happened; the event, that it did not."""

    def meanwhile(run: Run) -> None:
        run.intend(item=ITEM, step=STEP, op="op-1", data={})
        made = decide(run, STEP, HAPPENED, key=team.key("dev"))
        run.intend(item=ITEM, step=STEP, op="op-2", data={})
        said = made.model_dump(mode="json", exclude={"item"})
        run.append(Type.STEP_REJECTED, item=ITEM, step=STEP, op="op-2", data={"by": "person", "decision": said})

    assert "step.rejected cannot rest on happened" in "\n".join(
        verify(closed_with(team, meanwhile), team.signers).wrong
    )
