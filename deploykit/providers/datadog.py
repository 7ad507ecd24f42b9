"""Datadog for metrics, with datadog-api-client: its v1 query, and the metadata of a metric.

Sources: https://docs.datadoghq.com/api/latest/metrics/#query-timeseries-points and #get-metric-metadata
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit import redact
from deploykit.providers._answers import listing, mapping, number, parse, said, text
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from deploykit.model import Series
    from deploykit.settings import EnvironmentSettings, Settings

T = TypeVar("T")

#: Seconds for the connection, and for each answer.
CONNECT, READ = 3.0, 10.0
_TOKENS = "metrics.api_key and metrics.app_key"
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
        url: The API's address, such as `https://api.datadoghq.eu`.
        api_key: The organisation's key.
        app_key: A key that may read time series.
        timeout: Seconds for each answer.
    """

    def __init__(self, url: str, api_key: str, app_key: str, *, timeout: float = READ) -> None:
        from datadog_api_client import ApiClient, Configuration  # noqa: PLC0415 - an extra, and slow to import
        from datadog_api_client.v1.api.metrics_api import MetricsApi  # noqa: PLC0415 - likewise

        configuration = Configuration(  # type: ignore[no-untyped-call]  # the client leaves it untyped
            host=url.rstrip("/"),
            api_key={"apiKeyAuth": api_key, "appKeyAuth": app_key},
            # Its own retry sleeps as long as the server says, up to an hour; `attempt` is the one that asks again.
            enable_retry=True,
            max_retries=0,
            # The raw answer: its models take an error, a null and a wrong type each in a way of their own.
            preload_content=False,
            request_timeout=(CONNECT, timeout),
        )
        # Setting `server_index` after `host` would ask the real Datadog; debugging would log the keys.
        self._api = MetricsApi(ApiClient(configuration))  # type: ignore[no-untyped-call]  # likewise
        self._call = Call("Datadog", "", address="metrics.url", token=_TOKENS, timeout=timeout)
        self._known: set[str] = set()

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether the API key is one; what the application key may do, only real questions show."""
        return {"api-key": self._valid}

    def _valid(self) -> str:
        from datadog_api_client.v1.api.authentication_api import AuthenticationApi  # noqa: PLC0415 - an extra

        ask = AuthenticationApi(self._api.api_client).validate  # type: ignore[no-untyped-call]  # likewise

        def once() -> str:
            try:
                body: Any = getattr(ask(), "data", b"")
            except Exception as error:
                fault = _fault(error)
                if fault.status in {401, 403}:
                    site = "and that metrics.url is your organisation's site"
                    fault.mend = f"look at the secret that metrics.api_key names, {site}"
                raise fault from error
            if mapping(parse(body), "the answer").get("valid") is not True:
                raise Fault(Why.REFUSED, "the API key is not valid", mend="look at the secret of metrics.api_key")
            return "the API key is valid"

        return attempt(replace(self._call, what="validate"), once)

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
        def once() -> bool:
            try:
                raw = self._api.get_metric_metadata(name)
                body: Any = getattr(raw, "data", b"")
            except Exception as error:
                fault = _fault(error)
                if fault.status == 404:
                    return False
                raise fault from error
            if not mapping(parse(body), "the answer"):
                raise Fault(Why.GARBLED, "it is an empty object")
            return True

        found = attempt(replace(self._call, what=f"metadata of {name}"), once)
        self._known |= {name} if found else set()
        return found

    def _asked(self, query: str, start: datetime, end: datetime, read: Callable[[list[Any]], T]) -> T:
        def once() -> T:
            try:
                raw = self._api.query_metrics(_from=int(start.timestamp()), to=math.ceil(end.timestamp()), query=query)
                # preload_content makes this urllib3's answer, whatever the annotation says.
                body: Any = getattr(raw, "data", b"")
            except Exception as error:
                raise _fault(error) from error
            return read(_series(mapping(parse(body), "the answer")))

        return attempt(replace(self._call, what=f"query {query}"), once)


def connect(settings: Settings, environment: EnvironmentSettings) -> DatadogMetrics:  # noqa: ARG001 - all take both
    """The metrics of the service, with both keys.

    Raises:
        UsageError: A key is not there.
    """
    metrics = settings.metrics
    keys = (redact.learn(settings.resolve(reference)) for reference in (metrics.api_key, metrics.app_key))
    return DatadogMetrics(metrics.url, *keys)


def _fault(error: Exception) -> Fault:
    """The fault behind the client's exception."""
    status, body = getattr(error, "status", None), getattr(error, "body", None)
    if not isinstance(status, int) or status == 0:
        return of_client(error)
    headers = {str(key).lower(): str(value) for key, value in dict(getattr(error, "headers", None) or {}).items()}
    fault = Fault.of_status(status, said(body) if isinstance(body, str | bytes) else "", headers)
    if fault.wait is None and fault.why is Why.THROTTLED:
        # Datadog tells it in a header of its own, as seconds to wait.
        fault.wait = seconds(headers.get("x-ratelimit-reset"))
    return fault


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
