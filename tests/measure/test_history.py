"""Live's past: which windows, which colour, and frozen so that everybody judges by the same."""

from __future__ import annotations

import math
from typing import Any

import pytest

from deploykit import measure
from deploykit.checks.baseline import recorded
from deploykit.context import Context
from deploykit.errors import BrokenRecordError
from deploykit.measure.history import DAY, LENGTH
from tests.world import Fault, World

NOW = 30 * DAY
NAMES = ("requests", "errors", "slow", "p95")


def test_the_past_is_the_last_hours_and_this_hour_yesterday_and_last_week(context: Context) -> None:
    found = measure.recall(context, NAMES, NOW)
    # The fake has one point, at the end of what is asked for.
    ends = [NOW - 7 * DAY + LENGTH / 2, NOW - DAY + LENGTH / 2, NOW]
    assert [at for at, _ in found.series["requests"].points] == ends
    assert found.used().startswith("the last hours: 0 s, 1 points; this hour yesterday: 0 s, 1 points; this hour last")
    assert [at for at, _ in found.recent("p95").points] == [NOW]


def test_the_colour_that_served_on_another_day_is_the_one_that_is_asked_for(world: World, context: Context) -> None:
    world.served = {"requests green": 10.0, "requests blue": 1000.0, "errors blue": 7.0, "errors green": 1.0}
    found = measure.recall(context, NAMES, NOW)
    assert [value for _, value in found.series["errors"].points] == [7.0, 7.0, 1.0]
    assert found.series["errors"].query == "errors green | errors blue"


def test_what_was_not_there_is_said(world: World, context: Context) -> None:
    world.served = {"requests green": None, "requests blue": None}
    found = measure.recall(context, NAMES, NOW)
    assert found.used().startswith(
        "the last hours: nothing; this hour yesterday: nothing; this hour last week: nothing"
    )


@pytest.mark.parametrize("value", [1 / 3, 5e-324, 1.7976931348623157e308, -0.1, None])
def test_who_judges_later_judges_by_exactly_what_was_frozen(
    world: World, context: Context, value: float | None
) -> None:
    world.served = {"p95 green": value, "p95 blue": value}
    first = measure.before(context, NOW + 0.123)
    world.served = {"requests green": 1.0}
    again = measure.before(context, NOW + 99)
    assert first is not None
    assert again is not None
    assert again.until == first.until
    assert {n: s.points for n, s in again.series.items()} == {n: s.points for n, s in first.series.items()}


def test_the_frozen_file_is_csv_and_says_its_queries(world: World, context: Context) -> None:
    measure.before(context, NOW)
    lines = (world.run.folder / measure.FILE).read_text("utf-8").splitlines()
    assert "# errors [requests]: errors green" in lines
    assert "metric,time,value" in lines
    assert f"requests,{NOW!r},1000.0" in lines


def test_without_an_answer_nothing_is_frozen_and_the_control_judges_alone(world: World, context: Context) -> None:
    world.broken["metrics.series"] = Fault.DOWN
    assert measure.before(context, NOW) is None
    assert not (world.run.folder / measure.FILE).exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"# live until 1.0 (unix)\n",
        b"# live until x\nmetric,time,value\n",
        b"# live until 1.0 \nmetric,time,value\nrequests,1\n",
        b"# live until 1.0 \nmetric,time,value\nrequests,1,many\n",
        b"# live until 1.0 \nmetric,time,value\nrequests,1,nan\n",
    ],
)
def test_a_frozen_file_that_is_damaged_is_an_error_and_never_another_baseline(context: Context, data: bytes) -> None:
    context.write(measure.FILE, data)
    with pytest.raises(BrokenRecordError, match="not a baseline"):
        measure.before(context, NOW)


def test_a_frozen_file_that_is_not_the_recorded_one_is_an_error(world: World, context: Context) -> None:
    world.run.settle(recorded(context))
    frozen = context.read(measure.FILE) or b""
    assert measure.before(context, NOW) is not None
    context.write(measure.FILE, frozen.replace(b"1000.0", b"9000.0"))
    with pytest.raises(BrokenRecordError, match=r"not the baseline that prepare\.baseline recorded"):
        measure.before(context, NOW)


def test_the_evidence_that_a_frozen_file_is_held_against_must_be_what_was_kept(world: World, context: Context) -> None:
    digest = str(world.run.settle(recorded(context)).data["evidence"])
    context.write(f"evidence/{digest}", b'{"facts": {}}')
    with pytest.raises(BrokenRecordError, match=r"evidence of prepare\.baseline"):
        measure.before(context, NOW)


def test_a_query_cannot_pass_for_points(world: World, context: Context) -> None:
    hostile = "errors $colour\\nrequests,1,999\\n"
    world.edit('errors = "errors $colour"', f'errors = "{hostile}"')
    told: Any = context.__class__(**{**vars(context), "settings": world.settings()})
    measure.before(told, NOW)
    frozen = measure.before(told, NOW)
    assert frozen is not None
    assert all(not math.isclose(value or 0, 999) for _, value in frozen.series["requests"].points)
