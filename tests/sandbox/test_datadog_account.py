"""What lies at Datadog's stand-in beside metrics: keys, rights, limits, monitors, downtimes, logs and events."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from deploykit.sandbox.addresses import DATADOG_API_KEY, DATADOG_APP_KEY
from deploykit.sandbox.vendors.datadog_search import Found, SearchError, parse
from tests.standins import StandIns

KEYS = {"dd-api-key": DATADOG_API_KEY, "dd-application-key": DATADOG_APP_KEY}


def ask(stand_ins: StandIns, path: str, body: Any = None, keys: dict[str, str] = KEYS, **asked: Any) -> httpx.Response:
    method = "GET" if body is None else "POST"
    url = stand_ins.url("datadog") + path
    return httpx.request(method, url, params=asked or None, json=body, headers=keys, trust_env=False)


def errors(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()["errors"]


# --- the gate


@pytest.mark.parametrize(
    ("path", "keys", "expected"),
    [
        ("/api/v1/validate", {}, (401, ["Unauthorized"])),
        ("/api/v1/validate", {"dd-api-key": "wrong"}, (403, ["Forbidden"])),
        ("/api/v1/monitor", {"dd-api-key": DATADOG_API_KEY}, (401, ["Unauthorized"])),
        ("/api/v1/monitor", {**KEYS, "dd-application-key": "wrong"}, (403, ["Forbidden"])),
        ("/api/v2/downtime", {**KEYS, "dd-api-key": "wrong"}, (403, ["Forbidden"])),
        ("/api/v9/nothing", KEYS, (404, ["Not Found"])),
    ],
)
def test_bad_keys_are_refused(stand_ins: StandIns, path: str, keys: dict[str, str], expected: tuple[int, Any]) -> None:
    assert errors(ask(stand_ins, path, keys=keys)) == expected


def test_a_right_that_the_key_lacks_is_refused(stand_ins: StandIns) -> None:
    stand_ins.state("datadog", rights=["monitors_read"])
    assert ask(stand_ins, "/api/v1/monitor").status_code == 200
    assert errors(ask(stand_ins, "/api/v2/downtime")) == (403, ["Failed permission authorization checks"])
    assert errors(ask(stand_ins, "/api/v1/query?from=0&to=1&query=x"))[0] == 403


def test_a_limit_is_told_and_enforced_and_ends(stand_ins: StandIns) -> None:
    stand_ins.state("datadog", limits={"monitors": [2, 0.3]})
    left = [ask(stand_ins, "/api/v1/monitor").headers["x-ratelimit-remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = ask(stand_ins, "/api/v1/monitor")
    assert errors(refused) == (429, ["Rate limit reached"])
    told = {name: refused.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset", "name")}
    assert told == {"limit": "2", "remaining": "0", "reset": "1", "name": "monitors"}
    assert ask(stand_ins, "/api/v1/validate").status_code == 200
    deadline = time.monotonic() + 20
    while ask(stand_ins, "/api/v1/monitor").status_code != 200:
        assert time.monotonic() < deadline


# --- monitors


def test_monitors_are_listed_by_tags_in_pages(stand_ins: StandIns) -> None:
    names = [one["tags"][2] for one in ask(stand_ins, "/api/v1/monitor", monitor_tags="env:production").json()]
    assert names == ["alert:errors", "alert:latency", "alert:memory", "alert:logs"]
    second = ask(stand_ins, "/api/v1/monitor", page=1, page_size=3).json()
    assert [one["tags"][2] for one in second] == ["alert:logs", "alert:staging"]
    offset = ask(stand_ins, "/api/v1/monitor", id_offset=second[0]["id"]).json()
    assert [one["tags"][2] for one in offset] == ["alert:staging"]
    assert errors(ask(stand_ins, "/api/v1/monitor", page="x")) == (400, ["x is not a number"])


def test_a_monitor_is_shown_with_its_downtimes(stand_ins: StandIns) -> None:
    stand_ins.state("datadog", downtimes=[{"monitor": "errors"}, {"monitor": "logs"}])
    shown = ask(stand_ins, "/api/v1/monitor/150000001", with_downtimes="true", group_states="all").json()
    assert (shown["matching_downtimes"][0]["scope"], shown["state"]["groups"]["*"]["status"]) == (["*"], "OK")
    assert errors(ask(stand_ins, "/api/v1/monitor/1")) == (404, ["Monitor not found"])


@pytest.mark.parametrize(
    ("query", "count"),
    [("status:Alert", 1), ('status:"No Data"', 1), ("muted:true", 2), ('tag:"env:staging"', 1), ("slow", 1), ("", 5)],
)
def test_monitors_are_searched(stand_ins: StandIns, query: str, count: int) -> None:
    changed = {"errors": {"overall_state": "Alert"}, "logs": {"overall_state": "No Data"}}
    changed["memory"] = {"options": {"silenced": {"*": None}}}  # type: ignore[dict-item]
    stand_ins.state("datadog", monitors=changed, downtimes=[{"monitor": "latency"}])
    found = ask(stand_ins, "/api/v1/monitor/search", query=query).json()
    assert found["metadata"]["total_count"] == len(found["monitors"]) == count


def test_downtimes_come_in_pages_and_only_the_current_ones_if_asked(stand_ins: StandIns) -> None:
    stand_ins.state("datadog", downtimes=[{}, {"start": 60}, {"start": -60, "end": -1}, {"status": "canceled"}])
    every = ask(stand_ins, "/api/v2/downtime?page[limit]=3").json()
    assert (len(every["data"]), every["meta"]["page"]["total_filtered_count"]) == (3, 4)
    assert len(ask(stand_ins, "/api/v2/downtime?page[offset]=3").json()["data"]) == 1
    assert len(ask(stand_ins, "/api/v2/downtime", current_only="true").json()["data"]) == 1


# --- logs

LINES = [
    {"message": f"GET /products/{n} 200", "service": "shop", "ddtags": "env:production", "age": 60 - n}
    for n in range(5)
] + [
    {
        "message": '{"level": "error", "message": "out of stock", "ms": 12.5, "http": {"status": 500}}',
        "service": "shop",
    },
    {"message": "other", "service": "mail"},
]


def search(stand_ins: StandIns, query: str = "*", **page: Any) -> Any:
    body = {"filter": {"query": query, "from": "now-15m", "to": "now"}, "sort": "timestamp", "page": page}
    return ask(stand_ins, "/api/v2/logs/events/search", body).json()


def test_lines_are_taken_in_and_come_in_pages(stand_ins: StandIns) -> None:
    sent = ask(stand_ins, "/api/v2/logs", LINES, keys={"dd-api-key": DATADOG_API_KEY})
    assert sent.status_code == 202
    first = search(stand_ins, "service:shop products", limit=2)
    second = search(stand_ins, "service:shop products", limit=2, cursor=first["meta"]["page"]["after"])
    third = search(stand_ins, "service:shop products", limit=2, cursor=second["meta"]["page"]["after"])
    texts = [one["attributes"]["message"] for page in (first, second, third) for one in page["data"]]
    assert texts == [f"GET /products/{n} 200" for n in range(5)]
    assert "meta" not in third


def test_json_in_a_line_becomes_attributes(stand_ins: StandIns) -> None:
    stand_ins.datadog.logs.take(LINES)
    (found,) = search(stand_ins, "@http.status:500")["data"]
    held = found["attributes"]
    assert (held["status"], held["message"], held["attributes"]["ms"]) == ("error", "out of stock", 12.5)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        ({"aggregation": "count"}, {"shop": 6, "mail": 1}),
        ({"aggregation": "max", "metric": "@ms"}, {"shop": 12.5, "mail": 0.0}),
        ({"aggregation": "pc95", "metric": "@ms"}, {"shop": 12.5, "mail": 0.0}),
        ({"aggregation": "cardinality", "metric": "@level"}, {"shop": 1, "mail": 0}),
    ],
)
def test_lines_are_aggregated_by_group(stand_ins: StandIns, compute: dict[str, str], expected: dict[str, Any]) -> None:
    stand_ins.datadog.logs.take(LINES)
    body = {"compute": [compute], "filter": {"query": "*"}, "group_by": [{"facet": "service"}]}
    answer = ask(stand_ins, "/api/v2/logs/analytics/aggregate", body).json()
    found = {bucket["by"]["service"]: bucket["computes"]["c0"] for bucket in answer["data"]["buckets"]}
    assert (found, answer["meta"]["status"]) == (expected, "done")


def test_counts_in_time_add_up(stand_ins: StandIns) -> None:
    stand_ins.datadog.logs.take(LINES)
    body = {"compute": [{"aggregation": "count", "type": "timeseries", "interval": "5s"}], "filter": {"query": "*"}}
    (bucket,) = ask(stand_ins, "/api/v2/logs/analytics/aggregate", body).json()["data"]["buckets"]
    assert sum(point["value"] for point in bucket["computes"]["c0"]) == len(LINES)


@pytest.mark.parametrize(
    "body",
    [
        {"filter": {"query": "(broken"}},
        {"filter": {"query": 'a "b'}},
        {"filter": {"from": "yesterday"}},
        {"page": {"limit": 5000}},
        {"page": {"cursor": "nonsense"}},
        [1],
    ],
)
def test_what_cannot_be_searched_is_refused(stand_ins: StandIns, body: Any) -> None:
    assert errors(ask(stand_ins, "/api/v2/logs/events/search", body))[0] == 400


FOUND = Found(
    {"service": "shop", "status": "error", "host": "a"},
    {"status": 500, "path": "/x", "ok": True},
    frozenset({"env:production", "colour:blue"}),
    "GET /x?deploykit=dk12ab 500",
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("*", True),
        ("service:shop", True),
        ("service:sho*", True),
        ("service:mail", False),
        ("-service:mail", True),
        ("NOT service:shop", False),
        ("env:production colour:blue", True),
        ("env:production AND colour:green", False),
        ("colour:green OR colour:blue", True),
        ("status:(warn OR error)", True),
        ("-status:(warn OR error)", False),
        ("(colour:green OR colour:blue) status:error", True),
        ("@status:500", True),
        ("@status:50*", True),
        ("@none:1", False),
        ("@ok:true", True),
        ('@path:"/x"', True),
        ('"dk12ab"', True),
        ("dk12ab", True),
        ("dk12", False),
        ("*dk12*", True),
        ('"x deploykit"', True),
        ('"deploykit x"', False),
    ],
)
def test_the_search_language(query: str, expected: object) -> None:
    assert parse(query)(FOUND) is expected


@pytest.mark.parametrize("query", ["(", "a)", "key:", "a OR", "NOT", '"'])
def test_a_query_that_cannot_be_read_is_an_error(query: str) -> None:
    with pytest.raises(SearchError):
        parse(query)


# --- events


def test_an_event_has_an_exact_id_as_text_and_a_rounded_number(stand_ins: StandIns) -> None:
    sent = ask(stand_ins, "/api/v1/events", {"title": "t", "text": "x"}).json()["event"]
    assert sent["id"] != int(sent["id_str"])
    assert str(sent["id"])[:16] == sent["id_str"][:16]
    shown = ask(stand_ins, f"/api/v1/events/{sent['id_str']}").json()["event"]
    assert shown == sent
    again = ask(stand_ins, f"/api/v2/events/{sent['id_str']}").json()["data"]["attributes"]
    assert again["attributes"]["evt"]["id"] == sent["id_str"]
    assert errors(ask(stand_ins, "/api/v1/events/7")) == (404, ["Event not found"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"title": "t"}, "text is required"),
        ({"text": "t"}, "title is required"),
        ({"title": "t", "text": "x", "date_happened": 1}, "Event too far in the past"),
        ({"title": "t", "text": "x", "aggregation_key": "x" * 101}, "too long"),
    ],
)
def test_an_event_that_is_wrong_is_refused(stand_ins: StandIns, body: dict[str, Any], said: str) -> None:
    status, words = errors(ask(stand_ins, "/api/v1/events", body))
    assert status == 400
    assert said in words[0]


def test_an_event_is_found_after_a_while(stand_ins: StandIns) -> None:
    stand_ins.state("datadog", event_delay=60)
    stand_ins.events.post("t", "x", key="k", tags=())
    assert stand_ins.events.find("k") is None
    stand_ins.datadog.events.delay = 0
    assert stand_ins.events.find("k") is not None


def test_what_is_posted_elsewhere_is_kept(stand_ins: StandIns) -> None:
    attributes = {"service": "shop", "started_at": 1, "finished_at": 2, "version": "v1.5.0"}
    ask(stand_ins, "/api/v2/dora/deployment", {"data": {"attributes": attributes}}).raise_for_status()
    assert stand_ins.datadog.events.deployments == [attributes]
    assert errors(ask(stand_ins, "/api/v2/dora/deployment", {"data": {}}))[0] == 400
    assert errors(ask(stand_ins, "/api/v1/notebooks", {"data": {}}))[0] == 400
    assert errors(ask(stand_ins, "/api/v1/slo/none"))[0] == 404
