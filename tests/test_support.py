"""What users say: gathered from Slack's stand-in over the wire, counted, and never a pass by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploykit.checks import support
from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.execution import could_not_look
from deploykit.model import Json, Outcome, Result
from deploykit.ports import Message
from deploykit.run import Run
from deploykit.sandbox.calls import Fault
from tests.standins import StandIns
from tests.world import Fault as WorldFault
from tests.world import World

DAY, CHECKS = 86400.0, (support.user_reports, support.no_complaints)
each = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
Check = Callable[[Context], Result]


@pytest.fixture
def run(world: World) -> Run:
    world.edit("[chat]", '[chat]\nsupport = ["support"]\nusual_days = 3')
    return world.plan(approved=False)


def happened(step: str, ago: float) -> Json:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    return {"type": "step.happened", "step": step, "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def since(context: Context, seconds: float, **changes: Any) -> Context:
    """A run whose release got its first traffic that long ago, and all of it a second later."""
    moved = (happened("blue-green.traffic/10", seconds), happened("blue-green.traffic/100", seconds - 1))
    return replace(context, timeline=lambda: ({"type": "run.opened"}, *moved), **changes)


@pytest.fixture
def context(world: World, run: Run, stand_ins: StandIns) -> Context:
    """A run that has all traffic for ten minutes, an hour of which lasts 0.6 s."""
    return since(world.context(run, ports=stand_ins), 600)


def look(context: Context, check: Check) -> Result:
    try:
        return check(context)
    except ProviderError as error:
        return could_not_look("x", error)


def said(text: str, age: float = 60.0, **more: Any) -> dict[str, Any]:
    return {"channel": "support", "text": text, "age": age, **more}


@each
@pytest.mark.parametrize(
    ("messages", "texts"),
    [
        ([], []),
        ([said("It is broken!")], ["It is broken!"]),
        ([said("second", 30), said("first", 90)], ["first", "second"]),
        ([said("before the deployment", 700)], []),
        ([said("from an app", bot_id="B9", subtype="bot_message")], ["from an app"]),
        ([said("U1 has joined the channel", subtype="channel_join")], []),
        ([said("broken?", answers=["yes", "for me too"])], ["broken?", "yes", "for me too"]),
        ([said("of ours", metadata={"event_type": "deploykit", "event_payload": {"run": "r", "kind": "k"}})], []),
        ([{"channel": "infra-oncall", "text": "elsewhere", "age": 60}], []),
        ([said("a", DAY + 60), said("b", 2 * DAY + 60)], []),
    ],
)
def test_what_was_written_since_is_shown_for_a_person_to_sign(
    context: Context, stand_ins: StandIns, check: Check, messages: list[dict[str, Any]], texts: list[str]
) -> None:
    stand_ins.state("slack", messages=messages)
    stand_ins.slack.messages["C0000000002"] = [m for m in stand_ins.slack.messages["C0000000002"] if is_ours(m)]
    result = look(context, check)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.evidence.facts["gathered"] is True
    assert [row[3] for row in result.evidence.tables[0].rows] == texts
    assert result.summary.startswith(f"{len(texts)} messages in #support since ")
    assert result.mend == "read them, then sign"


def is_ours(message: dict[str, Any]) -> bool:
    """Whether a message was written by the test, and is not of the usual traffic."""
    return message["user"] in {"U0000000007", "U0000000008"} and message["text"] != "I will look at it."


def test_the_usual_number_is_that_of_the_same_hours_of_the_days_before(context: Context, stand_ins: StandIns) -> None:
    ages = [DAY + 60, DAY + 90, 2 * DAY + 60, 2 * DAY + 3600, 4 * DAY + 60]
    stand_ins.state("slack")
    stand_ins.slack.messages["C0000000002"].clear()
    for age in ages:
        stand_ins.slack.write(channel="support", text="usual", age=age, answers=("yes",))
    result = support.user_reports(context)
    assert result.evidence.tables[1].rows == ((1, 4), (2, 2), (3, 0))
    assert "usual are 0 to 4 in the same hours of the 3 days before" in result.summary


@each
@pytest.mark.parametrize(
    ("differences", "reason"),
    [
        ({"scopes": ["channels:read"]}, "missing_scope"),
        ({"scopes": []}, "missing_scope"),
        ({"channels": {"support": {"member": False}}}, "not_in_channel"),
        ({"channels": {"support": {"private": True, "member": False}}}, "there is no channel 'support'"),
        ({"limits": {"conversations.history": [0, 60]}}, "too many requests"),
    ],
)
def test_what_may_not_be_read_is_an_error_that_says_why(
    context: Context, stand_ins: StandIns, check: Check, differences: dict[str, Any], reason: str
) -> None:
    stand_ins.state("slack", **differences)
    result = look(context, check)
    assert result.outcome is Outcome.ERROR
    assert reason in result.summary
    assert result.mend


@each
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=500), "500"),
        (Fault(garbage=True), "cannot be used"),
        (Fault(reset=True), "broke"),
        (Fault(status=429), "too many requests"),
        (None, "nothing was sent"),
    ],
)
def test_a_chat_that_does_not_answer_is_an_error(
    context: Context,
    stand_ins: StandIns,
    monkeypatch: pytest.MonkeyPatch,
    check: Check,
    fault: Fault | None,
    reason: str,
) -> None:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _seconds: None)
    stand_ins.fault("slack", fault)
    result = look(context, check)
    assert result.outcome is Outcome.ERROR
    assert reason in result.summary


def test_hostile_messages_are_data(context: Context, stand_ins: StandIns) -> None:
    text = "&lt;img src=x onerror=alert(1)&gt; &lt;!channel&gt; \x1b[31m| `x` {{ 7*7 }}"
    stand_ins.slack.write(channel="support", text=text, user="U<b>", age=5.0)
    result = support.user_reports(context)
    assert ("U<b>", "<img src=x onerror=alert(1)> <!channel> \x1b[31m| `x` {{ 7*7 }}") in {
        row[2:] for row in result.evidence.tables[0].rows
    }
    assert "<img" not in result.summary


def test_a_flood_is_counted_whole_and_shown_in_part(context: Context, world: World, run: Run) -> None:
    now = datetime.now(UTC)
    world.messages = [
        ("", Message("support", f"{n}.0", "U1", "x" * 900, "", now - timedelta(seconds=n / 10))) for n in range(300)
    ]
    result = support.user_reports(replace(context, ports=world.context(run).ports))
    assert result.evidence.facts["messages"] == 300
    assert len(result.evidence.tables[0].rows) == support.MOST
    assert "100 more are in the channels" in result.evidence.tables[0].title
    assert {len(str(row[3])) for row in result.evidence.tables[0].rows} == {support.LONGEST}


# --- when


@each
def test_before_the_release_has_traffic_there_is_nothing_to_gather(context: Context, check: Check) -> None:
    result = check(replace(context, timeline=lambda: ({"type": "run.opened"},)))
    assert (result.outcome, result.evidence.facts["gathered"]) == (Outcome.INCONCLUSIVE, False)
    assert "traffic" in result.summary


def test_the_first_hour_has_to_be_over_in_the_runs_own_time(context: Context, stand_ins: StandIns) -> None:
    slow = context.plan.model_copy(update={"time_scale": 6.0})
    early = support.no_complaints(since(context, 599, plan=slow))
    assert (early.outcome, early.evidence.facts["gathered"]) == (Outcome.INCONCLUSIVE, False)
    ends = datetime.fromisoformat(str(early.evidence.facts["until"]))
    assert abs((ends - datetime.now(UTC)).total_seconds() - 2) < 2
    assert f"it ends at {ends:%Y-%m-%d %H:%M:%S} UTC" in early.summary
    assert stand_ins.calls("slack") == []
    late = support.no_complaints(since(context, 603, plan=slow))
    assert late.evidence.facts["gathered"] is True


def test_reports_do_not_wait_for_the_hour(context: Context) -> None:
    slow = context.plan.model_copy(update={"time_scale": 1.0})
    assert support.user_reports(since(context, 5, plan=slow)).evidence.facts["gathered"] is True


@each
def test_no_support_channel_is_said(world: World, check: Check) -> None:
    world.edit("[chat]", "[chat]\nsupport = []")
    result = check(since(world.context(world.plan(approved=False)), 600))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "[chat] support" in result.mend


@each
def test_another_chat_is_read_alike(world: World, run: Run, check: Check) -> None:
    context = since(world.context(run), 600)
    assert "0 messages in #support" in check(context).summary
    world.broken["chat.history"] = WorldFault.DOWN
    assert look(context, check).outcome is Outcome.ERROR
