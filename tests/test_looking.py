"""Checks side by side, what is left out, and what a person signs over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploykit import checklist as checklist_module
from deploykit import runner
from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.errors import RefusedError, Unreachable, UsageError, Waiting
from deploykit.execution import run_action, run_check
from deploykit.execution.checks import Looking, leave_out, left_out
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Evidence, Kind, Outcome, Result
from deploykit.signoff.policy import decide
from tests.world import World, item

Find = Callable[[Context], Result]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Find]:
    """What the function of an item finds, by its id."""
    found: dict[str, Find] = {}
    real = Item.load

    def load(self: Item) -> Any:
        return found.get(self.id) or real(self)

    monkeypatch.setattr(checklist_module.Item, "load", load)
    return found


def well(name: str, **facts: str) -> Find:
    return lambda _context: Result(
        item=name, outcome=Outcome.PASS, summary="well", evidence=Evidence(facts=dict(facts))
    )


def gathers(name: str, text: str) -> Find:
    evidence = Evidence(text=text)
    return lambda _context: Result(item=name, outcome=Outcome.INCONCLUSIVE, summary="to sign", evidence=evidence)


# --- side by side

NAMES = [i.id for i in checklist().items("readiness") if i.kind is Kind.CHECK]


@pytest.fixture
def barrier() -> Iterator[threading.Barrier]:
    made = threading.Barrier(len(NAMES))
    yield made
    made.abort()


def test_checks_are_under_way_at_the_same_time(
    world: World, finds: dict[str, Find], barrier: threading.Barrier
) -> None:
    run = world.plan(begin="readiness")

    def meets(name: str) -> Find:
        def look(_context: Context) -> Result:
            barrier.wait(20)
            return Result(item=name, outcome=Outcome.PASS, summary="well")

        return look

    finds.update({name: meets(name) for name in NAMES})
    looking = Looking(run, lambda _item: world.context(run), within=20)
    looking.begin(item(name) for name in NAMES)
    assert {looking.wait(name).outcome for name in NAMES} == {Outcome.PASS}
    assert sorted(run.state().items) == sorted(NAMES)


def test_one_that_does_not_end_is_an_error_and_nobody_else_is_late(world: World, finds: dict[str, Find]) -> None:
    run, slow, other = world.plan(begin="readiness"), NAMES[0], NAMES[1]
    released = threading.Event()

    def hangs(_context: Context) -> Result:
        released.wait(20)
        return Result(item=slow, outcome=Outcome.PASS, summary="too late")

    finds.update({slow: hangs, other: well(other)})
    looking = Looking(run, lambda _item: world.context(run), within=0.2)
    looking.begin([item(slow), item(other)])
    assert looking.wait(other).outcome is Outcome.PASS
    found = looking.wait(slow)
    released.set()
    assert (found.outcome, found.summary) == (Outcome.ERROR, "it did not end within 0.2 s")
    assert run.state().items[slow].outcome is Outcome.ERROR, "what is found later is dropped"


def test_a_vendor_that_is_down_is_an_error_and_a_defect_is_raised(world: World, finds: dict[str, Find]) -> None:
    run, down, broken = world.plan(begin="readiness"), NAMES[0], NAMES[1]

    def unreachable(_context: Context) -> Result:
        raise Unreachable("it did not answer", where="vendor", mend="look at it")

    def defect(_context: Context) -> Result:
        raise ZeroDivisionError

    finds.update({down: unreachable, broken: defect})
    looking = Looking(run, lambda _item: world.context(run), within=20)
    looking.begin([item(down), item(broken)])
    assert looking.wait(down).outcome is Outcome.ERROR
    with pytest.raises(ZeroDivisionError):
        looking.wait(broken)
    assert broken not in run.state().items


# --- what is left out


def test_what_the_settings_leave_out_is_not_looked_at(world: World, finds: dict[str, Find]) -> None:
    with world.settings_file.open("a") as stream:
        stream.write('[left_out]\n"configuration.cors" = "no browser calls it"\n')
    run = world.plan(begin="readiness")
    finds["configuration.cors"] = lambda _context: pytest.fail("it was looked at")
    found = run_check(run, world.context(run), item("configuration.cors"))
    assert (found.outcome, found.summary) == (Outcome.LEFT_OUT, "left out by the settings: no browser calls it")
    assert run.state().opens("configuration.cors")


def test_a_phase_that_is_left_out_as_a_whole_needs_no_notebook(world: World) -> None:
    with world.settings_file.open("a") as stream:
        rows = "".join(f'"{i.id}" = "there is no database"\n' for i in checklist().items("database"))
        stream.write(f"[left_out]\n{rows}")
    run = world.plan(begin="database")
    assert leave_out(run, "database")
    assert not leave_out(run, "watch")
    assert run.state().phases["database"] == "passed"
    assert {run.state().items[i.id].outcome for i in checklist().items("database")} == {Outcome.LEFT_OUT}
    events = len(run.events())
    assert leave_out(run, "database")
    assert len(run.events()) == events, "and that is said once"


REHEARSED = {
    "an action": ("blue-green.deploy", "a rehearsal changes nothing"),
    "what hangs on a change": ("blue-green.health", "it hangs on blue-green.deploy"),
    "what touches something": ("configuration.rate-limits", "does not touch a burst of requests"),
    "what is signed": ("database.migrations-reviewed", "asks nobody to sign"),
}


@pytest.mark.parametrize("what", REHEARSED)
def test_a_rehearsal_leaves_out(world: World, what: str) -> None:
    name, said = REHEARSED[what]
    run = world.plan(rehearse=True)
    found = left_out(run, item(name))
    assert found is not None
    assert said in found.summary


def test_a_rehearsal_reads_what_is_real_and_touches_what_it_may(world: World) -> None:
    world.edit("[rules]\n", '[rules]\nrehearse = ["configuration.rate-limits"]\n')
    run = world.plan(rehearse=True)
    assert left_out(run, item("code-review.ci-green")) is None
    assert left_out(run, item("configuration.rate-limits")) is None


def test_a_rehearsed_action_has_no_intent_and_no_effect_and_still_asks_the_rules(world: World) -> None:
    run = world.plan(rehearse=True)
    found = run_action(run, world.context(run), item("blue-green.deploy"))
    assert found.outcome is Outcome.LEFT_OUT
    assert world.effects == []
    assert world.said(Type.STEP_INTENDED) == []
    assert run.state().items["rule.rollback-ready"].outcome is Outcome.PASS


# --- what a person signs over

SIGNED = "finish.issues"


def test_a_sign_off_opens_when_its_person_signed_over_what_was_gathered(world: World, finds: dict[str, Find]) -> None:
    run = world.plan()
    finds[SIGNED] = gathers(SIGNED, "two notes")
    with pytest.raises(UsageError, match="nothing to sign over"):
        decide(run, SIGNED, DecisionKind.SIGNED, key=world.key("olga"))
    run_check(run, world.context(run), item(SIGNED))
    assert not run.state().opens(SIGNED)
    decide(run, SIGNED, DecisionKind.SIGNED, key=world.key("olga"))
    assert run.state().opens(SIGNED)
    assert run.state().items[SIGNED].outcome is Outcome.INCONCLUSIVE, "the word stands beside the outcome"


def test_what_was_gathered_again_and_is_the_same_keeps_its_signature(world: World, finds: dict[str, Find]) -> None:
    name = "database.migrations-reviewed"
    run = world.plan()
    finds[name] = gathers(name, "ALTER TABLE")
    run_check(run, world.context(run), item(name))
    decide(run, name, DecisionKind.SIGNED, key=world.key("ann"))
    events = len(run.events())
    run_check(run, world.context(run), item(name))
    assert len(run.events()) == events
    finds[name] = gathers(name, "DROP TABLE")
    run.settle(finds[name](world.context(run)))
    assert not run.state().opens(name), "a signature is about what was shown"


def test_a_check_that_failed_is_not_for_signing(world: World, finds: dict[str, Find]) -> None:
    run, name = world.plan(), "code-review.ci-green"
    run.settle(Result(item=name, outcome=Outcome.INCONCLUSIVE, summary="no check ran"))
    with pytest.raises(UsageError, match="--override") as caught:
        decide(run, name, DecisionKind.SIGNED, key=world.key("ann"))
    assert "nothing to sign over" in str(caught.value)


def test_an_approval_is_not_for_the_operator(world: World, finds: dict[str, Find]) -> None:
    run, name = world.plan(), "database.migrations-reviewed"
    finds[name] = gathers(name, "ALTER TABLE")
    run_check(run, world.context(run), item(name))
    with pytest.raises(RefusedError, match="is the operator"):
        decide(run, name, DecisionKind.SIGNED, key=world.key("olga"))


def test_a_run_waits_for_the_signatures_that_are_missing_and_nothing_else(world: World, finds: dict[str, Find]) -> None:
    run = world.plan()
    finish = checklist().items("finish")
    for row in finish:
        finds[row.id] = gathers(row.id, "nothing")
    run.settle(Result(item=finish[0].id, outcome=Outcome.PASS, summary="well"))
    for row in finish[1:3]:
        run_check(run, world.context(run), row)
    assert runner.waiting(run, "finish") == ("finish.issues", "finish.runbook")
    run.settle(Result(item=finish[0].id, outcome=Outcome.FAIL, summary="ill"))
    assert runner.waiting(run, "finish") == (), "something else keeps the gate shut"


def test_a_refusal_ends_the_way_forward(world: World, finds: dict[str, Find]) -> None:
    run, name = world.plan(), "finish.issues"
    finds[name] = gathers(name, "two notes")
    run_check(run, world.context(run), item(name))
    decide(run, name, DecisionKind.REFUSED, key=world.key("olga"), comment="the notes are wrong")
    (phase,) = (phase for phase in checklist().phase if phase.id == "finish")
    with pytest.raises(RefusedError, match=r"refused finish\.issues: the notes are wrong"):
        runner._require_no_refusal(run, phase)
    assert not run.state().opens(name)


def test_waiting_is_told_with_what_to_type(
    world: World, finds: dict[str, Find], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.plan(begin="finish")
    finds.update({row.id: gathers(row.id, "nothing") for row in checklist().items("finish")})

    def execute(*_: object, **__: object) -> Any:
        for name in ("finish.issues", "finish.runbook"):
            run_check(run, world.context(run), item(name))
        run.settle(Result(item="finish.log", outcome=Outcome.PASS, summary="well"))

    monkeypatch.setattr(runner, "execute", execute)
    with pytest.raises(Waiting) as caught:
        runner.forward(run, lambda _line: None)
    assert f"deploykit sign {run.plan.number} finish.issues; deploykit sign {run.plan.number} finish.runbook" in (
        caught.value.mend
    )
