"""Who is on call, asked over the wire: without a gap, and somebody who can be reached."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.checklist import Item
from deploykit.checks.people import gaps
from deploykit.context import Context
from deploykit.execution import run_check
from deploykit.model import Kind, Outcome, Result
from deploykit.ports import OnCall
from deploykit.run import Run
from tests.standins import BROKEN, StandIns
from tests.world import World

ON_CALL, CONTACT = "prepare.on-call", "contact.on-call"
ITEMS = {ON_CALL: "checks.people:on_call", CONTACT: "checks.contacts:on_call"}
Ask = Callable[..., Result]
INES, OTTO, MARA = "PINES01", "POTTO01", "PMARA01"


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


@pytest.fixture
def ask(world: World, run: Run, stand_ins: StandIns) -> Ask:
    """The outcome of an item; the window and the watch last an hour and a half."""
    slow = run.plan.model_copy(update={"time_scale": 1.0, "watch_seconds": 1800.0})

    def asked(item: str = ON_CALL, **given: Any) -> Result:
        row = Item(id=item, phase="prepare", kind=Kind.CHECK, title="", proof="", provider="", by=ITEMS[item])
        return run_check(run, stand_ins.context(world.context(run, plan=slow), **given), row)

    return asked


def turn(user: str, start: float | None = None, end: float | None = None, level: int = 1) -> dict[str, Any]:
    return {"user": user, "level": level, "start": start, "end": end}


@pytest.mark.parametrize(
    ("turns", "names"),
    [
        ([turn(INES)], "Ines"),
        ([turn(INES, -60, 6000)], "Ines"),
        ([turn(INES, -60, 1800), turn(OTTO, 1800, 9000)], "Ines, then Otto"),
        ([turn(OTTO, 1800, 9000), turn(INES, -60, 3000)], "Ines, then Otto"),
        ([turn(INES, -60, 1800), turn(OTTO, 1800, 3600), turn(INES, 3600, 9000)], "Ines, then Otto"),
        ([turn(INES), turn(MARA, level=2)], "Ines"),
    ],
)
def test_one_after_the_other_without_a_gap_passes(
    ask: Ask, stand_ins: StandIns, turns: list[dict[str, Any]], names: str
) -> None:
    stand_ins.state("pagerduty", oncalls=turns)
    result = ask()
    assert result.outcome is Outcome.PASS
    assert result.summary.startswith(f"{names} on call until ")
    assert result.evidence.facts["gaps"] == []


def test_the_account_at_the_start_passes(ask: Ask) -> None:
    assert ask().outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("turns", "count"),
    [
        ([turn(INES, -60, 1800), turn(OTTO, 1860, 9000)], 1),
        ([turn(INES, 600, 9000)], 1),
        ([turn(INES, -600, 5000)], 1),
        ([turn(INES, 600, 1200), turn(OTTO, 1800, 2400)], 3),
        ([turn(INES, 600, 1200, level=2), turn(OTTO, -60, 1000)], 1),
    ],
)
def test_a_gap_fails_and_says_when(ask: Ask, stand_ins: StandIns, turns: list[dict[str, Any]], count: int) -> None:
    stand_ins.state("pagerduty", oncalls=turns)
    result = ask()
    assert result.outcome is Outcome.FAIL
    listed = result.evidence.facts["gaps"]
    assert isinstance(listed, list)
    assert len(listed) == count
    assert all(str(gap) in result.summary for gap in listed)
    assert "override" in result.mend


@pytest.mark.parametrize("turns", [[], [turn(MARA, level=2)], [turn(INES, -600, -60)], [turn(INES, 90000, 99000)]])
@pytest.mark.parametrize("item", ITEMS)
def test_nobody_at_the_first_level_fails(ask: Ask, stand_ins: StandIns, turns: list[dict[str, Any]], item: str) -> None:
    stand_ins.state("pagerduty", oncalls=turns)
    result = ask(item)
    assert result.outcome is Outcome.FAIL
    assert "nobody who can be reached is on call" in result.summary


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("changes", [None, {"contact_methods": []}])
def test_who_is_gone_or_cannot_be_reached_is_nobody(
    ask: Ask, stand_ins: StandIns, item: str, changes: dict[str, Any] | None
) -> None:
    stand_ins.state("pagerduty", oncalls=[turn(INES)], users={INES: changes})
    assert ask(item).outcome is Outcome.FAIL
    stand_ins.state("pagerduty", oncalls=[turn(INES), turn(OTTO)], users={INES: changes})
    assert ask(item).outcome is Outcome.PASS


def test_who_cannot_be_reached_is_named(ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("pagerduty", oncalls=[turn(INES)], users={INES: {"contact_methods": []}})
    assert "Ines cannot be reached" in ask().summary


@pytest.mark.parametrize("item", ITEMS)
def test_another_policy_has_nobody(ask: Ask, item: str) -> None:
    result = ask(item, escalation_policy="POTHER")
    assert result.outcome is Outcome.FAIL
    assert "POTHER" in result.mend


def test_a_turn_beyond_the_first_page_is_seen(ask: Ask, stand_ins: StandIns) -> None:
    shifts = [turn((INES, OTTO)[n % 2], n * 50, n * 50 + 50) for n in range(130)]
    stand_ins.state("pagerduty", oncalls=[turn(MARA, -60, 0), *shifts])
    assert ask().outcome is Outcome.PASS


def test_the_contact_is_who_is_on_call_at_that_moment(ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("pagerduty", oncalls=[turn(INES, -600, 600), turn(OTTO, 20, 9000), turn(MARA, -9000, -5)])
    result = ask(CONTACT)
    assert result.outcome is Outcome.PASS
    assert result.summary.startswith("Ines on call at ")
    assert str(result.evidence.facts["asked at"]) in result.summary


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_pager_that_does_not_answer_is_an_error_and_never_a_pass(
    ask: Ask, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch, item: str, fault: str
) -> None:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _: None)
    stand_ins.fault("pagerduty", BROKEN[fault])
    result = ask(item, timeout=0.2)
    assert result.outcome is Outcome.ERROR
    assert result.mend


@pytest.mark.parametrize("item", ITEMS)
def test_without_its_section_it_is_inconclusive_and_names_it(world: World, run: Run, item: str) -> None:
    context: Context = world.context(run, settings=run.settings.model_copy(update={"pager": None}))
    row = Item(id=item, phase="prepare", kind=Kind.CHECK, title="", proof="", provider="", by=ITEMS[item])
    result = run_check(run, context, row)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "[pager]" in result.mend


def test_looking_changes_nothing(ask: Ask, stand_ins: StandIns) -> None:
    ask(ON_CALL)
    ask(CONTACT)
    assert stand_ins.changed() == []


# --- gaps, for any turns

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SPAN = 40


@st.composite
def turns(draw: st.DrawFn) -> tuple[OnCall, ...]:
    ends = st.one_of(st.none(), st.integers(-10, SPAN + 10))
    made = []
    for start, end in draw(st.lists(st.tuples(ends, ends), max_size=6)):
        if start is None or end is None or start < end:
            begin, stop = (None if at is None else START + timedelta(minutes=at) for at in (start, end))
            made.append(OnCall("i", "Ines", 1, begin, stop, reachable=True, url=""))
    return tuple(made)


@given(turns())
def test_a_minute_is_in_a_gap_exactly_where_no_turn_covers_it(known: tuple[OnCall, ...]) -> None:
    found = gaps(known, START, START + timedelta(minutes=SPAN))
    for minute in range(SPAN):
        at = START + timedelta(minutes=minute)
        covered = any((t.start is None or t.start <= at) and (t.end is None or at < t.end) for t in known)
        assert covered is not any(begin <= at < end for begin, end in found)
    assert all(begin < end for begin, end in found)
    assert all(one[1] < two[0] for one, two in pairwise(found))
