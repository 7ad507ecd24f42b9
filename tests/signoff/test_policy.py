from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import BrokenRecordError, DeploykitError, OvertakenError, RefusedError, UsageError, Waiting
from deploykit.journal.events import Head, Type
from deploykit.journal.store import Known
from deploykit.model import DecisionKind, Evidence, Outcome, canonical, now
from deploykit.run import Run
from deploykit.settings import PersonSettings
from deploykit.signoff import gate, kept, policy, rules, ssh
from deploykit.signoff.gate import require_approval
from deploykit.signoff.policy import accept, decide
from deploykit.signoff.statement import PLAN, Choice, Statement, make
from tests.signoff.team import Team, settle

SIGNED, REFUSED, OVERRIDDEN = DecisionKind.SIGNED, DecisionKind.REFUSED, DecisionKind.OVERRIDDEN
REVOKED, REVIEWED = DecisionKind.REVOKED, DecisionKind.REVIEWED


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    with team.run() as run:
        yield run


def statement(run: Run, signer: str = "ann@example.com", seconds: float = 60, item: str = PLAN) -> Statement:
    last = run.events()[-1]
    choice = Choice(item=item, kind=SIGNED, signer=signer)
    return make(run.plan, Head(seq=last.seq, hash=last.hash), choice, (), seconds)


def altered(statement: Statement, **predicate: Any) -> bytes:
    data = json.loads(statement.data)
    data["predicate"].update(predicate)
    return canonical(data)


def submit(run: Run, team: Team, data: bytes, who: str = "ann", namespace: str = ssh.Namespace.APPROVAL) -> None:
    accept(run, data, ssh.sign(data, team.key(who), namespace))


def test_an_approver_who_neither_wrote_nor_runs_it_approves_the_plan(run: Run, team: Team) -> None:
    made = decide(run, PLAN, SIGNED, key=team.key("ann"), comment="read it")
    assert require_approval(run) == made == run.state().decisions[PLAN]
    assert made.signer == "ann@example.com"
    assert run.events()[-1].actor.id == "ann@example.com"
    assert Statement.parse((run.folder / "statements" / f"{made.statement}.json").read_bytes()).plan == run.plan.hash


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("bob", "wrote a change in this release"),
        ("olga", "is the operator of this run"),
        ("dev", "does not have the role approver"),
        ("nameless", "has no github name"),
        ("stranger", "is not on the team"),
        ("demo", "is a key made for the demo"),
    ],
)
def test_nobody_else_approves(run: Run, team: Team, who: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        decide(run, PLAN, SIGNED, key=team.key(who))
    with pytest.raises(Waiting):
        require_approval(run)
    assert not (run.folder / "statements").exists()


def test_the_operators_second_name_is_still_the_operator(team: Team) -> None:
    with (team.home / "deploykit.toml").open("a", encoding="utf-8") as file:
        file.write('[people.olga2]\nprincipal = "olga2@example.com"\ngithub = "OLGA"\nroles = ["approver"]\n')
    team.list_key("olga2@example.com", team.make_key("olga2"))
    with team.run() as run, pytest.raises(RefusedError, match="is the operator"):
        decide(run, PLAN, SIGNED, key=team.key("olga2"))


def test_solo_lets_one_person_be_all(tmp_path: Path) -> None:
    team = Team(tmp_path, solo=True)
    with team.run() as run:
        decide(run, PLAN, SIGNED, key=team.key("olga"))
        assert require_approval(run).signer == "olga@example.com"


def test_a_demo_key_approves_in_the_sandbox(team: Team) -> None:
    with team.run(sandbox=True) as run:
        decide(run, PLAN, SIGNED, key=team.key("demo"))
        assert require_approval(run).signer.endswith(rules.DEMO)


def test_a_statement_names_the_commit_that_is_deployed(run: Run, team: Team) -> None:
    made = kept.load(run.folder, decide(run, PLAN, SIGNED, key=team.key("ann")).statement)
    subjects = json.loads(made.data)["subject"]
    assert subjects == [
        {"digest": {"sha256": run.plan.hash}, "name": "plan"},
        {"digest": {"gitCommit": run.plan.commit}, "name": "release/v2"},
    ]
    assert made.predicate.sign_by is not None
    assert made.predicate.sign_by - made.predicate.made_at == timedelta(hours=1)
    assert made.predicate.until - made.predicate.made_at == timedelta(days=1)


def test_waiting_names_who_may_sign_what_and_how(run: Run) -> None:
    with pytest.raises(Waiting) as caught:
        require_approval(run)
    assert caught.value.what.endswith("who may approve it: ann@example.com")
    assert "v2 to production" in caught.value.what
    assert caught.value.mend == f"deploykit sign {run.id} plan"


def test_a_refused_plan_stays_refused(run: Run, team: Team) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    decide(run, PLAN, REFUSED, key=team.key("dev"), comment="found a bug")
    with pytest.raises(RefusedError, match=r"dev@example\.com refused the plan: found a bug"):
        require_approval(run)
    with pytest.raises(RefusedError, match=r"plan was refused by dev@example\.com"):
        decide(run, PLAN, SIGNED, key=team.key("ann"))
    run.append(Type.DECISION_REVOKED, item=PLAN)
    with pytest.raises(RefusedError, match="refused the plan"):
        require_approval(run)


@pytest.mark.parametrize("kind", [REFUSED, OVERRIDDEN])
def test_a_refusal_and_an_override_need_a_reason(run: Run, team: Team, kind: DecisionKind) -> None:
    settle(run, "watch.errors", Outcome.FAIL)
    with pytest.raises(RefusedError, match="without a reason"):
        decide(run, "watch.errors", kind, key=team.key("ann"), comment=" ")


def test_a_statement_is_used_once(run: Run, team: Team) -> None:
    data = statement(run).data
    submit(run, team, data)
    run.append(Type.DECISION_REVOKED, item=PLAN)
    with pytest.raises(RefusedError, match="used before"):
        submit(run, team, data)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"run": "other"}, "for another run"),
        ({"environment": "staging"}, "for another environment"),
        ({"service": "cart"}, "for another service"),
        ({"head": {"seq": 1, "hash": "0" * 64}}, "another journal"),
        ({"head": {"seq": 99, "hash": "0" * 64}}, "another journal"),
        ({"evidence": ["0" * 64]}, "evidence of plan changed"),
        ({"made_at": "2099-01-01T00:00:00Z", "until": "2099-01-01T00:00:01Z"}, "signed in the future"),
        ({"made_at": "2001-01-01T00:00:00Z"}, "before the plan was made"),
        ({"until": "2001-01-01T00:00:00Z"}, "expired at 2001-01-01"),
        ({"until": "2099-01-01T00:00:00Z"}, "longer than"),
    ],
)
def test_a_statement_about_something_else_is_refused(run: Run, team: Team, change: dict[str, Any], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        submit(run, team, altered(statement(run), **change))


def test_an_approval_of_another_plan_is_refused(run: Run, team: Team) -> None:
    data = json.loads(statement(run).data)
    data["subject"][0]["digest"]["sha256"] = "0" * 64
    with pytest.raises(RefusedError, match="for another plan"):
        submit(run, team, canonical(data))


def test_an_approval_of_another_run_does_not_carry_over(run: Run, team: Team) -> None:
    with team.run() as other:
        made = decide(other, PLAN, SIGNED, key=team.key("ann"))
        signature = kept.load_signature(other.folder, made.statement)
        with pytest.raises(RefusedError, match="for another run"):
            accept(run, kept.load(other.folder, made.statement).data, signature)


def test_a_signature_for_another_purpose_does_not_approve(run: Run, team: Team) -> None:
    with pytest.raises(BrokenRecordError, match="signed for 'deploykit-attestation'"):
        submit(run, team, statement(run).data, namespace=ssh.Namespace.ATTESTATION)


def test_a_claimed_signer_must_be_the_one_who_signed(run: Run, team: Team) -> None:
    with pytest.raises(BrokenRecordError, match=r"ann@example\.com did not sign this"):
        submit(run, team, statement(run).data, who="dev")


def test_an_altered_byte_is_refused(run: Run, team: Team) -> None:
    data = statement(run).data
    signature = ssh.sign(data, team.key("ann"), ssh.Namespace.APPROVAL)
    for place in range(0, len(data), 37):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(BrokenRecordError):
            accept(run, changed, signature)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"a":1,"a":1}'])
def test_what_is_no_statement_is_refused(run: Run, team: Team, data: bytes) -> None:
    with pytest.raises(BrokenRecordError):
        submit(run, team, data)


def test_a_statement_in_another_spelling_is_refused(run: Run, team: Team) -> None:
    with pytest.raises(BrokenRecordError, match="not in canonical form"):
        submit(run, team, json.dumps(json.loads(statement(run).data)).encode())


def _expire(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    late = now() + timedelta(days=2)
    monkeypatch.setattr(gate, "now", lambda: late)


def _swap_statement(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    next((run.folder / "statements").iterdir()).write_bytes(statement(run).data)


def _lose_statement(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    next((run.folder / "statements").iterdir()).unlink()


def _lose_signature(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = run.state().decisions[PLAN].statement
    (run.folder / "signatures" / f"{digest}.sig").unlink()


def _swap_signature(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = run.state().decisions[PLAN].statement
    other = ssh.sign(b"other", team.key("ann"), ssh.Namespace.APPROVAL)
    (run.folder / "signatures" / f"{digest}.sig").write_bytes(other)


def _withdraw_key(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    team.listed = [line for line in team.listed if not line.startswith("ann@example.com")]
    team.write_signers()


def _change_plan(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.folder / "plan.json"
    path.write_text(path.read_text("utf-8").replace('"watch_seconds":1800.0', '"watch_seconds":1.0'), "utf-8")


def _change_settings(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    path = team.home / "deploykit.toml"
    path.write_text(path.read_text("utf-8") + "# changed\n", "utf-8")
    run.settings = team.settings()


def _contradict(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.state().decisions[PLAN]
    data = made.model_dump(mode="json", exclude={"item"}) | {"comment": "all fine"}
    run.append(Type.DECISION_MADE, item=PLAN, data=data)


def _lose_operators_signature(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.folder / kept.PLAN_SIGNATURE).unlink()


def _claim_another_operator(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.folder / kept.PLAN_SIGNATURE).write_bytes(kept.sign_plan(run.plan, team.key("ann")))


@pytest.mark.parametrize(
    ("happens", "kind", "why"),
    [
        (_expire, Waiting, r"was approved by ann@example\.com until .* which is over"),
        (_swap_statement, BrokenRecordError, "not what its name says"),
        (_lose_statement, BrokenRecordError, "signed statement is missing"),
        (_lose_signature, BrokenRecordError, "signature is missing"),
        (_swap_signature, BrokenRecordError, "does not hold"),
        (_withdraw_key, BrokenRecordError, "not one of the allowed signers"),
        (_change_plan, BrokenRecordError, "plan is not the one"),
        (_change_settings, RefusedError, "settings changed"),
        (_lose_operators_signature, RefusedError, "not signed by its operator"),
        (_claim_another_operator, BrokenRecordError, r"olga@example\.com did not sign this"),
        (_contradict, BrokenRecordError, "journal says otherwise"),
    ],
)
def test_an_approval_is_proved_again_when_it_is_used(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch, happens: Any, kind: type[DeploykitError], why: str
) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    happens(run, team, monkeypatch)
    with pytest.raises(kind, match=why):
        require_approval(run)


def test_an_attestation_is_bound_to_the_evidence_shown_and_the_operator_may_give_it(run: Run, team: Team) -> None:
    settle(run, "finish.issues", Outcome.INCONCLUSIVE, Evidence(facts={"notes": 3}))
    made = decide(run, "finish.issues", SIGNED, key=team.key("olga"))
    shown = kept.load(run.folder, made.statement)
    assert shown.namespace is ssh.Namespace.ATTESTATION
    assert shown.predicate.evidence == (run.state().items["finish.issues"].evidence,)
    assert shown.shown[0] == run.state().items["finish.issues"].evidence


def test_evidence_that_changed_since_it_was_shown_voids_the_signature(run: Run, team: Team) -> None:
    settle(run, "watch.errors", Outcome.INCONCLUSIVE, Evidence(facts={"errors": 3}))
    last = run.events()[-1]
    choice = Choice(item="watch.errors", kind=SIGNED, signer="olga@example.com")
    shown = (run.state().items["watch.errors"].evidence,)
    made = make(run.plan, Head(seq=last.seq, hash=last.hash), choice, shown, 60)
    settle(run, "watch.errors", Outcome.INCONCLUSIVE, Evidence(facts={"errors": 300}))
    with pytest.raises(RefusedError, match=r"evidence of watch\.errors changed"):
        submit(run, team, made.data, "olga", ssh.Namespace.ATTESTATION)


def test_an_override_stands_beside_a_failure_and_opens_the_gate(run: Run, team: Team) -> None:
    settle(run, "watch.errors", Outcome.FAIL)
    decide(run, "watch.errors", OVERRIDDEN, key=team.key("ann"), comment="known noise, ticket 12")
    assert run.state().opens("watch.errors")
    assert run.state().items["watch.errors"].outcome is Outcome.FAIL


def test_the_operator_does_not_override(run: Run, team: Team) -> None:
    settle(run, "watch.errors", Outcome.FAIL)
    with pytest.raises(RefusedError, match="is the operator"):
        decide(run, "watch.errors", OVERRIDDEN, key=team.key("olga"), comment="I want to go home")


def test_a_role_for_one_item_is_for_that_item_alone(team: Team) -> None:
    people = {"ann": PersonSettings(principal="ann@example.com", github="ann", roles=("approver:watch.errors",))}
    with team.run() as run:
        settle(run, "watch.errors", Outcome.FAIL)
        settle(run, "watch.latency", Outcome.FAIL)
        run.settings = run.settings.model_copy(update={"people": {**run.settings.people, **people}})
        decide(run, "watch.errors", OVERRIDDEN, key=team.key("ann"), comment="known noise")
        with pytest.raises(RefusedError, match=r"nor approver:watch\.latency"):
            decide(run, "watch.latency", OVERRIDDEN, key=team.key("ann"), comment="known noise")
        with pytest.raises(RefusedError, match="nor approver:plan"):
            decide(run, PLAN, SIGNED, key=team.key("ann"))
        assert rules.approvers(run.plan, run.settings.people, "watch.errors") == ("ann@example.com",)
        assert rules.approvers(run.plan, run.settings.people) == ()


def test_an_unknown_step_cannot_be_overridden(run: Run, team: Team) -> None:
    settle(run, "blue-green.traffic/10", Outcome.UNKNOWN)
    with pytest.raises(RefusedError, match="nobody can override"):
        decide(run, "blue-green.traffic/10", OVERRIDDEN, key=team.key("ann"), comment="go")


@pytest.mark.parametrize("outcome", [None, Outcome.PASS])
def test_there_is_nothing_to_override_where_nothing_is_shut(run: Run, team: Team, outcome: Outcome | None) -> None:
    if outcome:
        settle(run, "watch.errors", outcome)
    with pytest.raises(UsageError, match="nothing to override"):
        decide(run, "watch.errors", OVERRIDDEN, key=team.key("ann"), comment="go")


def test_an_item_that_there_is_not_is_an_error(run: Run, team: Team) -> None:
    with pytest.raises(UsageError, match="no item 'watch\\.everything'"):
        decide(run, "watch.everything", SIGNED, key=team.key("olga"))


def test_a_sealed_run_takes_no_more_decisions(run: Run, team: Team) -> None:
    run.append(Type.RUN_SEALED)
    with pytest.raises(RefusedError, match="sealed"):
        decide(run, PLAN, SIGNED, key=team.key("ann"))


def test_the_operators_signature_on_the_plan_holds(run: Run, team: Team) -> None:
    signature = (run.folder / "signatures" / "plan.sig").read_bytes()
    data = (run.folder / "plan.json").read_bytes()
    ssh.verify(data, signature, run.plan.operator, ssh.Namespace.PLAN, team.signers)


def test_a_decision_is_taken_back_until_it_is_used(run: Run, team: Team) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    made = decide(run, PLAN, REVOKED, key=team.key("ann"), comment="wrong release")
    event = run.events()[-1]
    assert (event.type, event.item, event.actor.id) == (Type.DECISION_REVOKED, PLAN, "ann@example.com")
    assert kept.load(run.folder, made.statement).namespace is ssh.Namespace.REVOCATION
    with pytest.raises(Waiting):
        require_approval(run)
    with pytest.raises(UsageError, match="no decision on plan"):
        decide(run, PLAN, REVOKED, key=team.key("ann"), comment="again")
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    with pytest.raises(RefusedError, match=r"it was used: step\.intended"):
        decide(run, PLAN, REVOKED, key=team.key("ann"), comment="too late")


def test_what_another_phase_did_does_not_use_a_decision_on_an_item(run: Run, team: Team) -> None:
    settle(run, "finish.issues", Outcome.INCONCLUSIVE)
    decide(run, "finish.issues", SIGNED, key=team.key("olga"))
    run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    decide(run, "finish.issues", REVOKED, key=team.key("olga"), comment="there is one more")
    assert not run.state().opens("finish.issues")
    decide(run, "finish.issues", SIGNED, key=team.key("olga"))
    run.append(Type.PHASE_ENDED, item="finish", data={"result": "passed"})
    with pytest.raises(RefusedError, match=r"it was used: phase\.ended"):
        decide(run, "finish.issues", REVOKED, key=team.key("olga"), comment="too late")


def test_only_who_made_a_decision_takes_it_back_and_says_why(run: Run, team: Team) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    with pytest.raises(RefusedError, match=r"dev@example\.com did not make this decision"):
        decide(run, PLAN, REVOKED, key=team.key("dev"), comment="no")
    with pytest.raises(RefusedError, match="without a reason"):
        decide(run, PLAN, REVOKED, key=team.key("ann"))
    assert require_approval(run).signer == "ann@example.com"


def test_a_refusal_is_not_taken_back(run: Run, team: Team) -> None:
    decide(run, PLAN, REFUSED, key=team.key("ann"), comment="no")
    with pytest.raises(RefusedError, match="a refusal stays"):
        decide(run, PLAN, REVOKED, key=team.key("ann"), comment="oh well")


# --- what happens between looking and writing down


def meanwhile(monkeypatch: pytest.MonkeyPatch, run: Run, *happenings: Callable[[], object]) -> list[int]:
    """Something is written by another process each time that a decision was just checked."""
    real, left = policy._check, list(happenings)
    calls: list[int] = []

    def checked(*given: Any) -> None:
        real(*given)
        calls.append(len(calls))
        if len(calls) > 1 and left:  # the first is before anybody is asked to sign
            left.pop(0)()

    monkeypatch.setattr(policy, "_check", checked)
    return calls


def test_a_decision_is_held_against_what_was_written_meanwhile_too(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = meanwhile(monkeypatch, run, lambda: run.append(Type.NOTE_WRITTEN, data={"text": "by the way"}))
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    assert len(calls) == 3
    assert require_approval(run).signer == "ann@example.com"


def test_evidence_that_changes_while_it_is_signed_over_voids_the_signature(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(run, "finish.issues", Outcome.INCONCLUSIVE, Evidence(facts={"notes": 3}))
    new = Evidence(facts={"notes": 300})
    meanwhile(monkeypatch, run, lambda: settle(run, "finish.issues", Outcome.INCONCLUSIVE, new))
    with pytest.raises(RefusedError, match=r"evidence of finish\.issues changed"):
        decide(run, "finish.issues", SIGNED, key=team.key("olga"))
    assert run.state().decisions == {}


def test_what_is_begun_while_an_approval_is_revoked_counts_first(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    meanwhile(monkeypatch, run, lambda: run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={}))
    with pytest.raises(RefusedError, match=r"it was used: step\.intended"):
        decide(run, PLAN, REVOKED, key=team.key("ann"), comment="wrong release")
    assert require_approval(run).kind is SIGNED


def test_a_run_that_never_stands_still_is_said(run: Run, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    note: Callable[[], object] = lambda: run.append(Type.NOTE_WRITTEN, data={"text": "again"})  # noqa: E731
    meanwhile(monkeypatch, run, *[note] * (policy.TRIES + 1))
    with pytest.raises(OvertakenError, match="does not stand still"):
        decide(run, PLAN, SIGNED, key=team.key("ann"))
    assert run.state().decisions == {}


@pytest.mark.parametrize("kind", [REVOKED, REFUSED])
def test_an_effect_does_not_begin_on_an_approval_that_was_taken_back_after_it_was_looked_at(
    run: Run, team: Team, kind: DecisionKind
) -> None:
    decide(run, PLAN, SIGNED, key=team.key("ann"))
    known = Known(run.events()[-1].seq, gate.takes_back)
    require_approval(run)
    decide(run, PLAN, kind, key=team.key("ann"), comment="wrong release")
    with pytest.raises(OvertakenError, match=r"decision\.(revoked|made) at event \d+ came before it"):
        run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={}, known=known)
    assert Type.STEP_INTENDED not in [event.type for event in run.events()]


def test_another_word_meanwhile_does_not_keep_an_effect_from_beginning(run: Run, team: Team) -> None:
    settle(run, "finish.issues", Outcome.INCONCLUSIVE)
    known = Known(run.events()[-1].seq, gate.takes_back)
    decide(run, "finish.issues", SIGNED, key=team.key("olga"))
    begun = run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={}, known=known)
    assert begun == run.events()[-1]
