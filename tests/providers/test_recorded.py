"""Every recorded answer of a vendor, given to every call of its adapter: it is read, or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from deploykit.providers.github import GithubRepository
from tests.providers.adapters import (
    CASES,
    COMMIT,
    END,
    RECORDED,
    RUN,
    START,
    Case,
    datadog,
    events,
    github,
    logs,
    monitors,
    slack,
)
from tests.providers.faults import Asked, Faults, Reply, refused

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


#: Of the other vendors there are no recordings; Railway's adapter is given those of GitHub.
READ = [case for case in CASES if case.name.split(".")[0] in {"github", "datadog", "slack", "railway"}]


def alone(page: dict[str, Any]) -> Reply:
    """A page that does not say how many more there are."""
    return replay({**page, "body": {**page["body"], "meta": None}})


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
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
        assert error is not None or response["status"] in {200, 201, *case.usable} or case.changes, name
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


PLACES = {
    "pulls.get.200": "/pulls/7",
    "pulls.reviews.200": "/reviews",
    "commits.status.200": "/status",
    "commits.check-runs.200": "/check-runs",
    "compare.200": "/compare/v1...v2",
    "code-scanning.alerts.200": "/code-scanning/alerts",
    "example.code-scanning": "/code-scanning/alerts",
    "example.dependabot": "/dependabot/alerts",
    "example.secret-scanning": "/secret-scanning/alerts",
    "branch.protection": "/protection",
    "rules.branch.200": "/rules/branches/main",
    "deployments.list.200": "/deployments",
    "deployments.statuses.200": "/statuses",
}
ELSE = {
    "/pulls": [],
    "/status": {"statuses": []},
    "/check-runs": {"check_runs": []},
    "/protection": {"url": "u"},
    "/rules/branches/main": [],
    "/deployments": [RECORDED],
}
READS: dict[str, Callable[[GithubRepository, int], object]] = {
    "pulls.get": lambda repository, number: repository.mergeable(number),
    "pulls.reviews": lambda repository, _: repository.reviews(7),
    "commits": lambda repository, _: repository.tests("main"),
    "compare": lambda repository, _: repository.compare("v1", "v2"),
    "code-scanning": lambda repository, _: repository.scan("code-scanning", "main"),
    "example.code-scanning": lambda repository, _: repository.scan("code-scanning", "main"),
    "example.dependabot": lambda repository, _: repository.scan("dependabot", "main"),
    "example.secret-scanning": lambda repository, _: repository.scan("secret-scanning", "main"),
    "branch": lambda repository, _: repository.required_tests("main"),
    "rules": lambda repository, _: repository.required_tests("main"),
    "deployments": lambda repository, _: repository.find_deployment(RUN, COMMIT, "production"),
}


@pytest.mark.parametrize("operation", PLACES)
def test_what_github_answered_is_read_by_the_call_that_asks_for_it(operation: str, server: Faults) -> None:
    repository = github(server.url, 2)
    read = next(call for name, call in READS.items() if operation.startswith(name))
    seen = 0
    for name, response in recordings("github", operation):
        seen += 1
        number = response["body"]["number"] if operation == "pulls.get.200" else 7
        place = PLACES[operation].replace("/7", f"/{number}")
        known = {end: Reply(answer) for end, answer in ELSE.items()} | {place: replay(response)}

        def answer(asked: Asked, known: dict[str, Reply] = known) -> Reply:
            return next(reply for end, reply in known.items() if asked.path.endswith(end))

        server.script = answer
        error = refused(partial(read, repository, number))
        # Long lists were recorded page by page, and a page stands here without the others.
        assert error is None or "it lists" in error.what, name
    assert seen


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


def test_recorded_lines_are_read_in_pages(server: Faults) -> None:
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
