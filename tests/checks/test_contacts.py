"""The contacts that need no pager: channels, and who of the escalation matrix is there now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploykit.checks import contacts
from deploykit.checks.contacts import is_there, next_there
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Outcome
from deploykit.settings.contacts import DAYS, ContactSettings, ContactsSettings
from tests.world import Fault, World

CHANNELS = {contacts.database: "database-oncall", contacts.infrastructure: "infra-oncall"}
WEEK = ("mon", "tue", "wed", "thu", "fri")


@pytest.fixture
def context(world: World) -> Context:
    return world.context(world.plan(approved=False))


def contact(name: str = "Paula", **known: Any) -> ContactSettings:
    return ContactSettings.model_validate({"name": name, "slack": f"@{name.lower()}", **known})


def matrix(context: Context, monkeypatch: pytest.MonkeyPatch, at: datetime, *known: ContactSettings) -> Context:
    monkeypatch.setattr(contacts, "now", lambda: at)
    settings = context.settings.model_copy(update={"contacts": ContactsSettings(product=known)})
    return context.__class__(**{**context.__dict__, "settings": settings})


# --- channels


@pytest.mark.parametrize(("check", "name"), CHANNELS.items())
def test_a_channel_that_exists_passes(context: Context, check: Any, name: str) -> None:
    result = check(context)
    assert (result.outcome, result.summary) == (Outcome.PASS, f"#{name} exists")
    assert result.evidence.facts["id"] == name


@pytest.mark.parametrize(("check", "name"), CHANNELS.items())
def test_a_channel_that_is_not_there_fails_and_names_its_setting(
    world: World, context: Context, check: Any, name: str
) -> None:
    world.channels.remove(name)
    result = check(context)
    assert result.outcome is Outcome.FAIL
    assert f"make #{name}" in result.mend
    assert "contacts." in result.mend


@pytest.mark.parametrize("check", CHANNELS)
@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED])
def test_a_chat_that_does_not_answer_raises_for_its_caller(
    world: World, context: Context, check: Any, fault: Fault
) -> None:
    world.broken["chat.channel"] = fault
    with pytest.raises(ProviderError):
        check(context)


def test_a_team_may_call_its_channels_otherwise(world: World, context: Context) -> None:
    known = context.settings.model_copy(update={"contacts": ContactsSettings(database="dba")})
    world.channels.add("dba")
    assert contacts.database(context.__class__(**{**context.__dict__, "settings": known})).summary == "#dba exists"


# --- the escalation matrix

MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # 10:30 in Berlin


def test_the_first_who_is_there_is_the_contact(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    paula = contact(hours="09:00-18:00", days=["tue"], timezone="Europe/Berlin")
    known = (paula, contact("Pia", phone="+49 30 1"), contact("Head"))
    result = contacts.product(matrix(context, monkeypatch, MONDAY, *known))
    assert (result.outcome, result.summary) == (Outcome.PASS, "Pia, @pia or +49 30 1")
    assert [row[3] for row in result.evidence.tables[0].rows] == ["no", "yes", "yes"]


def test_nobody_there_fails_and_says_who_comes_next(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    paula = contact(hours="09:00-18:00", days=["tue"], timezone="Europe/Berlin")
    known = (paula, contact("Pia", hours="14:00-15:00"))
    result = contacts.product(matrix(context, monkeypatch, MONDAY, *known))
    assert result.outcome is Outcome.FAIL
    assert "Pia is, from Mon 2026-11-23 14:00 UTC" in result.summary


def test_without_a_matrix_it_is_inconclusive_and_names_the_section(context: Context) -> None:
    result = contacts.product(context)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "[[contacts.product]]" in result.mend


def test_hostile_names_stay_words(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "<b>Paula</b> [x](y)"
    result = contacts.product(matrix(context, monkeypatch, MONDAY, contact(hostile)))
    assert result.evidence.tables[0].rows[0][0] == hostile


@pytest.mark.parametrize(
    ("given", "at", "expected"),
    [
        ({"hours": "09:00-18:00"}, "2026-11-23T09:00Z", True),
        ({"hours": "09:00-18:00"}, "2026-11-23T08:59Z", False),
        ({"hours": "09:00-18:00"}, "2026-11-23T17:59Z", True),
        ({"hours": "09:00-18:00"}, "2026-11-23T18:00Z", False),
        ({"hours": "09:00-18:00", "timezone": "Europe/Berlin"}, "2026-11-23T08:00Z", True),
        ({"hours": "09:00-18:00", "timezone": "Europe/Berlin"}, "2026-07-23T07:00Z", True),
        ({"hours": "09:00-18:00", "timezone": "Europe/Berlin"}, "2026-11-23T07:00Z", False),
        ({"hours": "00:00-24:00"}, "2026-11-23T23:59Z", True),
        ({"days": WEEK}, "2026-11-28T12:00Z", False),
        ({"days": WEEK, "timezone": "Pacific/Auckland"}, "2026-11-22T12:00Z", True),
        ({"days": ["mon"], "hours": "22:00-06:00"}, "2026-11-23T21:59Z", False),
        ({"days": ["mon"], "hours": "22:00-06:00"}, "2026-11-23T22:00Z", True),
        ({"days": ["mon"], "hours": "22:00-06:00"}, "2026-11-24T05:59Z", True),
        ({"days": ["mon"], "hours": "22:00-06:00"}, "2026-11-24T06:00Z", False),
        ({"days": ["mon"], "hours": "22:00-06:00"}, "2026-11-23T05:00Z", False),
        ({"days": ["sun"], "hours": "22:00-06:00"}, "2026-11-23T05:00Z", True),
    ],
)
def test_hours_are_those_of_the_clock_there(given: dict[str, Any], at: str, *, expected: bool) -> None:
    assert is_there(contact(**given), datetime.fromisoformat(at)) is expected


TIMES = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
CONTACTS = st.builds(
    lambda hours, days, zone: contact(hours="-".join(hours), days=sorted(days), timezone=zone),
    st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] != pair[1]),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Auckland"]),
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - hypothesis wants it naive


@given(CONTACTS, MOMENTS)
def test_who_comes_next_is_there_then_and_not_before(known: ContactSettings, at: datetime) -> None:
    comes = next_there(known, at)
    assert is_there(known, comes)
    assert at - timedelta(minutes=1) < comes <= at + timedelta(days=15)
    minute = timedelta(minutes=1)
    assert comes - minute < at or not is_there(known, comes - minute)


@given(CONTACTS, MOMENTS)
def test_hours_and_the_rest_of_the_day_make_a_day(known: ContactSettings, at: datetime) -> None:
    begin, end = known.hours
    every = known.model_copy(update={"days": DAYS})
    rest = every.model_copy(update={"hours": (end, begin)})
    assert is_there(every, at) is not is_there(rest, at)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": "9-18"},
        {"hours": "09:00-09:00"},
        {"hours": "25:00-26:00"},
        {"hours": "09:60-10:00"},
        {"hours": 5},
        {"days": []},
        {"days": ["monday"]},
        {"timezone": "Berlin"},
        {"slack": ""},
        {"name": ""},
        {"mail": "p@example.com"},
    ],
)
def test_a_line_of_the_matrix_that_reaches_nobody_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contact(**{"name": "Paula", "slack": "@paula", **wrong} if "name" not in wrong else {**wrong})
