"""Sentry's stand-in: what its documentation promises of paging, limits, scopes, searching and ingest."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deploykit.sandbox import Sandbox
from deploykit.sandbox.addresses import SENTRY_PROJECT_ID, SENTRY_PUBLIC_KEY
from deploykit.sandbox.releases import LIVE

pytestmark = pytest.mark.sandbox
HERE = "/api/0/organizations/acme"
ISSUE_KEYS = {
    "id", "shareId", "shortId", "title", "culprit", "permalink", "logger", "level", "status", "statusDetails",
    "substatus", "isPublic", "platform", "priority", "project", "type", "issueType", "issueCategory", "metadata",
    "numComments", "assignedTo", "isBookmarked", "isSubscribed", "subscriptionDetails", "hasSeen", "annotations",
    "isUnhandled", "count", "userCount", "firstSeen", "lastSeen", "stats", "lifetime", "filtered", "inbox", "owners",
}  # fmt: skip


@pytest.fixture
def sentry(box: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {box.addresses.sentry_token}"}
    with httpx.Client(base_url=box.addresses.sentry_url, headers=headers, trust_env=False) as client:
        yield client
    box.vendors.state("sentry")


def send(client: httpx.Client, *items: dict[str, Any], key: str = SENTRY_PUBLIC_KEY, packed: bool = False) -> int:
    """Send an envelope as an SDK does; its answer's status."""
    lines = [{"event_id": "9ec79c33ec9942ab8353589fcb2e04dc"}]
    for item in items:
        lines += [{"type": "sessions" if "aggregates" in item else "event"}, item]
    body = "\n".join(map(json.dumps, lines)).encode()
    headers = {"X-Sentry-Auth": f"Sentry sentry_key={key}, sentry_version=7"}
    if packed:
        body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    return client.post(f"/api/{SENTRY_PROJECT_ID}/envelope/", content=body, headers=headers).status_code


def event(value: str, level: str = "error", release: str = "v9.0.0") -> dict[str, Any]:
    raised = {"values": [{"type": "KeyError", "value": value}]}
    return {"level": level, "release": release, "exception": raised, "timestamp": time.time()}


def titles(client: httpx.Client, query: str, **more: Any) -> list[str]:
    answer = client.get(f"{HERE}/issues/", params={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [issue["title"] for issue in answer.json()]


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({}, 401, "not provided"),
        ({"Authorization": "Bearer wrong"}, 401, "Invalid token"),
        ({"Authorization": "Basic x"}, 401, "not provided"),
    ],
)
def test_a_bad_token_is_refused_in_sentrys_words(box: Sandbox, headers: dict[str, str], status: int, said: str) -> None:
    url = f"{box.addresses.sentry_url}/api/0/projects/acme/shop/"
    answer = httpx.get(url, headers=headers, trust_env=False)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_a_missing_scope_is_forbidden(box: Sandbox, sentry: httpx.Client) -> None:
    box.vendors.state("sentry", scopes=["project:read"])
    assert sentry.get("/api/0/projects/acme/shop/").status_code == 200
    assert sentry.get(f"{HERE}/issues/").status_code == 403
    assert sentry.post(f"{HERE}/releases/", json={"version": "x", "projects": ["shop"]}).status_code == 403


@pytest.mark.parametrize(
    "path", ["/api/0/projects/other/shop/", "/api/0/projects/acme/other/", f"{HERE}/releases/none/"]
)
def test_what_is_not_there_is_not_found(sentry: httpx.Client, path: str) -> None:
    answer = sentry.get(path)
    assert (answer.status_code, list(answer.json())) == (404, ["detail"])


def test_a_limit_is_enforced_and_told(box: Sandbox, sentry: httpx.Client) -> None:
    box.vendors.state("sentry", limit=2)
    answers = [sentry.get("/api/0/projects/acme/shop/") for _ in range(3)]
    assert 429 in [answer.status_code for answer in answers]
    told = answers[0].headers
    assert told["x-sentry-rate-limit-limit"] == "2"
    assert int(told["x-sentry-rate-limit-reset"]) >= int(time.time())


def test_pages_are_linked_and_the_last_one_says_so(box: Sandbox, sentry: httpx.Client) -> None:
    box.vendors.state("sentry", issues=[{"title": f"E{n}: x", "release": "v9"} for n in range(5)], page=2)
    seen, url = [], f"{HERE}/issues/?query=firstRelease:v9"
    for _ in range(3):
        answer = sentry.get(url)
        seen += [issue["title"] for issue in answer.json()]
        assert answer.links["next"]["results"] == str(len(seen) < 5).lower()
        url = answer.links["next"]["url"]
    assert sorted(seen) == [f"E{n}: x" for n in range(5)]
    assert sentry.get(url).json() == []


def test_an_event_of_the_service_becomes_an_issue_of_its_release(sentry: httpx.Client) -> None:
    assert send(sentry, event("'price'"), event("'price'"), event("'size'", "fatal", "v8.0.0")) == 200
    assert send(sentry, event("'packed'"), packed=True) == 200
    new = titles(sentry, 'firstRelease:"v9.0.0" is:unresolved', environment="production", project="shop")
    assert sorted(new) == ["KeyError: 'packed'", "KeyError: 'price'"]
    assert titles(sentry, "level:fatal lastSeen:>=2020-01-01T00:00:00") == ["KeyError: 'size'"]
    assert titles(sentry, "level:fatal lastSeen:>2100-01-01T00:00:00") == []
    assert titles(sentry, "is:resolved") == []
    assert titles(sentry, "!level:fatal firstRelease:v8.0.0") == []
    assert titles(sentry, "", environment="staging") == []
    issue = sentry.get(f"{HERE}/issues/", params={"query": "firstRelease:v9.0.0"}).json()[-1]
    assert issue["count"] == "2"
    assert issue.keys() >= ISSUE_KEYS
    assert sentry.get(f"{HERE}/releases/v9.0.0/").json()["version"] == "v9.0.0"


def test_a_search_that_cannot_be_read_is_refused(sentry: httpx.Client) -> None:
    for query in ("colour:green", "is:unresolved (", "lastSeen:>soon level:fatal"):
        send(sentry, event("x"))
        assert sentry.get(f"{HERE}/issues/", params={"query": query}).status_code == 400


def test_sessions_are_counted_by_release(sentry: httpx.Client) -> None:
    about = {"release": "v9.0.0", "environment": "production"}
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert send(sentry, {"attrs": about, "aggregates": [{"started": started, "exited": 5, "crashed": 1}]}) == 200
    asked = {"field": "sum(session)", "statsPeriod": "1h", "query": 'release:"v9.0.0"'}
    whole = sentry.get(f"{HERE}/sessions/", params=asked).json()
    assert [group["totals"] for group in whole["groups"]] == [{"sum(session)": 6}]
    split = sentry.get(f"{HERE}/sessions/", params={**asked, "groupBy": "session.status"}).json()
    assert {g["by"]["session.status"]: g["totals"]["sum(session)"] for g in split["groups"]} == {
        "healthy": 5,
        "crashed": 1,
    }
    share = sentry.get(f"{HERE}/sessions/", params={**asked, "field": "crash_free_rate(session)"}).json()
    assert share["groups"][0]["totals"] == {"crash_free_rate(session)": pytest.approx(5 / 6)}
    nobody = sentry.get(f"{HERE}/sessions/", params={**asked, "query": "release:none"}).json()
    assert nobody["groups"][0]["totals"] == {"sum(session)": 0}
    assert sentry.get(f"{HERE}/sessions/", params={"field": "p50(x)"}).status_code == 400


def test_the_shop_tells_of_the_sessions_of_its_release(box: Sandbox, sentry: httpx.Client, until: Any) -> None:
    asked = {"field": "sum(session)", "statsPeriod": "1h", "query": f"release:{LIVE}", "environment": "production"}

    def heard() -> int:
        groups = sentry.get(f"{HERE}/sessions/", params=asked).json()["groups"]
        return int(groups[0]["totals"]["sum(session)"])

    assert until(heard) > 0
    before = heard()
    box.vendors.fault("sentry", status=500)
    box.vendors.clear("sentry")
    until(lambda: heard() > before)


def test_a_key_that_is_not_active_takes_nothing(box: Sandbox, sentry: httpx.Client) -> None:
    assert send(sentry, event("x"), key="0" * 32) == 403
    box.vendors.state("sentry", keys=[False])
    assert send(sentry, event("x")) == 403
    assert titles(sentry, "") == []


def test_a_release_is_registered_once_and_keeps_its_deploys(sentry: httpx.Client) -> None:
    body = {"version": "v9.1.0", "projects": ["shop"]}
    assert [sentry.post(f"{HERE}/releases/", json=body).status_code for _ in range(2)] == [201, 208]
    deploys = f"{HERE}/releases/v9.1.0/deploys/"
    assert sentry.post(deploys, json={"name": "no environment"}).status_code == 400
    assert sentry.post(deploys, json={"environment": "production", "name": "x" * 65}).status_code == 400
    made = sentry.post(deploys, json={"environment": "production", "name": "run-1"})
    assert (made.status_code, made.json()["name"]) == (201, "run-1")
    assert [deploy["name"] for deploy in sentry.get(deploys).json()] == ["run-1"]
    assert sentry.get(f"{HERE}/releases/v9.1.0/").json()["deployCount"] == 1
    assert sentry.post(f"{HERE}/releases/", json={"version": "x"}).json() == {"projects": ["This field is required."]}


def test_what_the_service_sends_is_no_change_of_ours(box: Sandbox, sentry: httpx.Client) -> None:
    send(sentry, event("x"))
    assert box.vendors.calls("sentry")[-1].changing is False
    sentry.post(f"{HERE}/releases/", json={"version": "v9.2.0", "projects": ["shop"]})
    assert box.vendors.calls("sentry")[-1].changing is True
