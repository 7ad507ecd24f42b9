"""Datadog's logs, monitors and events: what is sent, in what pages, and what is refused as no proof."""

from __future__ import annotations

from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import END, START, TOKEN, buckets, events, log, logs, monitors
from tests.providers.faults import Faults, Reply


def page(*messages: str, after: str | None = None) -> Reply:
    return Reply({"data": [log(message) for message in messages], "meta": {"page": {"after": after}}})


def test_lines_are_asked_for_by_milliseconds_newest_first(server: Faults) -> None:
    server.reply(page("a"))
    (line,) = logs(server.url, 2).search("service:shop $x", START, END, limit=5)
    assert (line.message, line.service, line.status) == ("a", "shop", "info")
    asked = server.asked[0].json
    assert asked["filter"] == {"query": "service:shop $x", "from": "1795403400000", "to": "1795403580000"}
    assert (asked["page"], asked["sort"]) == ({"limit": 5}, "-timestamp")
    assert server.asked[0].headers["dd-application-key"] == f"{TOKEN}-app"


def test_pages_are_followed_until_there_are_enough_lines(server: Faults) -> None:
    server.reply(page("a", "b", after="one"), page("c", "d", after="two"), page("e"))
    assert [line.message for line in logs(server.url, 2).search("*", START, END, limit=3)] == ["a", "b", "c"]
    assert [asked.json["page"] for asked in server.asked] == [{"limit": 3}, {"limit": 1, "cursor": "one"}]
    server.reply(page("a", after="same"))
    with pytest.raises(Rejected, match="its next page is the same page"):
        logs(server.url, 2).search("*", START, END)


def test_counts_are_summed_and_no_bucket_is_none(server: Faults) -> None:
    server.reply(Reply(buckets(3, 4)))
    assert logs(server.url, 2).count("*", START, END) == 7
    server.reply(Reply(buckets()))
    assert logs(server.url, 2).count("*", START, END) == 0


@pytest.mark.parametrize(
    "answer",
    [
        buckets(None),
        buckets(1.5),
        buckets(-1),
        buckets("3"),
        {**buckets(3), "meta": {"status": "timeout"}},
        {"data": {"buckets": [{"computes": {}}]}},
        {"data": {}},
    ],
)
def test_a_count_that_is_none_is_refused(answer: dict[str, Any], server: Faults) -> None:
    server.reply(Reply(answer))
    with pytest.raises(Rejected):
        logs(server.url, 2).count("*", START, END)


@pytest.mark.parametrize("at", [None, "yesterday", 1700000000, ""])
def test_a_line_without_a_time_is_refused(at: object, server: Faults) -> None:
    server.reply(Reply({"data": [log("a", at)]}))
    with pytest.raises(Rejected, match="timestamp is not a time"):
        logs(server.url, 2).search("*", START, END)


def test_datadogs_own_words_and_limit_header_are_heard(server: Faults, slept: list[float]) -> None:
    server.reply(Reply({"errors": ["no right logs_read_data"]}, 403))
    with pytest.raises(Rejected, match="no right logs_read_data"):
        logs(server.url, 2).count("*", START, END)
    server.reply(Reply({"errors": ["slow down"]}, 429, {"X-RateLimit-Reset": "3"}), Reply(buckets(1)))
    assert logs(server.url, 2).count("*", START, END) == 1
    assert slept == [3.0]
    server.reply(Reply({"errors": ["slow down"]}, 429, {"X-RateLimit-Reset": "3000"}))
    with pytest.raises(Unreachable, match="asks to wait 3000 s: slow down"):
        logs(server.url, 2).count("*", START, END)


# --- monitors

MONITOR = {"id": 1, "name": "m", "tags": ["service:shop"], "message": "@a", "overall_state": "OK"}


def test_downtimes_that_are_not_all_shown_are_refused(server: Faults) -> None:
    short: dict[str, Any] = {"data": [], "meta": {"page": {"total_filtered_count": 3}}}
    server.script = lambda asked: Reply([MONITOR] if "monitor" in asked.path else short)
    with pytest.raises(Rejected, match="it has 3 downtimes and shows 0"):
        monitors(server.url, 2).monitors(("service:shop",))


def test_a_monitor_without_the_tags_is_not_ours_whatever_is_answered(server: Faults) -> None:
    server.reply(Reply([MONITOR, {**MONITOR, "tags": None}, {**MONITOR, "tags": ["service:shop2"]}]))
    assert monitors(server.url, 2).monitors(("service:other",)) == ()


@pytest.mark.parametrize(
    "changes",
    [{"id": None}, {"id": True}, {"id": "x"}, {"options": {"silenced": {"*": "x"}}}],
)
def test_a_monitor_that_cannot_be_told_is_refused(changes: dict[str, Any], server: Faults) -> None:
    server.script = lambda asked: Reply([{**MONITOR, **changes}] if "monitor" in asked.path else {"data": []})
    with pytest.raises(Rejected):
        monitors(server.url, 2).monitors(("service:shop",))


# --- events


def test_an_event_is_marked_cut_and_cannot_be_markdown_or_tell_a_secret(server: Faults) -> None:
    server.script = lambda asked: Reply(
        {"status": "ok", "event": {"id_str": "7"}} if asked.method == "POST" else {"data": []}
    )
    text = f"%%%\n# {TOKEN}\u202e" + "x" * 5000
    assert events(server.url, 2).post("t" * 200, text, key="run/finished", tags=("service:shop",)) == "7"
    sent = server.asked[-1].json
    assert "%%%" not in sent["text"]
    assert TOKEN not in sent["text"]
    assert "\u202e" not in sent["text"]
    assert (len(sent["title"]), len(sent["text"])) == (100, 4000)
    assert sent["tags"][0] == "service:shop"
    assert sent["tags"][1] == sent["aggregation_key"]
    assert server.asked[0].query["filter[query]"] == [sent["aggregation_key"]]


def test_an_event_of_another_key_is_not_taken_for_ours(server: Faults) -> None:
    server.reply(Reply({"data": [{"id": "AQ", "attributes": {"tags": ["deploykit_key:other"]}}]}))
    assert events(server.url, 2).find("run/finished") is None
