"""Goes through an action step by step: intent before effect, outcome after, each committed."""

from __future__ import annotations

from deploykit import redact
from deploykit.actions.step import Action, Step, Unseen
from deploykit.checklist import Item, checklist
from deploykit.context import Context, StopAskedError
from deploykit.errors import (
    BrokenRecordError,
    DeploykitError,
    HeldError,
    NotPassedError,
    ProviderError,
    Rejected,
    RolledBackError,
    StepUnknownError,
    UsageError,
)
from deploykit.execution.charge import require_landed
from deploykit.execution.checks import could_not_look, left_out
from deploykit.execution.figures import joined
from deploykit.execution.rules import ask_rules, require_rules
from deploykit.journal.events import Type
from deploykit.journal.state import StepPhase
from deploykit.journal.store import Known
from deploykit.model import Answer, Evidence, Outcome, Result, Table, canonical, worst
from deploykit.rollback import return_traffic, traffic_back
from deploykit.run import Run
from deploykit.signoff import gate
from deploykit.signoff.gate import require_approval

#: The phase that asks neither freeze, clock, approval nor order.
ROLLBACK = "rollback"


def run_action(run: Run, context: Context, item: Item) -> Result:
    """Go through the steps of an action, from the first that is not settled.

    Returns:
        The action's result, recorded. One that passed is returned as it is; after another, what did not happen is
        tried again, unless traffic went back: then the run goes no further.

    Raises:
        Waiting, RefusedError, LockedError: It may not be begun (yet).
        StepUnknownError: A step's end was not seen and its probe cannot tell.
        HeldError, RolledBackError, NotPassedError: It did not pass; traffic is on live.
    """
    state = run.state()
    ended = item.id in state.items and item.phase != "rollback" and (state.returned or state.rolled_back)
    if not (gate.opens(run, item.id) or ended):
        spared = left_out(run, item)
        if spared is not None:
            if item.production:
                ask_rules(run, context)  # nothing is changed, but a rehearsal should tell
            run.settle(spared)
        else:
            with run.alone(ROLLBACK if item.phase == ROLLBACK else ""):
                _go(run, context, item)
    return require_passed(run, item.id)


def require_passed(run: Run, item: str) -> Result:
    """The recorded result of an action; nothing is done.

    Raises:
        HeldError, RolledBackError, NotPassedError: It did not pass, or was not done.
    """
    result = run.result(item)
    if result is None:
        raise NotPassedError("not done", where=item, mend="run its cell")
    _raise_unless_passed(run, result)
    return result


def _go(run: Run, context: Context, item: Item) -> Result:
    """Step by step. However it ends short of a pass, traffic that was moved is sent back."""
    action: Action = item.load()(context)
    steps, results = action.steps(), list[Result]()
    if isinstance(steps, Result):
        run.settle(steps)
        return steps
    try:
        _require_same(run, item, steps)
        _try_each(run, context, item, steps, results)
    except BaseException as error:
        begun = any(name == item.id or name.startswith(f"{item.id}/") for name in run.begun())
        if any(step.moves_traffic for step in steps):
            if begun:
                why = error.what if isinstance(error, DeploykitError) else str(error)
                return_traffic(run, f"{item.id} was broken off: {type(error).__name__}: {why}")
            context.guard.stand_down()
        raise
    if steps[-1].moves_traffic:
        context.guard.stand_down()
    return results[-1] if results[-1].item == item.id else _summed_up(run, item, steps, results)


def _try_each(run: Run, context: Context, item: Item, steps: tuple[Step, ...], results: list[Result]) -> None:
    """The steps until one does not pass; after one that stands alone the next is tried all the same.

    Raises:
        DeploykitError: What broke a step off; of one that stands alone, at the end.
    """
    broken: StepUnknownError | ProviderError | UsageError | None = None
    for step in steps:
        try:
            results.append(_run_step(run, context, item, step))
        except (StepUnknownError, ProviderError, UsageError) as error:
            if not step.alone:
                raise
            broken = broken or error
        else:
            if results[-1].outcome is not Outcome.PASS and not step.alone:
                break
    if broken is not None:
        raise broken


def _require_same(run: Run, item: Item, steps: tuple[Step, ...]) -> None:
    """What was begun of this action is what it would do now: the same steps, in their order, with the same intents.

    Raises:
        BrokenRecordError: It is not, so nothing of it is done.
    """
    begun = [known for known in run.state().steps.values() if known.item == item.id]
    for place, known in enumerate(begun):
        step = steps[place] if place < len(steps) else None
        if step is None or step.id != known.step:
            said = (
                f"{known.step} was begun as step {place + 1}, and {step.id if step else 'no step'} is in its place now"
            )
        elif canonical(redact.tree(step.intent)) != canonical(known.intent):
            said = f"{known.step} was begun to do {known.intent}, and would do {step.intent} now"
        else:
            continue
        raise BrokenRecordError(
            said,
            where=item.id,
            mend=f"resume with the version and settings that began it, or `deploykit rollback {run.id}`",
        )


def _run_step(run: Run, context: Context, item: Item, step: Step) -> Result:
    recorded = run.result(step.id)
    if recorded is not None and (recorded.outcome.opens or step.moves_traffic):
        return recorded
    returned = run.state().returned
    if step.moves_traffic and returned:
        return _record(run, item, step, _failed(step, f"traffic went back to live before: {returned}"))
    if not _has_happened(run, item, step):
        known = _require(run, context, item)
        if step.ready is not None:
            step.ready()
        op = _operation(run, step)
        run.intend(item=item.id, step=step.id, op=op, data=step.intent, forward=known is not None, known=known)
        failed = _effect(run, item, step, op)
        if failed is not None:
            return _record(run, item, step, failed)
    return _record(run, item, step, _settle(step))


def _operation(run: Run, step: Step) -> str:
    """The operation's id: one that nobody saw end keeps it, so that a vendor that takes it as a key knows it again.

    It does so even where the probe, or a person, said that it did not happen: either may have looked too early.
    """
    known = run.state().steps.get(step.id)
    if known is not None and (known.unseen or known.data.get("by")):
        return known.op
    return f"{run.id}/{step.id}/{known.tries + 1 if known else 1}"


def _failed(step: Step, summary: str, mend: str = "") -> Result:
    return Result(item=step.id, outcome=Outcome.FAIL, summary=summary, mend=mend)


def _has_happened(run: Run, item: Item, step: Step) -> bool:
    """What the journal, and for an intent without an end the step's probe, say of an earlier try.

    One that may be repeated under its own id counts as not happened: doing it again settles it.

    Raises:
        StepUnknownError: Nobody can tell; a person has to look and resolve it.
    """
    known = run.state().steps.get(step.id)
    if known is None:
        return False
    if known.phase is StepPhase.REJECTED:
        gate.require_word(run, known)
        return False
    if known.phase is StepPhase.HAPPENED:
        gate.require_word(run, known)
        return True
    if step.probe is Unseen.REPEAT:
        return False
    found, said = _probed(step)
    if found is None:
        run.append(Type.STEP_UNKNOWN, item=item.id, step=step.id, op=known.op, data={"reason": said})
        raise StepUnknownError(
            f"{step.id} was begun at event {known.seq} and its end was not seen: {said}",
            where=step.id,
            mend=f"look at the system itself, then `deploykit resolve {run.id} {step.id} --happened` or `--did-not`",
        )
    kind = Type.STEP_HAPPENED if found else Type.STEP_REJECTED
    run.append(kind, item=item.id, step=step.id, op=known.op, data={"by": "probe"})
    return found


def _probed(step: Step) -> tuple[bool | None, str]:
    """What looking says, and why it cannot tell where it cannot."""
    try:
        return step.probe(), "only a person can tell" if step.probe is Unseen.PERSON else "the probe cannot tell"
    except ProviderError as error:
        return None, error.what


def _require(run: Run, context: Context, item: Item) -> Known | None:
    """What must hold at the moment of a forward effect; returns what of the journal it rests on.

    A rollback asks for nothing, and rests on nothing.
    """
    if item.phase == ROLLBACK:
        return None
    known, state = Known(run.events()[-1].seq, gate.takes_back), run.state()
    if state.rolled_back or state.returned:
        raise RolledBackError(
            f"traffic went back to live: {state.rolled_back or state.returned}",
            where=item.id,
            mend="this run goes no further; `deploykit rollback` finishes it, then make a new plan",
        )
    run.require_planned_version()
    run.require_planned_settings()
    require_approval(run)
    for before in checklist().items(item.phase):
        if before.id == item.id:
            break
        why = gate.shut(run, before.id)
        if why:
            raise NotPassedError(
                f"{before.id} comes first, and is {why}",
                where=item.id,
                mend=f"run {before.id} and mend what it says",
            )
    if item.production:
        require_rules(run, context)
    return known


def _effect(run: Run, item: Item, step: Step, op: str) -> Result | None:
    """Make the effect; returns a result only when it is sure that it did not happen."""
    try:
        facts = step.do(op)
    except Rejected as error:
        run.append(Type.STEP_REJECTED, item=item.id, step=step.id, op=op, data={"reason": error.what})
        return _failed(step, error.what, error.mend)
    except ProviderError as error:
        run.append(Type.STEP_UNKNOWN, item=item.id, step=step.id, op=op, data={"reason": error.what})
        if step.probe is Unseen.REPEAT:
            mend = f"`deploykit resume {run.id}` does it again under the same key, so it cannot happen twice"
            raise StepUnknownError(f"its end was not seen: {error.what}", where=step.id, mend=mend) from error
        if not _has_happened(run, item, step):
            return _failed(step, f"it did not happen: {error.what}", error.mend)
    else:
        run.append(Type.STEP_HAPPENED, item=item.id, step=step.id, op=op, data=facts)
    if item.phase != ROLLBACK:  # what a rollback undoes is to be undone whoever is in charge
        require_landed(run, item.id, step.id, op)
    return None


def _settle(step: Step) -> Result:
    """Verify, wait and judge."""
    try:
        return step.settle()
    except StopAskedError as stopped:
        return _failed(step, str(stopped), "`deploykit status` says why")
    except ProviderError as error:
        return could_not_look(step.id, error)


def _record(run: Run, item: Item, step: Step, result: Result) -> Result:
    """Write down how a step ended; what did not pass sends traffic back before anything is written at length."""
    verdict = result.evidence.verdict
    if step.moves_traffic and result.outcome is not Outcome.PASS:
        if verdict is not None and verdict.answer is Answer.ROLL_BACK:
            traffic_back(run, result.summary)
        elif not run.state().returned:
            return_traffic(run, result.summary)
    if verdict is not None:
        run.append(Type.VERDICT_GIVEN, item=item.id, step=step.id, data=verdict.model_dump(mode="json"))
    run.settle(result)
    return result


def _summed_up(run: Run, item: Item, steps: tuple[Step, ...], results: list[Result]) -> Result:
    """The action's own result, from its steps': the worst outcome with its verdict, and one picture of the whole."""
    outcome = worst([result.outcome for result in results])
    last = results[-1] if outcome is Outcome.PASS else next(r for r in results if r.outcome is outcome)
    passed = [result.item.rpartition("/")[2] for result in results if result.outcome is Outcome.PASS]
    unit = " %" if steps[-1].moves_traffic else ""
    summary = f"passed {', '.join(passed)}{unit}" if outcome is Outcome.PASS else last.summary
    rows = tuple((r.item.rpartition("/")[2], r.outcome.value, r.summary) for r in results)
    evidence = Evidence(
        tables=(Table(title="Steps", columns=("step", "outcome", "what was seen"), rows=rows),),
        figures=joined(tuple(result.evidence.figures for result in results)),
        verdict=last.evidence.verdict,
    )
    result = Result(item=item.id, outcome=outcome, summary=summary, evidence=evidence, mend=last.mend)
    run.settle(result)
    return result


def _raise_unless_passed(run: Run, result: Result) -> None:
    if gate.opens(run, result.item):
        return
    state = run.state()
    kind: type[NotPassedError] = NotPassedError
    if state.rolled_back:
        kind = RolledBackError
    elif state.returned:
        kind = HeldError
    raise kind(f"{result.outcome.value}: {result.summary}", where=result.item, mend=result.mend)
