"""What checks and actions rely on, held against every adapter of a port: the vendor's, and the fake of the tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected
from deploykit.ports import Chat, Events, LogLine, Logs, Message, Monitor, Monitors
from tests.standins import StandIns
from tests.world import FakeChat, FakeEvents, FakeLogs, FakeMonitors, World

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)


@dataclass
class Outside:
    """One set of adapters, and how the world behind them is filled."""

    logs: Logs
    monitors: Monitors
    events: Events
    chat: Chat
    write_line: Callable[[str, datetime], None]
    add_monitor: Callable[[str, tuple[str, ...]], None]
    say: Callable[[str, datetime, tuple[str, ...]], None]


def vendors(stand_ins: StandIns) -> Outside:
    monitors: dict[str, Any] = {}

    def write_line(message: str, at: datetime) -> None:
        age = (datetime.now(UTC) - at).total_seconds()
        stand_ins.datadog.logs.take([{"message": message, "service": "shop", "status": "info", "age": age}])

    def add_monitor(name: str, tags: tuple[str, ...]) -> None:
        monitors[name] = {"name": name, "tags": list(tags), "message": "@a"}
        stand_ins.state("datadog", monitors={"errors": None, **monitors})

    def say(text: str, at: datetime, answers: tuple[str, ...]) -> None:
        age = (datetime.now(UTC) - at).total_seconds()
        stand_ins.slack.write(channel="infra-oncall", text=text, age=age, answers=answers)

    adapters = (stand_ins.logs, stand_ins.monitors, stand_ins.events, stand_ins.chat)
    return Outside(*adapters, write_line, add_monitor, say)


def fakes(home: Path) -> Outside:
    world = World(home)

    def add_monitor(name: str, tags: tuple[str, ...]) -> None:
        world.watching.append(Monitor(name, name, "ok", "OK", tags, ("a",), (), ""))

    def say(text: str, at: datetime, answers: tuple[str, ...]) -> None:
        ts = f"{at.timestamp()}"
        world.messages.append(("", Message("infra-oncall", ts, "U1", text, "", at, len(answers))))
        world.answers[ts] = [Message("infra-oncall", f"{n}", "U2", answer, "", at) for n, answer in enumerate(answers)]

    adapters = (FakeLogs(world), FakeMonitors(world), FakeEvents(world), FakeChat(world))
    return Outside(*adapters, lambda m, at: world.lines.append(LogLine(at, "info", "shop", m)), add_monitor, say)


@pytest.fixture(params=["vendors", "fakes"])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Outside:
    return vendors(request.getfixturevalue("stand_ins")) if request.param == "vendors" else fakes(tmp_path)


def test_lines_are_found_newest_first_within_the_time_and_the_limit(outside: Outside) -> None:
    for back, message in ((30, "an old word"), (3, "first word"), (2, "second word"), (1, "another")):
        outside.write_line(message, NOW - back * MINUTE)
    span = (NOW - 10 * MINUTE, NOW + MINUTE)
    assert outside.logs.count('service:shop "word"', *span) == 2
    assert [line.message for line in outside.logs.search('service:shop "word"', *span)] == ["second word", "first word"]
    (newest,) = outside.logs.search("service:shop", *span, limit=1)
    assert (newest.message, newest.service, newest.status) == ("another", "shop", "info")
    assert abs(newest.at - (NOW - MINUTE)) < timedelta(seconds=5)


def test_no_lines_are_none(outside: Outside) -> None:
    assert outside.logs.count('"nothing"', NOW - MINUTE, NOW) == 0
    assert outside.logs.search('"nothing"', NOW - MINUTE, NOW) == ()


def test_monitors_carry_all_the_tags(outside: Outside) -> None:
    outside.add_monitor("one", ("team:a", "kind:x"))
    outside.add_monitor("two", ("team:a", "kind:y"))
    assert {monitor.name for monitor in outside.monitors.monitors(("team:a",))} == {"one", "two"}
    (one,) = outside.monitors.monitors(("kind:x", "team:a"))
    assert (one.name, one.state, one.targets, one.mutes) == ("one", "ok", ("a",), ())
    assert outside.monitors.monitors(("team:b",)) == ()


def test_an_event_is_posted_once_under_its_key_and_found_by_it(outside: Outside) -> None:
    key = f"run/{NOW.isoformat()}/finished"
    assert outside.events.find(key) is None
    first = outside.events.post("Title", "Text", key=key, tags=("service:shop",))
    assert outside.events.find(key) == first
    assert outside.events.post("Title", "Text", key=key, tags=("service:shop",)) == first
    assert outside.events.post("Title", "Text", key=key + "2", tags=()) != first


def test_a_channel_is_known_by_its_name(outside: Outside) -> None:
    known = outside.chat.channel("infra-oncall")
    assert known
    assert outside.chat.channel("#infra-oncall") == known
    assert outside.chat.channel("nowhere") is None
    with pytest.raises(Rejected):
        outside.chat.history("nowhere", NOW)


def test_history_is_oldest_first_within_the_time(outside: Outside) -> None:
    for back, text in ((30, "long ago"), (2, "second"), (3, "first"), (1, "third")):
        outside.say(text, NOW - back * MINUTE, ("an answer",) if text == "second" else ())
    found = outside.chat.history("infra-oncall", NOW - 10 * MINUTE)
    assert [message.text for message in found] == ["first", "second", "third"]
    assert [message.replies for message in found] == [0, 1, 0]
    assert all(message.at and not message.run for message in found)
    before = outside.chat.history("infra-oncall", NOW - 10 * MINUTE, NOW - timedelta(seconds=150))
    assert [message.text for message in before] == ["first"]
    (answer,) = outside.chat.thread(found[1].channel, found[1].ts)
    assert answer.text == "an answer"
    assert outside.chat.thread(found[0].channel, found[0].ts) == ()


def test_what_we_posted_is_found_by_run_and_kind_and_marked_in_the_history(outside: Outside) -> None:
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-shop-production-7f3a"
    assert outside.chat.find("infra-oncall", run, kind="announced") is None
    sent = outside.chat.post("infra-oncall", "a <b> & c", run=run, kind="announced")
    found = outside.chat.find("infra-oncall", run, kind="announced")
    assert found is not None
    assert (found.ts, found.text) == (sent.ts, "a <b> & c")
    assert outside.chat.find("infra-oncall", run, kind="finished") is None
    assert [m.run for m in outside.chat.history("infra-oncall", NOW - 10 * MINUTE)] == [run]
