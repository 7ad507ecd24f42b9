"""When a monitor tells nobody: what cannot be read for sure is taken for all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.providers._faults import Fault
from deploykit.providers._mutes import covers, muted_by, silenced, targets

TAGS = frozenset({"service:shop", "env:production", "team:web", "team:shop"})
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("*", True),
        ("", True),
        ("env:production", True),
        ("env:prod*", True),
        ('service:"shop" AND env:production', True),
        ("service:shop,env:production", True),
        ("team:shop", True),
        ("env:staging", None),
        ("service:shop env:staging", None),
        ("host:web-1", False),
        ("env:production host:web-1", False),
        ("host:web-1 env:staging", None),
        ("env:(staging OR production)", True),
        ("NOT env:staging", True),
        ("!env:staging", True),
        ("-env:production", True),
        ("env:staging OR env:production", True),
        ("production", True),
    ],
)
def test_a_scope_covers_a_monitor_as_far_as_their_tags_agree(scope: str, expected: object) -> None:
    assert covers(scope, TAGS) is expected


@given(st.text())
def test_any_scope_is_read_without_an_exception(scope: str) -> None:
    assert covers(scope, TAGS) in (True, False, None)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ()),
        ("look @slack-ops and @pagerduty-shop.", ("slack-ops", "pagerduty-shop")),
        ("@anna@example.com @anna@example.com", ("anna@example.com",)),
        ("write to anna@example.com", ()),
        ("{{#is_alert}}@a{{/is_alert}}{{#is_recovery}}@b{{/is_recovery}}", ("a",)),
        ("{{#is_warning}}@a{{/is_warning}} {{#is_alert_recovery}}@b{{/is_alert_recovery}}", ()),
        ("{{^is_alert}}@a{{/is_alert}} {{#is_no_data}}\n@b\n{{/is_no_data}}", ()),
        ("@", ()),
    ],
)
def test_targets_are_those_that_an_alert_tells(message: str, expected: tuple[str, ...]) -> None:
    assert targets(message) == expected


def downtime(**changes: Any) -> dict[str, Any]:
    schedule = {"start": "2026-11-23T11:00:00+00:00", "end": "2026-11-23T13:00:00Z"}
    return {"status": "active", "scope": "*", "monitor_identifier": {"monitor_id": 7}, "schedule": schedule, **changes}


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 1),
        ({"status": None}, 1),
        ({"status": "scheduled"}, 1),
        ({"status": "ended"}, 0),
        ({"status": ["odd"]}, 1),
        ({"monitor_identifier": {"monitor_id": 8}}, 0),
        ({"monitor_identifier": {"monitor_tags": ["service:shop", "team:web"]}}, 1),
        ({"monitor_identifier": {"monitor_tags": ["service:shop", "team:other"]}}, 0),
        ({"monitor_identifier": {"monitor_tags": None}}, 1),
        ({"monitor_identifier": None}, 1),
        ({"scope": None}, 1),
        ({"scope": "env:staging"}, 0),
        ({"schedule": None}, 1),
        ({"schedule": {"start": None, "end": None}}, 1),
        ({"schedule": {"start": "2026-11-23T08:00:00Z", "end": "2026-11-23T09:00:00Z"}}, 0),
        ({"schedule": {"recurrences": [{}], "current_downtime": {"end": "2026-11-23T09:00:00Z"}}}, 0),
        ({"schedule": {"recurrences": [{}], "current_downtime": None}}, 1),
    ],
)
def test_what_is_not_said_of_a_downtime_is_taken_for_all(changes: dict[str, Any], count: int) -> None:
    assert len(list(muted_by(downtime(**changes), 7, TAGS, NOW))) == count


@pytest.mark.parametrize("end", ["soon", 5, [], "2026-99-99T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_a_fault(end: Any) -> None:
    with pytest.raises(Fault):
        list(muted_by(downtime(schedule={"start": None, "end": end}), 7, TAGS, NOW))


@pytest.mark.parametrize(("until", "count"), [(None, 1), (NOW.timestamp() + 1, 1), (NOW.timestamp() - 1, 0), (0, 0)])
def test_a_silence_lasts_until_its_end(until: float | None, count: int) -> None:
    assert len(list(silenced({"*": until}, TAGS, NOW))) == count


@pytest.mark.parametrize("until", ["x", [], True, 10**30, 1e400])
def test_a_silence_without_a_readable_end_is_a_fault(until: Any) -> None:
    with pytest.raises(Fault):
        list(silenced({"*": until}, TAGS, NOW))
