"""What somebody tries who has the store, the folder, a kernel or a key of their own: nothing of it opens anything."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from deploykit import archive
from deploykit.errors import BrokenRecordError, NotPassedError, OvertakenError, RefusedError, Waiting
from deploykit.execution import actions, run_action
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.store import FILE
from deploykit.model import Decision, DecisionKind, Evidence, Json, Outcome, canonical, now
from deploykit.run import Run
from deploykit.signoff import gate, kept, policy, ssh
from deploykit.signoff.gate import require_approval
from deploykit.signoff.policy import accept, decide, prepare
from deploykit.signoff.statement import PLAN, Choice, Statement
from tests.signoff.team import Team, settle
from tests.world import World, item

SIGNED, REFUSED, OVERRIDDEN = DecisionKind.SIGNED, DecisionKind.REFUSED, DecisionKind.OVERRIDDEN
REVOKED = DecisionKind.REVOKED
#: A sign-off, another one, and a check that failed.
ISSUES, RUNBOOK, ERRORS = "finish.issues", "finish.runbook", "watch.errors"

Attack = Callable[[Run, Team, pytest.MonkeyPatch], object]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Team:
    return Team(tmp_path_factory.mktemp("attacked"))


@pytest.fixture
def team(keys: Team) -> Iterator[Team]:
    """The team, with its file of keys and its settings as they were before."""
    listed, settings = list(keys.listed), (keys.home / "deploykit.toml").read_bytes()
    yield keys
    keys.listed = listed
    keys.write_signers()
    (keys.home / "deploykit.toml").write_bytes(settings)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    """A run with evidence to sign over, and a check that failed."""
    with team.run() as run:
        settle(run, ISSUES, Outcome.INCONCLUSIVE, Evidence(facts={"notes": 3}))
        settle(run, RUNBOOK, Outcome.INCONCLUSIVE, Evidence(facts={"pages": 1}))
        settle(run, ERRORS, Outcome.FAIL)
        yield run


def prepared(run: Run, what: str = PLAN, signer: str = "ann", kind: DecisionKind = SIGNED) -> Statement:
    why = "" if kind is SIGNED else "why not"
    return prepare(run, Choice(item=what, kind=kind, signer=f"{signer}@example.com", comment=why))


def brought(run: Run, team: Team, statement: Statement, who: str = "ann", **predicate: Any) -> Decision:
    """Altered, signed with a true key all the same, and brought in."""
    said = json.loads(statement.data)
    said["predicate"].update(predicate)
    return accept(run, canonical(said), ssh.sign(canonical(said), team.key(who), statement.namespace))


def inserted(run: Run, decision: Decision, what: str | None = None, **said: Any) -> None:
    """A row written into the store past the product, with a chain that holds."""
    data: Json = {**decision.model_dump(mode="json", exclude={"item"}), **said}
    last = run.events()[-1]
    actor = Actor(kind="person", id=decision.signer)
    draft = Draft(run=run.id, actor=actor, type=Type.DECISION_MADE, item=what or decision.item, data=data)
    place = {"seq": last.seq + 1, "prev": last.hash, "host": last.host, "boot": last.boot, "boot_ns": last.boot_ns + 1}
    row = Event(**draft.model_dump(), **place, at=last.at)
    with closing(sqlite3.connect(run.store.folder / FILE)) as connection, connection:
        values = (run.id, row.seq, row.hash, row.line)
        connection.execute("INSERT INTO events (run, seq, hash, line) VALUES (?, ?, ?, ?)", values)


def invented(what: str, kind: DecisionKind = SIGNED, signer: str = "ann") -> Decision:
    """A decision that nobody ever signed."""
    made = now()
    until = made + timedelta(hours=1)
    return Decision(
        item=what,
        kind=kind,
        signer=f"{signer}@example.com",
        statement="a" * 64,
        comment="trust me",
        at=made,
        until=until,
    )


def late(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    moment = now() + timedelta(days=days)
    for module in (gate, policy):
        monkeypatch.setattr(module, "now", lambda: moment)


def another_run(run: Run, team: Team, what: str) -> Decision:
    """A true decision of a second run, with its files in this one's folder."""
    with team.run() as other:
        settle(other, ISSUES, Outcome.INCONCLUSIVE, Evidence(facts={"notes": 3}))
        made = decide(other, what, SIGNED, key=team.key("ann"))
        for name in kept.names(made.statement):
            run.write(name, (other.folder / name).read_bytes())
    return made


# --- what is refused when it is brought in


def _author(run: Run, team: Team, _: object) -> object:
    return decide(run, PLAN, SIGNED, key=team.key("bob"))


def _operator(run: Run, team: Team, _: object) -> object:
    return decide(run, PLAN, SIGNED, key=team.key("olga"))


def _no_role(run: Run, team: Team, _: object) -> object:
    return decide(run, ERRORS, OVERRIDDEN, key=team.key("dev"), comment="it is fine")


def _stranger(run: Run, team: Team, _: object) -> object:
    return decide(run, ISSUES, SIGNED, key=team.key("stranger"))


def _demo_key(run: Run, team: Team, _: object) -> object:
    return decide(run, PLAN, SIGNED, key=team.key("demo"))


def _signed_too_late(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> object:
    waiting = prepared(run)
    late(monkeypatch, days=0.5)
    return brought(run, team, waiting)


def _expired(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> object:
    waiting = prepared(run)
    late(monkeypatch, days=2)
    return brought(run, team, waiting)


def _replayed(run: Run, team: Team, _: object) -> object:
    made = another_run(run, team, PLAN)
    return accept(run, kept.load(run.folder, made.statement).data, kept.load_signature(run.folder, made.statement))


def _twice(run: Run, team: Team, _: object) -> object:
    made = decide(run, PLAN, SIGNED, key=team.key("ann"))
    decide(run, PLAN, REVOKED, key=team.key("ann"), comment="wrong release")
    return accept(run, kept.load(run.folder, made.statement).data, kept.load_signature(run.folder, made.statement))


def _another_environment(run: Run, team: Team, _: object) -> object:
    return brought(run, team, prepared(run), environment="staging")


def _evidence_of_another_moment(run: Run, team: Team, _: object) -> object:
    waiting = prepared(run, ISSUES, "olga")
    settle(run, ISSUES, Outcome.INCONCLUSIVE, Evidence(facts={"notes": 300}))
    return brought(run, team, waiting, "olga")


def _signature_of_another_item(run: Run, team: Team, _: object) -> object:
    other = prepared(run, RUNBOOK, "olga")
    return accept(run, other.data, ssh.sign(other.data, team.key("olga"), other.namespace), item=ISSUES)


def _signature_beside_another_statement(run: Run, team: Team, _: object) -> object:
    wanted, other = prepared(run, ISSUES, "olga"), prepared(run, RUNBOOK, "olga")
    return accept(run, wanted.data, ssh.sign(other.data, team.key("olga"), other.namespace))


def _spoofed_name(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> object:
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "ann@example.com")
    return brought(run, team, prepared(run), "dev")


def _spoofed_key(run: Run, team: Team, _: object) -> object:
    """Dev's own line in the team's file says that his key is Ann's, too."""
    team.list_key("ann@example.com", team.key("dev"))
    return brought(run, team, prepared(run), "dev")


def _revoked_key(run: Run, team: Team, _: object) -> object:
    waiting = prepared(run)
    end_key(team, "ann")
    return brought(run, team, waiting)


def _another_purpose(run: Run, team: Team, _: object) -> object:
    waiting = prepared(run)
    return accept(run, waiting.data, ssh.sign(waiting.data, team.key("ann"), ssh.Namespace.ATTESTATION))


def end_key(team: Team, who: str) -> None:
    """The team's file says that the key's time is over."""
    team.listed = [line for line in team.listed if not line.startswith(f"{who}@example.com")]
    team.list_key(f"{who}@example.com", team.key(who), 'valid-before="20200101"')


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (_author, "wrote a change in this release"),
        (_operator, "is the operator of this run"),
        (_no_role, "does not have the role approver"),
        (_stranger, "is not on the team"),
        (_demo_key, "is a key made for the demo"),
        (_signed_too_late, "was to be signed until"),
        (_expired, "expired at"),
        (_replayed, "signed for another run"),
        (_twice, "used before"),
        (_another_environment, "signed for another environment"),
        (_evidence_of_another_moment, r"evidence of finish\.issues changed"),
        (_signature_of_another_item, r"another item: finish\.runbook, not finish\.issues"),
        (_signature_beside_another_statement, "signature of olga@example.com does not hold"),
        (_spoofed_name, r"ann@example\.com did not sign this; the key belongs to dev@example\.com"),
        (_spoofed_key, r"ann@example\.com did not sign this; the key belongs to dev@example\.com"),
        (_revoked_key, "not one of the allowed signers' keys, or not at that time"),
        (_another_purpose, "signed for 'deploykit-attestation'"),
    ],
)
def test_it_is_refused_with_its_reason_and_leaves_no_trace(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch, attack: Attack, why: str
) -> None:
    with pytest.raises((RefusedError, BrokenRecordError), match=why):
        attack(run, team, monkeypatch)
    monkeypatch.undo()
    assert run.state().decisions == {}
    with pytest.raises((Waiting, BrokenRecordError)):
        require_approval(run)
    assert [what for what in (ISSUES, RUNBOOK, ERRORS) if gate.opens(run, what)] == []


# --- what the store, the folder or the clock says at the moment it counts


def _row(run: Run, team: Team, _: object) -> str:
    inserted(run, invented(ERRORS, OVERRIDDEN))
    return ERRORS


def _clicked(run: Run, team: Team, _: object) -> str:
    """What code in a kernel can do without a key: say that it was decided."""
    data = invented(ISSUES).model_dump(mode="json", exclude={"item"})
    run.append(Type.DECISION_MADE, item=ISSUES, data=data)
    return ISSUES


def _row_over_another_items_signature(run: Run, team: Team, _: object) -> str:
    inserted(run, decide(run, RUNBOOK, SIGNED, key=team.key("olga")), what=ISSUES)
    return ISSUES


def _row_of_another_run(run: Run, team: Team, _: object) -> str:
    inserted(run, another_run(run, team, ISSUES))
    return ISSUES


def _row_that_says_more(run: Run, team: Team, _: object) -> str:
    inserted(run, decide(run, ISSUES, SIGNED, key=team.key("olga")), until=f"{now() + timedelta(days=900):%FT%TZ}")
    return ISSUES


def _row_after_revoking(run: Run, team: Team, _: object) -> str:
    made = decide(run, ISSUES, SIGNED, key=team.key("olga"))
    decide(run, ISSUES, REVOKED, key=team.key("olga"), comment="there is one more")
    inserted(run, made)
    return ISSUES


def _row_over_new_evidence(run: Run, team: Team, _: object) -> str:
    made = decide(run, ISSUES, SIGNED, key=team.key("olga"))
    settle(run, ISSUES, Outcome.INCONCLUSIVE, Evidence(facts={"notes": 300}))
    assert "inconclusive" in gate.shut(run, ISSUES)
    inserted(run, made)
    return ISSUES


def _row_after_a_refusal(run: Run, team: Team, _: object) -> str:
    decide(run, ISSUES, REFUSED, key=team.key("ann"), comment="no")
    inserted(run, invented(ISSUES))
    return ISSUES


def _row_by_an_approver_without_the_role(run: Run, team: Team, _: object) -> str:
    """The operator's own true signature, under an override that the product would not have taken."""
    with pytest.MonkeyPatch.context() as past:
        past.setattr("deploykit.signoff.rules.check", lambda *_: None)
        decide(run, ERRORS, OVERRIDDEN, key=team.key("olga"), comment="I want to go home")
    return ERRORS


def _statement_changed(run: Run, team: Team, _: object) -> str:
    made = decide(run, ISSUES, SIGNED, key=team.key("olga"))
    path = run.folder / kept.names(made.statement)[0]
    path.write_bytes(path.read_bytes().replace(b'"comment":""', b'"comment":"!"'))
    return ISSUES


def _signature_swapped(run: Run, team: Team, _: object) -> str:
    made, other = (decide(run, what, SIGNED, key=team.key("olga")) for what in (ISSUES, RUNBOOK))
    run.write(kept.names(made.statement)[1], kept.load_signature(run.folder, other.statement))
    return ISSUES


def _key_revoked_since(run: Run, team: Team, _: object) -> str:
    decide(run, ISSUES, SIGNED, key=team.key("olga"))
    assert gate.opens(run, ISSUES)
    end_key(team, "olga")
    return ISSUES


def _role_lost_since(run: Run, team: Team, _: object) -> str:
    decide(run, ERRORS, OVERRIDDEN, key=team.key("ann"), comment="known noise")
    path = team.home / "deploykit.toml"
    path.write_text(path.read_text("utf-8").replace("roles = ['approver']", "roles = []", 1), "utf-8")
    run.settings = team.settings()
    return ERRORS


def _override_expired(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> str:
    decide(run, ERRORS, OVERRIDDEN, key=team.key("ann"), comment="known noise")
    assert gate.opens(run, ERRORS)
    moment = now() + timedelta(seconds=run.settings.signing.override_valid)
    monkeypatch.setattr("deploykit.journal.state.now", lambda: moment)
    return ERRORS


def _attest_expired(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> str:
    decide(run, ISSUES, SIGNED, key=team.key("olga"))
    late(monkeypatch, days=2)
    return ISSUES


def _plan_changed(run: Run, team: Team, _: object) -> str:
    decide(run, ISSUES, SIGNED, key=team.key("olga"))
    path = run.folder / "plan.json"
    path.write_bytes(path.read_bytes().replace(b'"watch_seconds":1800.0', b'"watch_seconds":1801.0'))
    return ISSUES


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (_row, "a signed statement is missing"),
        (_clicked, "a signed statement is missing"),
        (_row_over_another_items_signature, "the journal says otherwise than the signed statement"),
        (_row_of_another_run, "signed for another run"),
        (_row_that_says_more, "the journal says otherwise than the signed statement"),
        (_row_after_revoking, "this statement was used before"),
        (_row_over_new_evidence, "this statement was used before"),
        (_row_after_a_refusal, "refused by ann@example.com: no"),
        (_row_by_an_approver_without_the_role, "is the operator of this run"),
        (_statement_changed, "not what its name says"),
        (_signature_swapped, "does not hold"),
        (_key_revoked_since, "not one of the allowed signers' keys, or not at that time"),
        (_role_lost_since, "the settings changed since the plan was made"),
        (_override_expired, "fail: as it went"),
        (_attest_expired, "expired at"),
        (_plan_changed, "the plan is not the one that the run was opened with"),
    ],
)
def test_a_decision_that_does_not_hold_when_it_counts_opens_nothing(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch, attack: Callable[..., str], why: str
) -> None:
    what = attack(run, team, monkeypatch)
    assert why in gate.shut(run, what)
    assert not gate.opens(run, what)


def test_a_row_that_says_that_the_plan_was_approved_approves_nothing(run: Run) -> None:
    inserted(run, invented(PLAN))
    with pytest.raises(BrokenRecordError, match="signed statement is missing"):
        require_approval(run)


def test_a_row_that_says_how_a_step_ended_settles_nothing(run: Run, team: Team) -> None:
    run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    said: Json = {
        "by": "person",
        "decision": invented("blue-green.deploy", DecisionKind.HAPPENED).model_dump(mode="json"),
    }
    forged = run.append(Type.STEP_HAPPENED, item="blue-green.deploy", step="blue-green.deploy", op="o", data=said)
    with pytest.raises(BrokenRecordError, match="signed statement is missing"):
        gate.require(run, forged)


def test_a_run_with_a_row_that_nobody_signed_is_not_sealed(run: Run, team: Team) -> None:
    inserted(run, invented(ERRORS, OVERRIDDEN))
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    with pytest.raises(
        BrokenRecordError, match=r"decision on watch\.errors: .*a signed statement is missing"
    ) as caught:
        archive.close(run)
    assert "valid-before" in caught.value.mend
    assert not run.state().sealed


def test_an_action_does_not_begin_on_a_row_that_nobody_signed(world: World) -> None:
    run = world.plan()
    settle(run, "blue-green.deploy", Outcome.FAIL)
    inserted(run, invented("blue-green.deploy", OVERRIDDEN))
    with pytest.raises(NotPassedError, match=r"blue-green\.deploy.* does not hold: a signed statement is missing"):
        run_action(run, world.context(run), item("blue-green.traffic"))
    assert world.effects == []


def test_an_approval_that_is_revoked_at_the_last_moment_stops_the_first_effect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, operation = world.plan(), actions._operation

    def revoked(*given: Any) -> str:
        """Everything was asked, and nothing is written down yet."""
        decide(world.again(run), PLAN, REVOKED, key=world.key("ann"), comment="wrong release")
        return operation(*given)

    monkeypatch.setattr(actions, "_operation", revoked)
    with pytest.raises(OvertakenError, match=r"decision\.revoked"):
        run_action(run, world.context(run), item("blue-green.deploy"))
    assert world.effects == []
    assert run.state().steps == {}


def test_who_was_added_to_the_settings_after_the_plan_decides_nothing(world: World) -> None:
    run = world.plan()
    settle(run, ISSUES, Outcome.INCONCLUSIVE)
    world.edit(
        "[people.dev]", '[people.mallory]\nprincipal = "stranger@example.com"\nroles = ["approver"]\n[people.dev]'
    )
    with pytest.raises(RefusedError, match=r"stranger@example\.com is not on the team"):
        decide(world.again(run), ISSUES, SIGNED, key=world.key("stranger"))
    with pytest.raises(RefusedError, match="the settings changed"):
        decide(world.again(run), ERRORS, OVERRIDDEN, key=world.key("stranger"), comment="let me")
    decide(world.again(run), ISSUES, SIGNED, key=world.key("olga"))
    assert gate.opens(world.again(run), ISSUES)
