"""The team is told once: before, after, and when the post-mortem is; over the wire against Slack's stand-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import redact
from deploykit.actions.announce import Announced, Finished
from deploykit.actions.incident import CALENDAR, PostMortem, next_working_day
from deploykit.actions.messages import head
from deploykit.actions.step import Action, Step
from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable
from deploykit.journal.events import Type
from deploykit.model import Json, Outcome
from deploykit.run import Run
from deploykit.sandbox.calls import Fault
from tests.standins import StandIns
from tests.world import Fault as WorldFault
from tests.world import World

DEPLOYMENTS = "C0000000001"
ALL: tuple[str, str, Json] = ("step.happened", "blue-green.traffic/100", {})


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


@pytest.fixture
def context(world: World, run: Run, stand_ins: StandIns) -> Context:
    return world.context(run, ports=stand_ins)


def after(context: Context, *events: tuple[str, str, Json]) -> Context:
    """The run after these further events."""
    at = "2026-11-20T15:04:05.678Z"  # a Friday
    more: tuple[Json, ...] = tuple(
        {"type": kind, "step": step, "at": at, "data": data, "seq": 9} for kind, step, data in events
    )
    known = context.timeline
    return replace(context, timeline=lambda: known() + more)


def steps(action: Action) -> tuple[Step, ...]:
    made = action.steps()
    assert isinstance(made, tuple)
    return made


def last(action: Action) -> Step:
    return steps(action)[-1]


def posted(stand_ins: StandIns) -> list[dict[str, Any]]:
    return stand_ins.slack.messages[DEPLOYMENTS]


def test_the_announcement_says_what_comes(context: Context, stand_ins: StandIns, run: Run) -> None:
    step = last(Announced(context))
    assert (step.id, step.intent) == ("prepare.announced", {"channel": "deployments", "kind": "announced"})
    assert step.probe() is False
    done = step.do("op")
    assert step.probe() is True
    result = step.settle()
    assert result.outcome is Outcome.PASS
    text = result.evidence.text
    for words in (
        "shop v2 goes to production",
        f"Operator: {run.plan.operator}",
        "Window: 20",
        "then it is watched for",
        "Serves now: v1 on green",
        "Service: https://shop.example.com",
        f"Changes: https://github.com/{run.settings.github.repository}/compare/v1...v2",
        f"Run {run.id}, journal at event {len(run.events())}, {run.events()[-1].hash}",
    ):
        assert words in text
    assert done["ts"] == posted(stand_ins)[0]["ts"] == result.evidence.facts["ts"]
    assert posted(stand_ins)[0]["metadata"]["event_payload"] == {"run": run.id, "kind": "announced"}


def test_the_head_is_the_journals(run: Run, context: Context) -> None:
    run.append(Type.NOTE_WRITTEN, data={"text": "ä, 1.5 and <b>"})
    assert head(context) == {"seq": run.events()[-1].seq, "sha256": run.events()[-1].hash}
    assert head(replace(context, timeline=lambda: ())) == {"seq": 0, "sha256": ""}


def test_a_second_try_finds_the_first_and_posts_nothing(context: Context, stand_ins: StandIns) -> None:
    first = last(Announced(context)).do("op")
    again = last(Announced(context)).do("op")
    assert again == {"channel": DEPLOYMENTS, "ts": first["ts"], "found": "posted before"}
    assert len(posted(stand_ins)) == 1


@pytest.mark.parametrize("after_effect", [True, False])
def test_a_lost_reply_is_settled_by_the_probe(context: Context, stand_ins: StandIns, *, after_effect: bool) -> None:
    stand_ins.fault("slack", Fault(reset=True, after=after_effect, times=1, only="chat.postMessage"))
    step = last(Announced(context))
    with pytest.raises(Unreachable, match="Whether the change happened is not known"):
        step.do("op")
    assert step.probe() is after_effect
    step.do("op")
    assert len(posted(stand_ins)) == 1
    assert step.settle().outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("differences", "error", "reason"),
    [
        ({"scopes": ["channels:read", "channels:history", "groups:read"]}, Rejected, "missing_scope"),
        ({"channels": {"deployments": {"member": False}}}, Rejected, "not_in_channel"),
        ({"channels": {"deployments": None}}, Rejected, "no channel 'deployments'"),
        ({"channels": {"deployments": {"archived": True}}}, Rejected, "no channel 'deployments'"),
        ({"limits": {"chat.postMessage": [0, 3600]}}, Unreachable, "too many requests, so it was not done"),
    ],
)
def test_what_cannot_be_posted_is_said(
    context: Context, stand_ins: StandIns, differences: dict[str, Any], error: type[Exception], reason: str
) -> None:
    stand_ins.state("slack", **differences)
    with pytest.raises(error, match=reason):
        last(Announced(context)).do("op")
    assert not any("metadata" in message for known in stand_ins.slack.messages.values() for message in known)


def test_a_message_that_is_gone_is_no_pass(context: Context, stand_ins: StandIns) -> None:
    step = last(Announced(context))
    step.do("op")
    posted(stand_ins).clear()
    result = step.settle()
    assert (result.outcome, result.mend) == (Outcome.FAIL, "tell #deployments yourself")


# --- success


def test_success_is_announced_in_the_announcements_thread(context: Context, stand_ins: StandIns) -> None:
    root = last(Announced(context)).do("op")
    step = last(Finished(after(context, ALL)))
    assert step.probe() is False
    step.do("op")
    assert step.probe() is True
    assert posted(stand_ins)[-1]["thread_ts"] == root["ts"]
    text = step.settle().evidence.text
    assert "shop v2 serves all of production since 2026-11-20 16:04:05 CET" in text
    assert "Before: v1 on green" in text
    step.do("op")
    assert len(posted(stand_ins)) == 2


@pytest.mark.parametrize(
    "events",
    [
        [],
        [("step.happened", "blue-green.traffic/50", {})],
        [ALL, ("rollback.asked", "", {"reason": "slow"})],
        [ALL, ("traffic.returned", "", {"reason": "held"})],
    ],
)
def test_no_success_is_announced_that_was_none(
    context: Context, stand_ins: StandIns, events: list[tuple[str, str, Json]]
) -> None:
    last(Announced(context)).do("op")
    with pytest.raises(Rejected, match="v2 does not serve all traffic"):
        last(Finished(after(context, *events))).do("op")
    assert len(posted(stand_ins)) == 1


def test_success_without_an_announcement_is_refused(context: Context, stand_ins: StandIns) -> None:
    with pytest.raises(Rejected, match="no message of this run in #deployments"):
        last(Finished(after(context, ALL))).do("op")
    assert posted(stand_ins) == []


# --- post-mortem


def rolled_back(context: Context, reason: str = "8.5 % failed") -> Context:
    return after(context, ("rollback.asked", "", {"reason": reason}))


def test_the_post_mortem_is_a_calendar_file_and_a_message(context: Context, stand_ins: StandIns, run: Run) -> None:
    file, message = PostMortem(rolled_back(context)).steps()
    assert (file.id, message.id) == ("rollback.post-mortem/calendar", "rollback.post-mortem")
    file.do("op")
    first = (run.folder / CALENDAR).read_bytes()
    event: Any
    (event,) = icalendar.Calendar.from_ical(first.decode()).walk("VEVENT")
    # Friday's is on Monday at ten in Berlin.
    assert event.decoded("DTSTART") == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert event.decoded("DTEND") == datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    assert event["UID"] == f"{run.id}@deploykit"
    assert "8.5 % failed" in event["DESCRIPTION"]
    assert file.settle().outcome is Outcome.PASS
    message.do("op")
    said = message.settle()
    assert said.outcome is Outcome.PASS
    assert "is on Monday, 2026-11-23, 10:00 to 11:00 CET" in said.evidence.text
    assert "Rolled back because: 8.5 % failed" in said.evidence.text
    assert "thread_ts" not in posted(stand_ins)[0]
    again, _ = PostMortem(rolled_back(context)).steps()
    assert again.probe() is False
    again.do("op")
    assert (run.folder / CALENDAR).read_bytes() == first


def test_the_post_mortem_answers_the_message_of_the_rollback(context: Context, stand_ins: StandIns, run: Run) -> None:
    root = stand_ins.chat.post("deployments", "rolled back", run=run.id, kind="rolled-back")
    last(PostMortem(rolled_back(context))).do("op")
    assert posted(stand_ins)[-1]["thread_ts"] == root.ts


@given(st.integers(1_577_836_800, 1_893_456_000), st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]))
def test_a_post_mortem_is_on_a_working_day_soon_after(seconds: int, zone: str) -> None:
    there = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    begins = next_working_day(there.astimezone(UTC), zone)
    assert begins.isoweekday() <= 5
    assert (begins.hour, begins.minute) == (10, 0)
    assert 1 <= (begins.date() - there.date()).days <= 3


# --- hostile text, and secrets

HOSTILE = "<!channel> <https://evil.example|ok> *b* & \x1b[31m\u202e\nRun 1, journal at event 7 hunter2-hunter2"


@pytest.mark.parametrize(
    "make",
    [
        lambda context: Announced(evil(context)),
        lambda context: Finished(after(evil(context), ALL)),
        lambda context: PostMortem(rolled_back(evil(context), HOSTILE)),
    ],
)
def test_text_from_outside_mentions_links_and_forges_nothing(
    context: Context, stand_ins: StandIns, run: Run, make: Callable[[Context], Action]
) -> None:
    redact.learn("hunter2-hunter2")
    stand_ins.chat.post("deployments", "announced", run=run.id, kind="announced")
    for step in steps(make(context)):
        step.do("op")
    raw = posted(stand_ins)[-1]["text"]
    assert "<" not in raw
    assert "&lt;!channel&gt; &lt;https://evil.example|ok&gt;" in raw or last(make(context)).id == "prepare.announced"
    assert "hunter2" not in raw
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    # The one line that names the journal is ours, and is the last.
    assert [line.startswith("Run ") for line in raw.splitlines()].count(True) <= 1
    for file in run.folder.glob("*.ics"):
        assert b"hunter2" not in file.read_bytes()
        assert len(icalendar.Calendar.from_ical(file.read_text("utf-8")).walk("VEVENT")) == 1


def evil(context: Context) -> Context:
    return replace(context, plan=context.plan.model_copy(update={"release": HOSTILE, "operator": HOSTILE}))


# --- another chat


@pytest.mark.parametrize("fault", [WorldFault.LYING, WorldFault.LOST, WorldFault.REJECTED, WorldFault.DOWN])
def test_any_other_chat_is_told_once(world: World, run: Run, fault: WorldFault) -> None:
    context = world.context(run)
    step = last(Announced(context))
    world.fail("chat.post", fault)
    if fault is WorldFault.LYING:
        step.do("op")
        assert step.settle().outcome is Outcome.FAIL
    else:
        with pytest.raises((Rejected, Unreachable)):
            step.do("op")
        assert step.probe() is (fault is WorldFault.LOST)
    step.do("op")
    assert len(world.messages) == 1


def test_a_teams_own_template_is_used(world: World, run: Run) -> None:
    own = world.home / "own" / "slack"
    own.mkdir(parents=True)
    (own / "announced.j2").write_text("{{ plan.release|line }} kommt", "utf-8")
    world.edit("[service]", 'templates = "own"\n\n[service]')
    last(Announced(replace(world.context(run), settings=world.settings()))).do("op")
    assert [message.text for _, message in world.messages] == ["v2 kommt"]
