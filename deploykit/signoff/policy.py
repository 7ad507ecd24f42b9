"""Decisions of a run: made, checked, recorded, and proved again when they are used."""

from __future__ import annotations

from pathlib import Path

from deploykit import redact
from deploykit.checklist import checklist
from deploykit.errors import BrokenRecordError, DeploykitError, RefusedError, UsageError, Waiting
from deploykit.journal import clock
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.locks import require_breakable
from deploykit.journal.state import fold
from deploykit.model import Decision, DecisionKind, Json, Plan, canonical, now, sha256
from deploykit.run import Run, read_plan
from deploykit.signoff import rules, ssh
from deploykit.signoff.statement import LOCK, PLAN, Choice, Statement, make, namespace

#: Where the operator's signature on the plan is kept.
PLAN_SIGNATURE = "signatures/plan.sig"


def sign_plan(plan: Plan, key: Path) -> bytes:
    """The operator's own signature on the plan's file, to be kept as `PLAN_SIGNATURE`."""
    return ssh.sign(plan_bytes(plan), key, ssh.Namespace.PLAN)


def plan_bytes(plan: Plan) -> bytes:
    """The plan exactly as it is written to its file."""
    return canonical(plan.model_dump(mode="json")) + b"\n"


def decide(run: Run, item: str, kind: DecisionKind, *, key: Path, comment: str = "") -> Decision:
    """Sign a decision and record it.

    Args:
        run: The run that it is about.
        item: `plan`, or an item of the checklist; a step, where it says how one ended; or `lock`.
        kind: Signed, refused or overridden; how a step ended; or that the lock is broken.
        key: The person's key; with a public one the agent signs.
        comment: Why; a refusal and an override need one.

    Raises:
        UsageError: No such item, key, or person for that key.
        RefusedError: A rule forbids this decision by this person.
        LockedError: The step is under way in another process.
    """
    choice = Choice(
        item=item,
        kind=kind,
        signer=ssh.principal_of_key(key, allowed_signers(run)),
        comment=redact.text(comment),
    )
    events = run.events()
    seconds = run.settings.signing.approval_valid
    statement = make(run.plan, events[-1].head, choice, rules.shown(fold(events), item, kind), seconds)
    # Everything that a signature does not change is checked before a person is asked for a passphrase or a touch.
    _check(run, statement, events)
    return accept(run, statement.data, ssh.sign(statement.data, key, namespace(item, kind)))


def accept(run: Run, statement: bytes, signature: bytes) -> Decision:
    """Check a signed statement, wherever it was signed, and record it.

    Raises:
        BrokenRecordError: The statement or its signature does not hold.
        RefusedError: It holds, and a rule forbids it.
        UsageError: It decides on an item that there is not.
    """
    parsed = Statement.parse(statement)
    _verify(run, parsed, signature)
    _check(run, parsed, run.events())
    decision = parsed.decision
    run.write(f"statements/{decision.statement}.json", statement)
    run.write(f"signatures/{decision.statement}.sig", signature)
    _record(run, decision)
    return decision


def _record(run: Run, decision: Decision) -> None:
    said = decision.model_dump(mode="json", exclude={"item"})
    by: Json = {"by": rules.BY_PERSON, "decision": said}
    actor = Actor(kind="person", id=decision.signer)
    draft = Draft(run=run.id, actor=actor, fence=run.lock.fence if run.lock else 0, type=Type.DECISION_MADE)
    if decision.kind is DecisionKind.BROKEN:
        broken = draft.model_copy(update={"type": Type.LOCK_BROKEN, "data": by})
        run.store.break_lock(run.place, broken, run.settings.lock.expires)
    elif decision.kind.resolves:
        # Nobody says how it ended while it is under way.
        with run.alone("rollback" if decision.item.startswith("rollback.") else ""):
            step = rules.unseen(run.state(), decision.item)
            kind = Type.STEP_HAPPENED if decision.kind is DecisionKind.HAPPENED else Type.STEP_REJECTED
            settled = {"type": kind, "item": step.item, "step": step.step, "op": step.op, "data": by}
            run.store.append(draft.model_copy(update=settled))
    else:
        run.store.append(draft.model_copy(update={"item": decision.item, "data": said}))


def revoke(run: Run, item: str, *, reason: str) -> None:
    """Take a decision back, as long as nothing was done on its strength. This only ever shuts, so it asks no key.

    Raises:
        UsageError: There is no decision on this item.
        RefusedError: It was used, or it is a refusal, which stays.
    """
    events = run.events()
    decision = fold(events).decisions.get(item)
    if decision is None:
        raise UsageError(f"there is no decision on {item}", where="revoke", mend="`deploykit status` lists them")
    if decision.kind is DecisionKind.REFUSED:
        raise RefusedError("a refusal stays", where=item, mend="make a new plan")
    made = next(e.seq for e in reversed(events) if e.type is Type.DECISION_MADE and e.item == item)
    used = next((e for e in events[made:] if e.type in {Type.STEP_INTENDED, Type.PHASE_ENDED, Type.RUN_SEALED}), None)
    if used is not None:
        raise RefusedError(f"it was used: {used.type} at event {used.seq}", where=item, mend="`deploykit rollback`")
    run.append(Type.DECISION_REVOKED, item=item, data={"statement": decision.statement, "reason": redact.text(reason)})


def require_approval(run: Run) -> Decision:
    """The plan's approval, proved again from its files at this moment.

    Raises:
        Waiting: There is none, or none that can still be used; it says who may sign, and how.
        RefusedError: The plan was refused, or its approval no longer satisfies the rules.
        BrokenRecordError: Plan, statement or signature is not what was recorded.
    """
    run.require_planned_settings()
    events = run.events()
    clock.require_steady(events[-1], clock.read())
    _require_same_plan(run, events)
    _require_operator(run)
    refused = rules.refusal(events, PLAN)
    if refused is not None:
        why = refused.data["comment"]
        raise RefusedError(f"{refused.data['signer']} refused the plan: {why}", where="plan", mend="make a new plan")
    decision = fold(events).decisions.get(PLAN)
    if decision is None:
        raise _waiting(run, "is not approved yet")
    if decision.until is not None and decision.until <= now():
        raise _waiting(run, f"was approved by {decision.signer} until {decision.until:%F %T} UTC, which is over")
    statement = load(run.folder, decision.statement)
    _verify(run, statement, load_signature(run.folder, decision.statement))
    if statement.decision != decision:
        raise BrokenRecordError("the journal says otherwise than the signed statement", where=PLAN)
    rules.check(statement, run.plan, run.settings.people, now())
    return decision


def allowed_signers(run: Run) -> Path:
    """The team's own file, never a copy in a run's folder."""
    return run.settings.path(run.settings.signing.allowed_signers)


def load(folder: Path, digest: str) -> Statement:
    """A statement of a run's folder, by its hash.

    Raises:
        BrokenRecordError: It is missing, or not what its name says.
    """
    where = f"statements/{digest}.json"
    try:
        data = (folder / where).read_bytes()
    except OSError as error:
        raise BrokenRecordError("a signed statement is missing", where=where) from error
    if sha256(data) != digest:
        raise BrokenRecordError("a signed statement is not what its name says", where=where)
    return Statement.parse(data)


def load_signature(folder: Path, digest: str) -> bytes:
    """The signature of a statement, by the statement's hash.

    Raises:
        BrokenRecordError: It is missing.
    """
    where = f"signatures/{digest}.sig"
    try:
        return (folder / where).read_bytes()
    except OSError as error:
        raise BrokenRecordError("a signature is missing", where=where) from error


def _verify(run: Run, statement: Statement, signature: bytes) -> None:
    signer = statement.predicate.signer
    ssh.verify(statement.data, signature, signer, statement.namespace, allowed_signers(run))


def _check(run: Run, statement: Statement, events: tuple[Event, ...]) -> None:
    """Everything about a new decision but its signature."""
    said = statement.predicate
    if statement.namespace is ssh.Namespace.APPROVAL:
        run.require_planned_settings()
        if said.decision is not DecisionKind.REFUSED:
            clock.require_steady(events[-1], clock.read())
    _require_same_plan(run, events)
    if said.item not in {PLAN, LOCK}:
        checklist().find(said.item.partition("/")[0])
    if (said.item == LOCK) != (said.decision is DecisionKind.BROKEN):
        raise UsageError(f"{said.item} cannot be {said.decision}", where="sign-off", mend="`deploykit unlock RUN`")
    if said.decision is DecisionKind.BROKEN:
        require_breakable(run.store.lock(*run.place), run.id, run.settings.lock.expires)
    rules.check(statement, run.plan, run.settings.people, now())
    longest = run.settings.signing.approval_valid
    if (said.until - said.made_at).total_seconds() > longest:
        raise RefusedError(f"valid for longer than the {longest:.0f} s that the settings allow", where="sign-off")
    used = {load(run.folder, made.statement).predicate.nonce for _, made in rules.decisions(events)}
    rules.check_history(statement, events, used)


def _require_same_plan(run: Run, events: tuple[Event, ...]) -> None:
    if not events[0].data["plan"] == read_plan(run.folder).hash == run.plan.hash:
        raise BrokenRecordError("the plan is not the one that the run was opened with", where="plan.json")


def _require_operator(run: Run) -> None:
    """The operator is who signed the plan. Else somebody could name another one there, and approve it themselves."""
    if run.plan.solo:
        return
    path = run.folder / PLAN_SIGNATURE
    if not path.is_file():
        raise RefusedError("the plan is not signed by its operator", where="plan", mend="make the plan with a key")
    ssh.verify(plan_bytes(run.plan), path.read_bytes(), run.plan.operator, ssh.Namespace.PLAN, allowed_signers(run))


def _waiting(run: Run, why: str) -> DeploykitError:
    who = ", ".join(rules.approvers(run.plan, run.settings.people)) or "nobody yet: give someone the role approver"
    plan = run.plan
    return Waiting(
        f"the plan of {plan.service} {plan.release} to {plan.environment} {why}; who may approve it: {who}",
        where=run.id,
        mend=f"deploykit sign {run.id} {PLAN}",
    )
