from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deploykit import model
from deploykit.model import Arm, Outcome, Plan, Result, Series, TrafficStep, canonical, sha256, worst

ANY = st.sampled_from(list(Outcome))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_only_what_passed_was_not_needed_or_was_left_out_opens_a_gate() -> None:
    assert {outcome for outcome in Outcome if outcome.opens} == {Outcome.PASS, Outcome.NOT_NEEDED, Outcome.LEFT_OUT}


def test_every_outcome_has_its_place_in_severity() -> None:
    assert sorted(model.SEVERITY) == sorted(Outcome)


def test_nothing_at_all_is_inconclusive() -> None:
    assert worst([]) is Outcome.INCONCLUSIVE


@given(st.lists(ANY, min_size=1, max_size=4))
def test_the_worst_is_one_of_them_and_the_order_does_not_matter(outcomes: list[Outcome]) -> None:
    answer = worst(outcomes)
    assert answer in outcomes
    assert {worst(list(order)) for order in permutations(outcomes)} == {answer}


@given(st.lists(ANY, min_size=1))
def test_one_outcome_that_does_not_open_keeps_all_from_opening(outcomes: list[Outcome]) -> None:
    assert worst(outcomes).opens == all(outcome.opens for outcome in outcomes)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_series_refuses_what_is_not_a_number(value: float) -> None:
    with pytest.raises(ValidationError, match="not a finite number"):
        Series(name="errors", unit="requests", points=((0.0, value),))
    with pytest.raises(ValidationError, match="not a finite number"):
        Series(name="errors", unit="requests", points=((value, 1.0),))


def test_a_missing_point_stays_missing() -> None:
    series = Series(name="errors", unit="requests", points=((0.0, 2.0), (10.0, None), (20.0, 3.0)))
    assert series.total == 5.0
    frame = series.frame()
    assert list(frame["errors"].isna()) == [False, True, False]
    assert str(frame.index.dtype).endswith("UTC]")
    assert frame.index[1].timestamp() == 10.0


def test_an_empty_series_is_an_empty_frame() -> None:
    frame = Series(name="errors", unit="requests").frame()
    assert (len(frame), list(frame.columns), str(frame.dtypes["errors"])) == (0, ["errors"], "float64")


def test_records_are_frozen_and_refuse_unknown_fields() -> None:
    step = TrafficStep(percent=10, seconds=1, requests=0)
    with pytest.raises(ValidationError, match="frozen"):
        step.percent = 100  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrafficStep.model_validate({"percent": 10, "seconds": 1, "requests": 0, "minutes": 1})


def test_two_results_never_share_their_evidence() -> None:
    Result(item="a", outcome=Outcome.PASS, summary="").evidence.facts["seen"] = 1
    assert Result(item="b", outcome=Outcome.PASS, summary="").evidence.facts == {}


def test_canonical_json_sorts_keeps_unicode_and_refuses_nan() -> None:
    assert canonical({"b": 1, "a": "ä"}) == '{"a":"ä","b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": math.nan})


def test_now_has_milliseconds_and_utc() -> None:
    stamp = model.now()
    assert stamp.utcoffset() == timedelta(0)
    assert stamp.microsecond % 1000 == 0


def plan(**changes: object) -> Plan:
    arm = {"version": "v1", "url": "http://localhost", "platform_service": "shop"}
    fields: dict[str, object] = {
        "run": "20261123T031000Z-shop-production-7f3a",
        "number": 1,
        "service": "shop",
        "environment": "production",
        "release": "v2",
        "commit": "0" * 40,
        "operator": "olga@example.com",
        "solo": False,
        "made_at": datetime(2026, 11, 23, 3, 10, tzinfo=UTC),
        "made_with": "0.1.0",
        "live": Arm.model_validate({"colour": "green", **arm}),
        "candidate": Arm.model_validate({"colour": "blue", **arm}),
        "steps": (TrafficStep(percent=100, seconds=60, requests=10),),
        "watch_seconds": 1800,
        "hold_limit_seconds": 900,
        "guard_seconds": 60,
        "notebooks": {"03_blue_green.ipynb": sha256(b"3"), "04_watch.ipynb": sha256(b"4")},
        "settings": sha256(b"settings"),
    }
    return Plan.model_validate(fields | changes)


def test_a_plan_hash_is_pinned() -> None:
    """People sign it, so an old plan must keep its hash; after 0.1.0 a new field means a new `v`."""
    assert plan().hash == "8871108fa57cf41157f4a1daf12e23ab1d03f9851ceb78c1eb308391b30d027f"


@given(
    number=st.integers(1),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    scale=st.floats(min_value=1, allow_infinity=False),
    at=st.datetimes(timezones=st.just(UTC)),
)
def test_a_plan_read_back_has_the_same_hash(number: int, text: str, scale: float, at: datetime) -> None:
    made = plan(number=number, release=text, time_scale=scale, made_at=at)
    again = Plan.model_validate_json(canonical(made.model_dump(mode="json")))
    assert again == made
    assert again.hash == made.hash


def test_the_order_of_notebooks_does_not_change_the_hash() -> None:
    made = plan()
    assert plan(notebooks=dict(reversed(made.notebooks.items()))).hash == made.hash


@pytest.mark.parametrize(
    "change",
    [
        {"release": "v3"},
        {"commit": "1" * 40},
        {"operator": "otto@example.com"},
        {"solo": True},
        {"rehearsal": True},
        {"time_scale": 60},
        {"watch_seconds": 1},
        {"steps": (TrafficStep(percent=100, seconds=61, requests=10),)},
        {"notebooks": {"03_blue_green.ipynb": sha256(b"other")}},
        {"settings": sha256(b"other")},
        {"authors": ("ada",)},
        {"made_at": datetime(2026, 11, 23, 3, 10, tzinfo=timezone(timedelta(hours=1)))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_approved_changes_the_hash(change: dict[str, object]) -> None:
    assert plan(**change).hash != plan().hash


def test_scaled_time() -> None:
    assert plan(time_scale=60).scaled(1800) == 30
