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
