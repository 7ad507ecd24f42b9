"""Decisions at the moment they count: proved again from their files, by the rules, the keys and the clock of now.

A row in the store is only a claim. What opens a gate, lets an action begin, or settles a step is the signature.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from deploykit.errors import BrokenRecordError, DeploykitError, RefusedError, Waiting
from deploykit.journal import clock
from deploykit.journal.events import Event, Type
from deploykit.journal.state import Step
from deploykit.journal.words import BY_PERSON
from deploykit.model import Decision, DecisionKind, now, sha256
from deploykit.run import Run, read_plan
from deploykit.signoff import kept, rules, ssh
from deploykit.signoff.ssh import Namespace
from deploykit.signoff.statement import PLAN


def opens(run: Run, item: str) -> bool:
    """Whether an item lets a gate open at this moment."""
    return not shut(run, item)


def shut(run: Run, item: str) -> str:
    """Why an item keeps its gate shut at this moment; empty where it does not."""
    state = run.state()
    settled, refused = state.items.get(item), state.words.refused.get(item)
    if settled is None:
        return "not done yet"
    if refused is not None:
        return f"refused by {refused.signer}: {refused.comment}"
    if state.passes(item):
        return ""
    why, made = f"{settled.outcome.value}: {settled.summary}", state.decided(item)
    if made is None:
        return why
    try:
        require(run, made)
    except DeploykitError as error:
        return f"{why}; the decision on it does not hold: {error.what}"
    return ""


def takes_back(event: Event) -> bool:
    """Whether an event takes away what an action was about to begin on: a decision revoked, or a refusal."""
    refused = event.type is Type.DECISION_MADE and event.data.get("kind") == DecisionKind.REFUSED.value
    return refused or event.type is Type.DECISION_REVOKED


def require(run: Run, event: Event) -> Decision:
    """The decision behind an event, proved again at this moment.

    Raises:
        BrokenRecordError: Plan, statement or signature is not what was recorded.
        RefusedError: It holds, and may not be used (any more).
    """
    decision, state, events = rules.decision(event), run.state(), run.events()
    if decision is None:
        raise BrokenRecordError("nobody signed this", where=f"journal, event {event.seq}")
    require_same_plan(run, events)
    statement = kept.proved(run.folder, decision, allowed_signers(run))
    if state.words.first.get(decision.statement) != event.seq:
        raise RefusedError("this statement was used before", where=decision.item, mend="sign again")
    if statement.namespace is Namespace.APPROVAL:
        run.require_planned_settings()
    rules.check(statement, run.plan, team(run), now())
    rules.check_bound(statement, state, events)
    return decision


def require_word(run: Run, step: Step) -> None:
    """Where a person said how a step ended, their signature is proved again; a row that claims it settles nothing.

    Raises:
        BrokenRecordError, RefusedError: It does not hold.
    """
    if step.data.get("by") == BY_PERSON:
        require(run, run.events()[step.seq - 1])


def to_review(run: Run) -> tuple[Decision, ...]:
    """Overrides that nobody else has looked at since: no row that says so counts, only a signature."""
    words = run.state().words
    return tuple(made for key, made in words.overridden.items() if not _reviewed(run, made, words.reviewed.get(key)))


def _reviewed(run: Run, made: Decision, event: Event | None) -> bool:
    if event is None:
        return False
    try:
        review = rules.decision(event)
        if review is None:
            return False
        statement = kept.proved(run.folder, review, allowed_signers(run), datetime.fromisoformat(event.at))
        rules.require_person(review.signer, run.plan, team(run))
    except DeploykitError:
        return False
    return made.statement in statement.predicate.evidence


def require_approval(run: Run) -> Decision:
    """The plan's approval, proved again from its files at this moment.

    Raises:
        Waiting: There is none, or none that can still be used; it says who may sign, and how.
        RefusedError: The plan was refused, or its approval no longer satisfies the rules.
        BrokenRecordError: Plan, statement or signature is not what was recorded.
    """
    run.require_planned_settings()
    events, state = run.events(), run.state()
    clock.require_steady(events[-1], clock.read())
    require_same_plan(run, events)
    _require_operator(run)
    refused = state.words.refused.get(PLAN)
    if refused is not None:
        said = f"{refused.signer} refused the plan: {refused.comment}"
        raise RefusedError(said, where="plan", mend="make a new plan")
    decision = state.decisions.get(PLAN)
    if decision is None:
        raise _waiting(run, "is not approved yet")
    if decision.until is not None and decision.until <= now():
        raise _waiting(run, f"was approved by {decision.signer} until {decision.until:%F %T} UTC, which is over")
    return require(run, state.words.made[PLAN])


def allowed_signers(run: Run) -> Path:
    """The team's own file, never a copy in a run's folder."""
    return run.settings.path(run.settings.signing.allowed_signers)


def team(run: Run) -> rules.People:
    """Who may decide on a run: the people of the settings that were planned with, whoever was added to them since."""
    frozen = run.read("settings.toml")
    if run.settings.digest != run.plan.settings and frozen and sha256(frozen) == run.plan.settings:
        return kept.people(frozen)
    return run.settings.people


def require_same_plan(run: Run, events: tuple[Event, ...]) -> None:
    """The plan on the disk is the one that the run was opened with.

    Raises:
        BrokenRecordError: It is not.
    """
    if not events[0].data["plan"] == read_plan(run.folder).hash == run.plan.hash:
        raise BrokenRecordError("the plan is not the one that the run was opened with", where="plan.json")


def _require_operator(run: Run) -> None:
    """The operator is who signed the plan. Else somebody could name another one there, and approve it themselves."""
    if run.plan.solo:
        return
    path = run.folder / kept.PLAN_SIGNATURE
    if not path.is_file():
        raise RefusedError("the plan is not signed by its operator", where="plan", mend="make the plan with a key")
    data, signature = kept.plan_bytes(run.plan), path.read_bytes()
    ssh.verify(data, signature, run.plan.operator, Namespace.PLAN, allowed_signers(run))


def _waiting(run: Run, why: str) -> DeploykitError:
    who = ", ".join(rules.approvers(run.plan, team(run))) or "nobody yet: give someone the role approver"
    plan = run.plan
    return Waiting(
        f"the plan of {plan.service} {plan.release} to {plan.environment} {why}; who may approve it: {who}",
        where=run.id,
        mend=f"deploykit sign {run.id} {PLAN}",
    )
