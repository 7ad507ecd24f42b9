"""Every recorded answer of a vendor, given to every call of its adapter: it is read, or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import CASES, END, START, Case, datadog, events, logs, monitors, slack
from tests.providers.faults import Faults, Reply, refused

CONTRACTS = Path(__file__).parents[2].parent / "shared" / "contracts"
pytestmark = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the shared contracts are not beside this checkout")


def recordings(vendor: str, beginning: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((CONTRACTS / vendor / "recorded").glob(f"{beginning}*.json")):
        yield path.stem, json.loads(path.read_text("utf-8"))["response"]


def replay(response: dict[str, Any]) -> Reply:
    body = response["body"]
    # Lengths and encodings are those of another transport.
    headers = {name: value for name, value in response["headers"].items() if name in {"retry-after", "content-type"}}
    return Reply(body.encode() if isinstance(body, str) else body, response["status"], headers)


def alone(page: dict[str, Any]) -> Reply:
    """A page that does not say how many more there are."""
    return replay({**page, "body": {**page["body"], "meta": None}})


@pytest.mark.parametrize("case", [case for case in CASES if "envoy" not in case.name], ids=lambda case: case.name)
def test_every_recording_is_read_or_refused(case: Case, server: Faults, slept: list[float]) -> None:
    vendor = case.name.split(".")[0]
    call = case.at(server.url)
    seen = 0
    for name, response in recordings(vendor if vendor != "railway" else "github"):
        seen += 1
        server.reply(replay(response))
        error = refused(call)
        doubtful = case.changes or response["status"] in {403, 429, 503}
        assert error is None or (error.what and error.mend), name
        assert doubtful or not isinstance(error, Unreachable), name
    assert seen > 10


def test_recorded_series_are_read_whole(server: Faults) -> None:
    metrics = datadog(server.url, 2)
    seen = 0
    for name, response in recordings("datadog", "query.200"):
        seen += 1
        server.reply(replay(response))
        found = metrics.series("q", START, END, name="n", unit="count")
        expected = [point for one in response["body"]["series"] for point in one["pointlist"]]
        assert [(at * 1000, value) for at, value in found.points] == [tuple(point) for point in expected], name
    assert seen


def test_recorded_refusals_of_slack_keep_their_word(server: Faults) -> None:
    chat = slack(server.url, 2)
    for name, response in recordings("slack", "example."):
        if response["body"].get("ok") is False:
            server.reply(replay(response))
            with pytest.raises(Rejected, match=response["body"]["error"]):
                chat.post("C0123456789", name, run="r", kind="k")


def test_recorded_monitors_are_read_whole(server: Faults) -> None:
    seen = set()
    for name, response in recordings("datadog", "monitor.list.200"):
        server.script = lambda asked, response=response: (
            replay(response) if "monitor" in asked.path else Reply({"data": []})
        )
        found = monitors(server.url, 2).monitors(())
        expected = response["body"]
        assert [(one.id, one.name, one.word) for one in found] == [
            (str(one["id"]), one["name"], one.get("overall_state") or "without a state") for one in expected
        ], name
        seen |= {one.word for one in found}
    assert "No Data" in seen


def test_recorded_downtimes_are_understood(server: Faults) -> None:
    """Each of them is for hosts: it mutes a part of any monitor, and none of one that is on another host."""
    held = {"id": 1, "name": "m", "tags": ["service:shop"], "message": "@x", "overall_state": "OK"}
    elsewhere = {**held, "tags": ["service:shop", "host:web-1"]}
    pages = [response for _, response in recordings("datadog", "downtime.list.200")]
    assert pages
    for page in pages:
        server.script = lambda asked, page=page: Reply([held, elsewhere]) if "monitor" in asked.path else alone(page)
        here, there = monitors(server.url, 2).monitors(("service:shop",))
        active = [one for one in page["body"]["data"] if one["attributes"]["status"] == "active"]
        assert len(here.mutes) == len(active) > 0
        assert not any(mute.whole for mute in here.mutes)
        assert there.mutes == ()


def test_recorded_log_lines_are_read_in_pages(server: Faults) -> None:
    pages = [response for _, response in recordings("datadog", "logs.search.200")]
    # Sorted by name the first page comes last.
    pages = [pages[-1], *pages[:-1]]
    server.reply(*map(replay, pages))
    found = logs(server.url, 2).search("*", START, END)
    expected = [one["attributes"]["message"] for page in pages for one in page["body"]["data"]]
    assert [line.message for line in found] == expected
    assert len(expected) > 2


def test_recorded_events_keep_their_exact_id(server: Faults) -> None:
    for name, response in recordings("datadog", "events.create-v1.202"):
        server.script = lambda asked, response=response: (
            replay(response) if asked.method == "POST" else Reply({"data": []})
        )
        event = response["body"]["event"]
        expected = event.get("id_str") or str(event["id"])
        assert events(server.url, 2).post("t", "x", key=name, tags=()) == expected


def test_recorded_channels_and_messages_are_read(server: Faults) -> None:
    for _, response in recordings("slack", "example.conversations.list.ok"):
        server.reply(replay(response))
        known = response["body"]["channels"][0]
        assert slack(server.url, 2).channel(known["name"]) == known["id"]
    for _, response in recordings("slack", "example.conversations.replies.ok"):
        server.reply(replay({**response, "body": {"ok": True, "messages": response["body"]["messages"]}}))
        root, *answers = response["body"]["messages"]
        found = slack(server.url, 2).thread("C0123456789", root["ts"])
        assert {one.text for one in found} == {one["text"] for one in answers if one["ts"] != root["ts"]}
