"""Datadog for logs: counts by its aggregation, lines by its search. The application key needs `logs_read_data`.

Sources: https://docs.datadoghq.com/api/latest/logs/#aggregate-events and #search-logs-post
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from deploykit.providers._answers import listing, mapping, number, text
from deploykit.providers._datadog import PAGES, Datadog, connected, moment
from deploykit.providers._errors import Call, worded
from deploykit.providers._faults import Fault, Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploykit.ports import LogLine
    from deploykit.settings import EnvironmentSettings, Settings

#: Lines on a page, the most that Datadog gives.
PAGE = 1000


class DatadogLogs:
    """A `ports.Logs`.

    Args:
        datadog: The client.
    """

    def __init__(self, datadog: Datadog) -> None:
        from datadog_api_client.v2.api.logs_api import LogsApi  # noqa: PLC0415 - an extra, and slow to import

        self._datadog = datadog
        self._api = LogsApi(datadog.client)  # type: ignore[no-untyped-call]  # the client leaves it untyped

    def count(self, query: str, start: datetime, end: datetime) -> int:
        """How many lines match between two moments; no bucket at all is none.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Datadog refused, did not come to an end, or an answer of no use.
        """
        call = self._datadog.call(f"count of logs {query}")
        body = {"compute": [{"aggregation": "count", "type": "total"}], "filter": _filter(query, start, end)}
        with worded(call):
            answer = self._answer(call, partial(self._api.aggregate_logs, _as_sent(body)))
            buckets = listing(mapping(answer.get("data"), "data").get("buckets"), "buckets")
            computed = [mapping(mapping(one, "a bucket").get("computes"), "computes").get("c0") for one in buckets]
            counts = [number(one, "a count") for one in computed]
            if any(one < 0 or one != int(one) for one in counts):
                raise Fault(Why.GARBLED, f"a count is no whole number: {counts}")
            return int(sum(counts))

    def search(self, query: str, start: datetime, end: datetime, *, limit: int = 100) -> tuple[LogLine, ...]:
        """The newest lines that match, newest first.

        Raises:
            Unreachable, Rejected: As `count`.
        """
        call = self._datadog.call(f"search of logs {query}")
        found: list[LogLine] = []
        cursor = ""
        with worded(call):
            for _ in range(PAGES):
                page = {"limit": min(limit - len(found), PAGE)} | ({"cursor": cursor} if cursor else {})
                body = {"filter": _filter(query, start, end), "page": page, "sort": "-timestamp"}
                answer = self._answer(call, partial(self._api.list_logs, body=_as_sent(body)))
                found += [_line(one) for one in listing(answer.get("data"), "data")]
                following = _after(answer)
                if not following or len(found) >= limit:
                    return tuple(found[:limit])
                if following == cursor:
                    raise Fault(Why.GARBLED, "its next page is the same page")
                cursor = following
            raise Fault(Why.REFUSED, f"it has more than {PAGES} pages", mend="ask for fewer lines, or a shorter time")

    def _answer(self, call: Call, method: Callable[[], object]) -> dict[str, Any]:
        answer = mapping(self._datadog.ask(call, method), "the answer")
        meta = answer.get("meta")
        status = meta.get("status") if isinstance(meta, dict) else None
        if status not in (None, "done"):
            raise Fault(Why.REFUSED, f"the search ended with {status!r}", mend="ask for a shorter time")
        return answer


def connect(settings: Settings, environment: EnvironmentSettings) -> DatadogLogs:  # noqa: ARG001 - all take both
    """The logs of the service, with the keys of the metrics.

    Raises:
        UsageError: A key is not there.
    """
    return DatadogLogs(connected(settings))


def _as_sent(body: dict[str, Any]) -> Any:
    """A body as plain JSON, which the client takes and checks like its own models, whatever its annotations say."""
    return body


def _filter(query: str, start: datetime, end: datetime) -> dict[str, str]:
    begun, ended = (f"{round(one.timestamp() * 1000)}" for one in (start, end))
    return {"query": query, "from": begun, "to": ended}


def _after(answer: dict[str, Any]) -> str:
    """The cursor of the next page; the last page has none."""
    meta = answer.get("meta")
    page = meta.get("page") if isinstance(meta, dict) else None
    following = page.get("after") if isinstance(page, dict) else None
    return text(following, "after") if following else ""


def _line(value: Any) -> LogLine:
    from deploykit.ports import LogLine  # noqa: PLC0415 - what it draws in is not needed to import this module

    held = mapping(mapping(value, "a line").get("attributes"), "a line's attributes")
    status, service, message = (str(held.get(name) or "") for name in ("status", "service", "message"))
    return LogLine(moment(held.get("timestamp"), "timestamp").astimezone(UTC), status, service, message)
