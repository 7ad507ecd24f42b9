"""Who may decide what, and when: pure rules on a statement, a plan, the team and the events before. No file, no key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import ValidationError

from deploykit.errors import BrokenRecordError, RefusedError, UsageError
from deploykit.journal.events import Event, Type
from deploykit.journal.state import State, Step
from deploykit.journal.words import BY_PERSON
from deploykit.model import Decision, DecisionKind, Outcome, Plan, sha256
from deploykit.settings import PersonSettings
from deploykit.signoff.ssh import Namespace
from deploykit.signoff.statement import LOCK, PLAN, Statement, namespace

APPROVER = "approver"
#: Keys that the demo makes on the spot prove nobody; their principals end so, and no real plan takes them.
DEMO = "@sandbox.invalid"
#: What a person can have signed behind an event of each type.
_SAYS = {
    Type.DECISION_MADE: {DecisionKind.SIGNED, DecisionKind.REFUSED, DecisionKind.OVERRIDDEN},
    Type.DECISION_REVOKED: {DecisionKind.REVOKED},
    Type.DECISION_REVIEWED: {DecisionKind.REVIEWED},
    Type.STEP_HAPPENED: {DecisionKind.HAPPENED},
    Type.STEP_REJECTED: {DecisionKind.DID_NOT},
    Type.LOCK_BROKEN: {DecisionKind.BROKEN},
}
#: How far two machines' clocks may be apart.
SKEW = timedelta(minutes=1)

People = Mapping[str, PersonSettings]


def check(statement: Statement, plan: Plan, people: People, at: datetime) -> None:
    """Whether this statement may be used for this plan at this time.

    Raises:
        RefusedError: With the rule that forbids it.
    """
    _belongs(statement, plan)
    _timely(statement, plan, at)
    _reasoned(statement)
    require_person(statement.predicate.signer, plan, people)
    if statement.namespace is Namespace.APPROVAL and statement.predicate.decision is not DecisionKind.REFUSED:
        # Whoever is on the team may stop a release, its author too; letting it go on takes somebody else.
        _require_independent(statement.predicate.signer, plan, people, statement.predicate.item)


def check_history(statement: Statement, plan: Plan, state: State, events: Sequence[Event], at: datetime) -> None:
    """Whether this statement may follow what the journal holds already.

    Args:
        statement: The new decision.
        plan: What it is about.
        state: Where the run stood before it.
        events: The journal, at least until then.
        at: When it is brought in.

    Raises:
        RefusedError: It was used before, came too late, follows a refusal, or is about something else than is recorded.
        UsageError: There is nothing to decide on in this way.
    """
    said, refused = statement.predicate, state.words.refused.get(statement.predicate.item)
    if state.sealed and said.decision is not DecisionKind.REVIEWED:
        raise RefusedError("the run is sealed", where=said.run, mend="what is learnt later goes to an addendum")
    if sha256(statement.data) in state.words.first:
        raise RefusedError("this statement was used before", where="sign-off", mend="sign again")
    if said.sign_by is not None and said.sign_by <= at:
        raise RefusedError(f"was to be signed until {said.sign_by:%F %T} UTC", where="sign-off", mend="sign again")
    if refused is not None and said.decision is DecisionKind.REVOKED:
        raise RefusedError("a refusal stays", where=said.item, mend="make a new plan")
    if refused is not None and said.decision is not DecisionKind.REVIEWED:
        why = f"{said.item} was refused by {refused.signer}: {refused.comment}"
        raise RefusedError(why, where="sign-off", mend="make a new plan")
    if said.decision.resolves:
        unseen(state, said.item)
    check_bound(statement, state, events)
    if said.decision is DecisionKind.OVERRIDDEN:
        _require_shut(said.item, state)
    elif said.decision is DecisionKind.SIGNED and not (said.item in {PLAN, LOCK} or state.gathered(said.item)):
        mend = "what did not pass is overridden, with a reason: --override -m WHY"
        raise UsageError(f"{said.item} has nothing to sign over", where="sign-off", mend=mend)
    elif said.decision.answers:
        _require_answerer(statement, state, plan)


def check_bound(statement: Statement, state: State, events: Sequence[Event]) -> None:
    """Whether it is about this journal, and about the evidence that stands in it now.

    Raises:
        RefusedError: It is not.
    """
    said, known = statement.predicate, state.last.seq if state.last else 0
    if said.head.seq > known or events[said.head.seq - 1].hash != said.head.hash:
        raise RefusedError("signed over another journal than this run's", where="sign-off", mend="sign again")
    if not said.evidence == statement.shown == shown(state, said.item, said.decision):
        raise RefusedError(f"the evidence of {said.item} changed since it was shown", mend="look again, and sign again")


def shown(state: State, item: str, kind: DecisionKind) -> tuple[str, ...]:
    """The hashes of what a person who decides on an item is shown.

    Of a step that is what was about to be done; who revokes or reviews is shown what was signed.

    Raises:
        UsageError: There is nothing to revoke or to review.
    """
    if kind.resolves:
        known = state.steps.get(item)
        return (known.intended,) if known else ()
    if kind.answers:
        return tuple(decision.statement for decision in _answered(state, item, kind))
    settled = state.items.get(item)
    return (settled.evidence,) if settled else ()


def _answered(state: State, item: str, kind: DecisionKind) -> list[Decision]:
    """The decisions that one of a later kind is about."""
    if kind is DecisionKind.REVOKED:
        found = [state.decisions[item]] if item in state.decisions else []
        said, mend = f"there is no decision on {item} to revoke", "`deploykit status` lists them"
    else:
        found = [decision for decision in state.words.overridden.values() if decision.item == item]
        said, mend = f"there is no override of {item} to review", "`deploykit status` lists what is to be reviewed"
    if not found:
        raise UsageError(said, where="sign-off", mend=mend)
    return found


def _require_answerer(statement: Statement, state: State, plan: Plan) -> None:
    """An earlier decision is taken back by its maker, before it was used, and reviewed by somebody else."""
    said = statement.predicate
    makers = {decision.signer for decision in _answered(state, said.item, said.decision)}
    if said.decision is DecisionKind.REVIEWED:
        if said.signer in makers and not plan.solo:
            mend = "have somebody else look at it"
            raise RefusedError(f"{said.signer} broke the glass, and may not review it", where=said.item, mend=mend)
        return
    if makers != {said.signer}:
        mend = f"{', '.join(makers)} takes it back, or a line of allowed_signers ends that key"
        raise RefusedError(f"{said.signer} did not make this decision", where=said.item, mend=mend)
    used = state.words.used(said.item)
    if used is not None:
        mend = "`deploykit rollback` sends traffic back"
        raise RefusedError(f"it was used: {used.type} at event {used.seq}", where=said.item, mend=mend)


def unseen(state: State, step: str) -> Step:
    """A step whose end nobody saw.

    Raises:
        UsageError: It is none.
    """
    known = state.steps.get(step)
    if known is None or not known.unseen:
        said = f"it {known.phase}" if known else "it was never begun"
        listed = ", ".join(each.step for each in state.unknown) or "no step"
        raise UsageError(f"{step} has nothing to resolve: {said}", where="resolve", mend=f"unknown is: {listed}")
    return known


def decisions(events: Iterable[Event]) -> Iterator[tuple[Event, Decision]]:
    """Every event that a person signed, and what they signed."""
    for event in events:
        made = decision(event)
        if made is not None:
            yield event, made


def decision(event: Event) -> Decision | None:
    """What a person signed behind this event; None where it does not rest on a signature.

    Raises:
        BrokenRecordError: It says that it does, and not on which, or not on one of its kind.
    """
    item, said = event.item, event.data
    if event.type is not Type.DECISION_MADE:
        if said.get("by") != BY_PERSON:
            return None
        nested = said.get("decision")
        item = {Type.LOCK_BROKEN: LOCK}.get(event.type, event.step or event.item)
        said = nested if isinstance(nested, dict) else {}
    try:
        found = Decision.model_validate({"item": item, **said})
    except ValidationError as error:
        raise BrokenRecordError("what a person signed is not said", where=f"journal, event {event.seq}") from error
    if found.kind not in _SAYS.get(event.type, ()):
        raise BrokenRecordError(f"{event.type} cannot rest on {found.kind}", where=f"journal, event {event.seq}")
    return found


def _require_shut(item: str, state: State) -> None:
    settled = state.items.get(item)
    if settled is None or settled.outcome.opens:
        raise UsageError(f"{item} has nothing to override", where="sign-off", mend="`deploykit status` shows it")
    if settled.outcome is Outcome.UNKNOWN:
        raise RefusedError(f"{item} is unknown, which nobody can override", mend="`deploykit resolve` settles it")


def require_person(signer: str, plan: Plan, people: People) -> PersonSettings:
    """The signer's entry in `[people]`.

    Raises:
        RefusedError: They have none, or it is a demo's key outside of the sandbox.
    """
    if _is_demo(signer, plan):
        raise RefusedError(f"{signer} is a key made for the demo", where="sign-off", mend="sign with a person's key")
    for person in people.values():
        if person.principal == signer:
            return person
    raise RefusedError(f"{signer} is not on the team", where="sign-off", mend="add them to [people] and plan again")


def approvers(plan: Plan, people: People, item: str = PLAN) -> tuple[str, ...]:
    """The principals who may approve this plan, or an item of it."""
    team = {person.principal for person in people.values() if not _is_demo(person.principal, plan)}
    return tuple(sorted(signer for signer in team if not _objection(signer, plan, people, item)))


def signers(plan: Plan, people: People, item: str) -> tuple[str, ...]:
    """The principals who may sign an item: approve it, or attest what was gathered."""
    if namespace(item, DecisionKind.SIGNED) is Namespace.APPROVAL:
        return approvers(plan, people, item)
    return tuple(sorted(person.principal for person in people.values() if not _is_demo(person.principal, plan)))


def _is_demo(signer: str, plan: Plan) -> bool:
    return signer.endswith(DEMO) and not plan.sandbox


def _require_independent(signer: str, plan: Plan, people: People, item: str) -> None:
    objection = _objection(signer, plan, people, item)
    if objection:
        others = ", ".join(approvers(plan, people, item)) or "nobody in [people]"
        raise RefusedError(f"{signer} {objection}", where="sign-off", mend=f"who may approve: {others}")


def _objection(signer: str, plan: Plan, people: People, item: str) -> str:
    """Why this person may not approve; empty where they may."""
    who = [person for person in people.values() if person.principal == signer]
    if plan.solo:
        return ""
    if not any({APPROVER, f"{APPROVER}:{item}"} & set(person.roles) for person in who):
        return f"does not have the role approver, nor {APPROVER}:{item}"
    names = _github(who)
    operators = [person for person in people.values() if person.principal == plan.operator]
    if signer == plan.operator or names & _github(operators):
        return "is the operator of this run"
    if plan.authors and not names:
        return "has no github name in [people], so it cannot be told that they wrote none of the release"
    if names & {author.casefold() for author in plan.authors}:
        return "wrote a change in this release"
    return ""


def _github(people: Iterable[PersonSettings]) -> set[str]:
    # The code host does not tell Alice from alice.
    return {person.github.casefold() for person in people if person.github}


def _belongs(statement: Statement, plan: Plan) -> None:
    said = statement.predicate
    for name, found, wanted in (
        ("run", said.run, plan.run),
        ("service", said.service, plan.service),
        ("environment", said.environment, plan.environment),
        ("plan", statement.plan, plan.hash),
    ):
        if found != wanted:
            raise RefusedError(f"signed for another {name}: {found}, not {wanted}", where="sign-off", mend="sign again")


def _timely(statement: Statement, plan: Plan, at: datetime) -> None:
    said = statement.predicate
    if said.made_at > at + SKEW:
        raise RefusedError(f"signed in the future, at {said.made_at:%F %T} UTC", where="clock", mend="set the clocks")
    if said.made_at < plan.made_at - SKEW:
        raise RefusedError("signed before the plan was made", where="sign-off", mend="sign again")
    if said.until <= at:
        raise RefusedError(f"expired at {said.until:%F %T} UTC", where="sign-off", mend="sign again")


def _reasoned(statement: Statement) -> None:
    said = statement.predicate
    speaks_for_itself = said.decision is DecisionKind.SIGNED or said.decision.resolves
    if not speaks_for_itself and not said.comment.strip():
        raise RefusedError(f"{said.decision} without a reason", where="sign-off", mend="say why with --comment")
