from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from deploykit.model import Series
from tests.providers.adapters import END, START, TOKEN, datadog, series
from tests.providers.faults import Faults, Reply


def ask(server: Faults, query: str = "sum:errors{*}") -> Series:
    return datadog(server.url, 2).series(query, START, END, name="errors", unit="requests")


def test_points_become_seconds_and_null_stays_missing(server: Faults) -> None:
    server.reply(Reply(series([1700000000000, 0.5], [1700000060000, None], [1700000120500.0, 3])))
    found = ask(server, "sum:errors{service:shop,colour:$x} & more")
    assert found.points == ((1700000000.0, 0.5), (1700000060.0, None), (1700000120.5, 3.0))
    assert (found.name, found.unit, found.query) == ("errors", "requests", "sum:errors{service:shop,colour:$x} & more")
    asked = server.asked[0]
    assert asked.path == "/api/v1/query"
    assert asked.query == {"from": ["1795403400"], "to": ["1795403580"], "query": [found.query]}
    assert (asked.headers["dd-api-key"], asked.headers["dd-application-key"]) == (TOKEN, f"{TOKEN}-app")


def test_a_part_of_a_second_is_asked_for_too(server: Faults) -> None:
    server.reply(Reply(series()))
    end = datetime(2026, 11, 23, 3, 13, 0, 1, tzinfo=UTC)
    datadog(server.url, 2).series("q", START, end, name="n", unit="count")
    assert server.asked[0].query["to"] == ["1795403581"]


def test_no_series_is_an_empty_one(server: Faults) -> None:
    server.reply(Reply({"status": "ok", "series": []}))
    assert ask(server).points == ()


def test_more_than_one_series_is_rejected(server: Faults) -> None:
    server.reply(Reply({"status": "ok", "series": [{"scope": "pod:a", "pointlist": []}, {"scope": "pod:b"}]}))
    with pytest.raises(Rejected, match="2 series where one is wanted: pod:a, pod:b"):
        ask(server)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": "Error parsing query", "series": []},
        {"status": "ok", "error": "Error parsing query", "series": []},
        {"status": "error", "message": "Error parsing query", "series": []},
        {"status": "partial: Error parsing query", "series": []},
    ],
)
def test_a_failed_query_with_status_200_is_rejected(answer: dict[str, Any], server: Faults) -> None:
    server.reply(Reply(answer))
    with pytest.raises(Rejected, match="Error parsing query"):
        ask(server)


def test_datadogs_own_limit_header_is_heard(server: Faults, slept: list[float]) -> None:
    limit = Reply({"errors": ["Rate limit of 100 requests"]}, 429, {"X-RateLimit-Reset": "3"})
    server.reply(limit, Reply(series()))
    ask(server)
    assert slept == [3.0]
    server.reply(Reply({}, 429, {"X-RateLimit-Reset": "2441"}))
    with pytest.raises(Unreachable, match="asks to wait 2441 s"):
        ask(server)
    assert slept == [3.0]


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"1e999", b'"1"', b"true", b"[1]"])
def test_a_value_that_is_no_number_is_rejected(value: bytes, server: Faults) -> None:
    server.reply(Reply(b'{"status":"ok","series":[{"pointlist":[[1700000000000,%s]]}]}' % value))
    with pytest.raises(Rejected):
        ask(server)


def unit_of(*described: Any) -> dict[str, Any]:
    return {"status": "ok", "series": [{"pointlist": [], "unit": unit} for unit in described]}


@pytest.mark.parametrize(
    ("described", "unit"),
    [
        ([{"family": "time", "name": "millisecond"}, None], "ms"),
        ([{"family": "bytes", "name": "byte"}, None], "bytes"),
        ([{"family": "bytes", "name": "byte"}, {"name": "second"}], "bytes"),
        ([{"name": "request"}, None], "request"),
        ([None, None], ""),
        (None, ""),
        ([], ""),
    ],
)
def test_a_unit_is_told_in_our_words_or_not_at_all(described: Any, unit: str, server: Faults) -> None:
    server.reply(Reply(unit_of(described)))
    assert datadog(server.url, 2).unit("sum:errors{*}", START, END) == unit


def test_what_counts_has_no_unit_whatever_is_counted(server: Faults) -> None:
    assert datadog(server.url, 2).unit("count(v: v>500):shop.latency{*}.as_count()", START, END) == ""
    assert server.asked == []


@pytest.mark.parametrize("described", ["ms", [{}], [{"name": ""}], [{"name": 5}], ["ms"], {"name": "ms"}])
def test_a_unit_that_cannot_be_read_is_rejected(described: Any, server: Faults) -> None:
    server.reply(Reply(unit_of(described)))
    with pytest.raises(Rejected):
        datadog(server.url, 2).unit("q{*}", START, END)


def test_a_metric_without_metadata_was_never_reported_and_one_with_is_not_asked_for_again(server: Faults) -> None:
    metrics = datadog(server.url, 2)
    known, unknown = Reply({"type": "count", "unit": None}), Reply({"errors": ["metric_name not found"]}, 404)
    server.reply(known, unknown, unknown)
    query = "sum:shop.errors{env:production} by {colour}.as_count() / sum:shop.requests{*}.as_count()"
    assert metrics.unknown(query) == ("shop.requests",)
    assert metrics.unknown(query) == ("shop.requests",)
    paths = [asked.path for asked in server.asked]
    assert paths == ["/api/v1/metrics/shop.errors", *["/api/v1/metrics/shop.requests"] * 2]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply({"errors": ["Forbidden"]}, 403), Rejected),
        (Reply({"errors": ["x"]}, 500), Unreachable),
        (Reply(b"<html>"), Rejected),
        (Reply({}), Rejected),
    ],
)
def test_metadata_that_nobody_gave_is_never_a_metric_that_exists(
    reply: Reply, kind: type[Exception], server: Faults
) -> None:
    server.reply(reply, reply)
    with pytest.raises(kind):
        datadog(server.url, 2).unknown("sum:errors{*}")
