"""A stand-in for Datadog's metric queries, answered from the traffic that really passed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.addresses import DATADOG_API_KEY, DATADOG_APP_KEY
from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.series import KINDS, Line, Query, QueryError, evaluate, interval, parse_query, unit_of
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

PERIOD, LIMIT = 3600, 6000


@dataclass
class Datadog:
    """The stand-in's state.

    Attributes:
        collector: Where the samples are.
        delay: Seconds until a point can be read.
        used: Requests made in the current period of the limit.
    """

    collector: Collector
    delay: float
    used: int = 0

    def lines(self, query: Query, low: float, high: float) -> tuple[int, list[Line]]:
        """The interval and the series of a query between two times, as far as they have arrived."""
        step = interval(query, high - low)
        start, end = low - low % step, min(high, time.time() - self.delay)
        samples = [s for s in self.collector.samples.values() if start <= s.at and s.at + 1 <= end]
        return step, evaluate(query, samples, step)

    def limit_headers(self) -> dict[str, str]:
        """The headers after one more request."""
        self.used = min(self.used + 1, LIMIT)
        reset = PERIOD - int(time.time()) % PERIOD
        numbers = {"limit": LIMIT, "period": PERIOD, "remaining": LIMIT - self.used, "reset": reset}
        return {f"x-ratelimit-{name}": str(value) for name, value in numbers.items()} | {"x-ratelimit-name": "query"}

    async def validate(self, request: Request) -> Response:
        """Says whether the API key is good."""
        require_keys(request, application=False)
        return JSONResponse({"valid": True})

    async def query(self, request: Request) -> Response:
        """Answers v1's metric query."""
        require_keys(request)
        asked = request.query_params
        if "query" not in asked:
            raise HTTPException(400, "Missing required query parameter: query")
        low, high = seconds(asked.get("from")), seconds(asked.get("to"))
        answer = {
            "status": "ok",
            "res_type": "time_series",
            "resp_version": 1,
            "query": asked["query"],
            "from_date": int(low * 1000),
            "to_date": int(high * 1000),
            "message": "",
            "group_by": [],
            "series": [],
        }
        try:
            query = parse_query(asked["query"])
            step, lines = self.lines(query, low, high)
        except QueryError as error:
            return JSONResponse({**answer, "status": "error", "error": str(error)}, headers=self.limit_headers())
        series = [v1_series(query, line, step) for line in lines]
        return JSONResponse({**answer, "group_by": list(query.by), "series": series}, headers=self.limit_headers())

    async def metadata(self, request: Request) -> Response:
        """Answers what is known of a metric; a name that was never reported is not found."""
        require_keys(request)
        name = request.path_params["name"]
        if name not in KINDS:
            return JSONResponse({"errors": ["metric_name not found"]}, 404, headers=self.limit_headers())
        unit = (unit_of(name) or [None])[0]
        said = {"type": KINDS[name], "unit": unit and unit["name"], "per_unit": None, "integration": None}
        return JSONResponse({**said, "description": None, "short_name": None, "statsd_interval": None})

    async def timeseries(self, request: Request) -> Response:
        """Answers v2's timeseries query, for formulas that are a query's name."""
        require_keys(request)
        asked = read_attributes(read_json(await request.body()))
        low, high = seconds(asked.get("from")) / 1000, seconds(asked.get("to")) / 1000
        found: list[tuple[int, Query, Line]] = []
        for index, text in enumerate(asked_queries(asked)):
            try:
                query = parse_query(text)
                if asked.get("interval"):
                    query = replace(query, seconds=query.seconds or max(1, int(asked["interval"]) // 1000))
                found += [(index, query, line) for line in self.lines(query, low, high)[1]]
            except QueryError as error:
                raise HTTPException(400, str(error)) from error
        return JSONResponse(v2_answer(found), headers=self.limit_headers())


def v1_series(query: Query, line: Line, step: int) -> dict[str, Any]:
    """A series as v1 gives it."""
    points = [[float(at * 1000), value] for at, value in line.points.items()]
    return {
        "metric": query.metric,
        "display_name": query.metric,
        "scope": ",".join(line.group or query.tags) or "*",
        "expression": query.text,
        "tag_set": list(line.group),
        "interval": step,
        "start": int(points[0][0]),
        "end": int(points[-1][0]) + step * 1000 - 1,
        "length": len(points),
        "aggr": query.aggregator,
        "query_index": 0,
        "unit": unit_of(query.metric),
        "attributes": {},
        "pointlist": points,
    }


def v2_answer(found: list[tuple[int, Query, Line]]) -> dict[str, Any]:
    """Series as v2 gives them: one list of times, and null where a series has no point."""
    times = sorted({at for _, _, line in found for at in line.points})
    series = [
        {"group_tags": list(line.group), "query_index": index, "unit": unit_of(query.metric)}
        for index, query, line in found
    ]
    values = [[line.points.get(at) for at in times] for _, _, line in found]
    attributes = {"series": series, "times": [at * 1000 for at in times], "values": values}
    return {"data": {"id": "0", "type": "timeseries_response", "attributes": attributes}}


def read_attributes(sent: Any) -> dict[str, Any]:
    """The attributes of a v2 request."""
    try:
        return dict(sent["data"]["attributes"])
    except (TypeError, KeyError, ValueError) as error:
        raise HTTPException(400, "Invalid request body") from error


def asked_queries(asked: Mapping[str, Any]) -> list[str]:
    """The queries of a v2 request, in the order of its formulas."""
    try:
        queries = {q.get("name", str(i)): str(q["query"]) for i, q in enumerate(asked["queries"])}
        return [queries[f["formula"]] for f in asked.get("formulas") or [{"formula": name} for name in queries]]
    except (TypeError, KeyError, AttributeError) as error:
        raise HTTPException(400, f"Unknown formula or query: {error}") from error


def seconds(text: Any) -> float:
    """A time out of a request."""
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise HTTPException(400, "Invalid from or to") from error


def require_keys(request: Request, *, application: bool = True) -> None:
    """Refuses missing or wrong keys."""
    good = request.headers.get("dd-api-key") == DATADOG_API_KEY
    if application:
        good = good and request.headers.get("dd-application-key") == DATADOG_APP_KEY
    if not good:
        raise HTTPException(403, "Forbidden")


async def refuse(_: Request, error: Exception) -> Response:
    """Words an error as Datadog does."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"errors": [error.detail if isinstance(error, HTTPException) else "Internal error"]}, status)


def make_app(collector: Collector, delay: float) -> Starlette:
    """The stand-in's application, where a point can be read after a delay of some seconds."""
    datadog = Datadog(collector, delay)
    routes = [
        Route("/api/v1/validate", datadog.validate),
        Route("/api/v1/query", datadog.query),
        Route("/api/v1/metrics/{name}", datadog.metadata),
        Route("/api/v2/query/timeseries", datadog.timeseries, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path; queries sent by POST change nothing."""
    reading = request.method == "GET" or "/query/" in request.url.path
    return Operation(f"{request.method} {request.url.path}", not reading, request.query_params.get("query", "")[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Datadog says with that status."""
    if status == 429:
        headers = {"limit": "100", "period": "10", "remaining": "0", "reset": "1", "name": "query"}
        return {"errors": ["Rate limit reached"]}, {f"x-ratelimit-{name}": value for name, value in headers.items()}
    return {"errors": ["Internal error"]}, {}


DATADOG = Vendor("datadog", describe, failure)
