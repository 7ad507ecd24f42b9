"""Decisions of a run: prepared, signed here or elsewhere, checked, and recorded.

Form, terminal and file all end in `accept`, so the same decision makes the same record however it was signed.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from pathlib import Path

from deploykit import addenda, redact
from deploykit.checklist import checklist
from deploykit.errors import OvertakenError, RefusedError, UsageError
from deploykit.journal import clock
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.locks import require_breakable
from deploykit.journal.store import Known
from deploykit.journal.words import BY_PERSON
from deploykit.model import Decision, DecisionKind, Json, now
from deploykit.run import Run
from deploykit.seal import sealing_key
from deploykit.signoff import glass, kept, rules, ssh
from deploykit.signoff.gate import allowed_signers, require_same_plan, team
from deploykit.signoff.statement import LOCK, PLAN, Choice, Statement, make

#: How often a decision is held against a journal that grows meanwhile.
TRIES = 20
#: The events of decisions about earlier ones.
_ANSWERS = {DecisionKind.REVOKED: Type.DECISION_REVOKED, DecisionKind.REVIEWED: Type.DECISION_REVIEWED}


def decide(
    run: Run, item: str, kind: DecisionKind, *, key: Path, comment: str = "", seen: str | None = None
) -> Decision:
    """Sign a decision with a key of this machine, or of its agent, and record it.

    Args:
        run: The run that it is about.
        item: `plan`, or an item of the checklist; a step, where it says how one ended; or `lock`.
        kind: Signed, refused or overridden; that such a decision is revoked or reviewed; how a step ended; or that the
            lock is broken.
        key: The person's key; with a public one the agent signs.
        comment: Why; what is not a plain signature needs one.
        seen: The hash of the evidence that the person was shown, `state.items[item].evidence`; None is the newest.

    Raises:
        UsageError: No such item, key, or person for that key.
        RefusedError: A rule forbids this decision by this person, or the evidence changed since it was shown.
        LockedError: The step is under way in another process.
    """
    signer = ssh.principal_of_key(key, allowed_signers(run))
    statement = prepare(run, Choice(item=item, kind=kind, signer=signer, comment=comment), seen)
    return accept(run, statement.data, ssh.sign(statement.data, key, statement.namespace))


def prepare(run: Run, choice: Choice, seen: str | None = None) -> Statement:
    """What is to be signed, here or elsewhere, after everything that a signature does not change was checked.

    Args:
        run: The run that it is about.
        choice: What is decided, and by whom.
        seen: The hash of the evidence that the person was shown; None is the newest.

    Raises:
        UsageError, RefusedError: As `decide`.
    """
    choice = choice.model_copy(update={"comment": redact.text(choice.comment)})
    events, state, signing = run.events(), run.state(), run.settings.signing
    shown = rules.shown(state, choice.item, choice.kind)
    if seen is not None and shown != (seen,):
        said = f"the evidence of {choice.item} changed since it was shown"
        raise RefusedError(said, where="sign-off", mend="look again, and sign again")
    valid = signing.valid(choice.kind)
    # What comes after the seal is not in the archive, and could not be found there.
    last = next((event for event in events if event.type is Type.RUN_SEALED), events[-1])
    statement = make(run.plan, last.head, choice, shown, valid, signing.sign_within)
    _check(run, statement)
    return statement


def commands(run: Run, statement: Statement, file: Path, key: Path | None = None) -> tuple[str, str]:
    """What to type where the key is: the signature itself, and how it is brought in.

    Args:
        run: The run.
        statement: What is to be signed.
        file: Where its exact bytes were written.
        key: The key, where it is known.
    """
    said, name = statement.predicate, shlex.quote(str(file))
    path = shlex.quote(str(key)) if key else "~/.ssh/id_ed25519"
    sign = f"ssh-keygen -Y sign -f {path} -n {statement.namespace} {name}"
    return sign, f"deploykit sign {run.plan.number} {said.item} --signature {shlex.quote(f'{file}.sig')}"


def accept(run: Run, statement: bytes, signature: bytes, *, item: str | None = None) -> Decision:
    """Check a signed statement, wherever it was signed, and record it. An override is told to the team at once.

    Args:
        run: The run.
        statement: The exact bytes that were signed.
        signature: The signature, in the form that `ssh-keygen` writes.
        item: What it has to be about; None takes what it says.

    Raises:
        BrokenRecordError: The statement or its signature does not hold.
        RefusedError: It holds, and a rule forbids it, or it is about another item; or the run does not stand still.
        UsageError: It decides on an item that there is not.
    """
    parsed = Statement.parse(statement)
    said = parsed.predicate
    if item is not None and said.item != item:
        raise RefusedError(f"signed for another item: {said.item}, not {item}", where="sign-off", mend="sign this one")
    ssh.verify(parsed.data, signature, said.signer, parsed.namespace, allowed_signers(run))
    decision = parsed.decision
    for tries in range(TRIES):
        known = Known(run.events()[-1].seq)
        _check(run, parsed)
        if not tries:
            _keep(run, decision, statement, signature)
        with suppress(OvertakenError):
            _record(run, decision, known)
            break
    else:
        raise OvertakenError("the run does not stand still", where=said.item, mend="sign again in a moment")
    if decision.kind is DecisionKind.OVERRIDDEN:
        glass.alert(run, decision)
    return decision


def _keep(run: Run, decision: Decision, statement: bytes, signature: bytes) -> None:
    """The exact bytes, before the word on them; after the seal in an addendum."""
    if run.state().sealed:
        more = dict(zip(kept.ADDED, (statement, signature), strict=True))
        addenda.add(run, f"{decision.item} reviewed by {decision.signer}: {decision.comment}", sealing_key(run), more)
        return
    for name, data in zip(kept.names(decision.statement), (statement, signature), strict=True):
        run.write(name, data)


def _record(run: Run, decision: Decision, known: Known) -> None:
    """Write it down, if the journal still is what it was checked against."""
    said = decision.model_dump(mode="json", exclude={"item"})
    by: Json = {"by": BY_PERSON, "decision": said}
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
    elif decision.kind.answers:
        answer = {"type": _ANSWERS[decision.kind], "item": decision.item, "data": by}
        run.store.append(draft.model_copy(update=answer), known=known)
    else:
        run.store.append(draft.model_copy(update={"item": decision.item, "data": said}), known=known)


def _check(run: Run, statement: Statement) -> None:
    """Everything about a new decision but its signature."""
    said, state, events, at = statement.predicate, run.state(), run.events(), now()
    if statement.namespace is ssh.Namespace.APPROVAL:
        run.require_planned_settings()
        if said.decision is not DecisionKind.REFUSED:
            clock.require_steady(events[-1], clock.read())
    require_same_plan(run, events)
    if said.item not in {PLAN, LOCK} and not said.decision.resolves:
        checklist().find(said.item.partition("/")[0])
    if (said.item == LOCK) != (said.decision is DecisionKind.BROKEN):
        raise UsageError(f"{said.item} cannot be {said.decision}", where="sign-off", mend="`deploykit unlock RUN`")
    if said.decision is DecisionKind.BROKEN:
        require_breakable(run.store.lock(*run.place), run.id, run.settings.lock.expires)
    rules.check(statement, run.plan, team(run), at)
    _require_short(said.decision, (said.until - said.made_at).total_seconds(), run)
    rules.check_history(statement, run.plan, state, events, at)


def _require_short(kind: DecisionKind, seconds: float, run: Run) -> None:
    longest = run.settings.signing.valid(kind)
    if seconds > longest:
        raise RefusedError(f"valid for longer than the {longest:.0f} s that the settings allow", where="sign-off")
