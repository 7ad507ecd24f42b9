"""Datadog for metrics, with datadog-api-client: its v1 query, and the metadata of a metric.

Sources: https://docs.datadoghq.com/api/latest/metrics/#query-timeseries-points and #get-metric-metadata
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.providers._answers import listing, mapping, number, text
from deploykit.providers._datadog import Datadog, connected
from deploykit.providers._errors import worded
from deploykit.providers._faults import Fault, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from deploykit.model import Series
    from deploykit.settings import EnvironmentSettings, Settings

T = TypeVar("T")

#: What `validate` goes by.
_ONE_KEY = "metrics.api_key (of the organisation at metrics.url)"
#: A metric's name in a query stands before its tags in braces; what is counted in groups (`by {...}`) is none.
_NAME = re.compile(r"(?<![\w.])(?!by\s*\{)([A-Za-z][\w.]*)\s*\{")
#: Datadog's names of units in our words; all others are said as they are.
_UNITS = {
    "millisecond": "ms", "second": "s", "microsecond": "us", "nanosecond": "ns", "byte": "bytes", "percent": "percent",
    "fraction": "fraction",
}  # fmt: skip


class DatadogMetrics:
    """A `ports.Metrics`.

    Args:
        datadog: The client. Its application key may read time series.
    """

    def __init__(self, datadog: Datadog) -> None:
        from datadog_api_client.v1.api.authentication_api import (  # noqa: PLC0415 - an extra, and slow to import
            AuthenticationApi,
        )
        from datadog_api_client.v1.api.metrics_api import MetricsApi  # noqa: PLC0415 - likewise

        self._datadog = datadog
        self._api = MetricsApi(datadog.client)  # type: ignore[no-untyped-call]  # the client leaves it untyped
        self._authentication = AuthenticationApi(datadog.client)  # type: ignore[no-untyped-call]  # likewise
        self._known: set[str] = set()

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether the API key is one; what the application key may do, only real questions show."""
        return {"api-key": self._valid}

    def _valid(self) -> str:
        # It asks for the API key alone, so a refusal is about that one, or about the site.
        call = replace(self._datadog.call("validate"), token=_ONE_KEY)
        with worded(call):
            if mapping(self._datadog.ask(call, self._authentication.validate), "the answer").get("valid") is not True:
                raise Fault(Why.REFUSED, "the API key is not valid", mend="look at the secret of metrics.api_key")
        return "the API key is valid"

    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:
        """The points of one query, as Datadog aligns them: the first bucket may begin before `start`.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Datadog refused, the query failed or matches several series, or an answer of no use.
        """
        from deploykit.model import Series  # noqa: PLC0415 - what it draws in is not needed to import this module

        points = self._asked(query, start, end, _points)
        return Series(name=name, unit=unit, query=query, points=points)

    def unit(self, query: str, start: datetime, end: datetime) -> str:
        """The unit of a query's answer; "" where Datadog has none, where nothing answers, and for what counts.

        Raises:
            Unreachable, Rejected: As `series`.
        """
        counts = query.lstrip().startswith(("count(", "count:"))
        return "" if counts else self._asked(query, start, end, _unit)

    def unknown(self, query: str) -> tuple[str, ...]:
        """Metrics in a query that Datadog has no metadata of, because it was never told of them.

        Raises:
            Unreachable, Rejected: No answer, or a no; it takes the right `metrics_read`.
        """
        names = dict.fromkeys(_NAME.findall(query))
        return tuple(name for name in names if name not in self._known and not self._has(name))

    def _has(self, name: str) -> bool:
        call = self._datadog.call(f"metadata of {name}")
        with worded(call):
            found = self._datadog.ask(call, partial(self._api.get_metric_metadata, name), absent=True)
            if found is None:
                return False
            if not mapping(found, "the answer"):
                raise Fault(Why.GARBLED, "it is an empty object")
        self._known.add(name)
        return True

    def _asked(self, query: str, start: datetime, end: datetime, read: Callable[[list[Any]], T]) -> T:
        call, since, until = self._datadog.call(f"query {query}"), int(start.timestamp()), math.ceil(end.timestamp())
        with worded(call):
            answer = self._datadog.ask(call, partial(self._api.query_metrics, _from=since, to=until, query=query))
            return read(_series(mapping(answer, "the answer")))


def connect(settings: Settings, environment: EnvironmentSettings) -> DatadogMetrics:  # noqa: ARG001 - all take both
    """The metrics of the service, with both keys.

    Raises:
        UsageError: A key is not there.
    """
    return DatadogMetrics(connected(settings))


def _series(answer: dict[str, Any]) -> list[Any]:
    """The series of an answer, one or none; a failed query comes with HTTP 200 too."""
    status, error = answer.get("status"), answer.get("error")
    if error or (status is not None and status != "ok"):
        raise Fault(Why.REFUSED, f"{error or answer.get('message') or f'status {status!r}'}")
    found = listing(answer.get("series"), "series")
    if len(found) > 1:
        scopes = ", ".join(str(mapping(one, "a series").get("scope")) for one in found[:3])
        mend = "make the query give one series: aggregate over what it splits by"
        raise Fault(Why.REFUSED, f"{len(found)} series where one is wanted: {scopes}", mend=mend)
    return found


def _points(found: list[Any]) -> tuple[tuple[float, float | None], ...]:
    points = [mapping(one, "a series").get("pointlist") for one in found]
    return tuple(_point(point) for listed in points for point in listing(listed, "pointlist"))


def _unit(found: list[Any]) -> str:
    """Datadog describes a unit as a pair: what is measured, and per what."""
    for one in found:
        pair = mapping(one, "a series").get("unit")
        if pair and (measured := listing(pair, "unit")[0]) is not None:
            name = text(mapping(measured, "a unit").get("name"), "a unit's name")
            return _UNITS.get(name, name)
    return ""


def _point(value: Any) -> tuple[float, float | None]:
    """One point: milliseconds become seconds, and null stays a point that is missing."""
    pair = listing(value, "a point")
    if len(pair) != 2:
        raise Fault(Why.GARBLED, f"a point is not a pair but {str(pair)[:80]}")
    at, measured = pair
    return number(at, "a point's time") / 1000, None if measured is None else number(measured, "a point's value")
