"""A stand-in for Datadog: metrics from the traffic that really passed, logs from what the shop really wrote."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.datadog_events import Events
from deploykit.sandbox.vendors.datadog_gate import Gate
from deploykit.sandbox.vendors.datadog_logs import Logs
from deploykit.sandbox.vendors.datadog_monitors import Monitors
from deploykit.sandbox.vendors.past import remember
from deploykit.sandbox.vendors.series import (
    KINDS,
    TIME_METHODS,
    Line,
    Query,
    QueryError,
    evaluate,
    interval,
    parse_query,
    unit_of,
)
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json


@dataclass
class Datadog:
    """The stand-in's state.

    Attributes:
        collector: Where the samples are.
        delay: Seconds until a point can be read.
    """

    collector: Collector
    delay: float

    def lines(self, query: Query, low: float, high: float) -> tuple[int, list[Line]]:
        """The interval and the series of a query between two times, as far as they have arrived."""
        step = interval(query, high - low)
        start, end = low - low % step, min(high, time.time() - self.delay)
        samples = [s for s in self.collector.samples.values() if start <= s.at and s.at + 1 <= end]
        return step, evaluate(query, samples, step)

    async def validate(self, _: Request) -> Response:
        """Says that the API key is good: a bad one does not come this far."""
        return JSONResponse({"valid": True})

    async def query(self, request: Request) -> Response:
        """Answers v1's metric query."""
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
            return JSONResponse({**answer, "status": "error", "error": str(error)})
        series = [v1_series(query, line, step) for line in lines]
        return JSONResponse({**answer, "group_by": list(query.by), "series": series})

    async def metadata(self, request: Request) -> Response:
        """Answers what is known of a metric; a name that was never reported is not found."""
        name = request.path_params["name"]
        if name not in KINDS:
            return JSONResponse({"errors": ["metric_name not found"]}, 404)
        unit = (unit_of(name) or [None])[0]
        said = {"type": KINDS[name], "unit": unit and unit["name"], "per_unit": None, "integration": None}
        return JSONResponse({**said, "description": None, "short_name": None, "statsd_interval": None})

    async def timeseries(self, request: Request) -> Response:
        """Answers v2's timeseries query, for formulas that are a query's name."""
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
        return JSONResponse(v2_answer(found))

    async def scalar(self, request: Request) -> Response:
        """Answers v2's scalar query: each formula's points, made one number."""
        asked = read_attributes(read_json(await request.body()))
        low, high = seconds(asked.get("from")) / 1000, seconds(asked.get("to")) / 1000
        names = [str(formula.get("formula")) for formula in asked.get("formulas") or ()]
        columns = []
        for index, text in enumerate(asked_queries(asked)):
            try:
                points = [
                    value for line in self.lines(parse_query(text), low, high)[1] for value in line.points.values()
                ]
            except QueryError as error:
                raise HTTPException(400, str(error)) from error
            value = TIME_METHODS["avg"](points) if points else None
            name = names[index] if index < len(names) else str(index)
            columns.append({"name": name, "type": "number", "values": [value], "meta": {"unit": None}})
        return JSONResponse({"data": {"id": "0", "type": "scalar_response", "attributes": {"columns": columns}}})


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


async def refuse(_: Request, error: Exception) -> Response:
    """Words an error as Datadog does."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = error.detail if isinstance(error, HTTPException) else "Internal error"
    return JSONResponse({"errors": [said]}, status, getattr(error, "headers", None))


class Organisation:
    """All that is kept at Datadog.

    Args:
        collector: Where the metrics come from.
        delay: Seconds until a point, a line or an event can be found.
    """

    def __init__(self, collector: Collector, delay: float) -> None:
        self.metrics, self.gate = Datadog(collector, delay), Gate()
        self.monitors, self.logs, self.events = Monitors(), Logs(delay), Events(delay)

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences; see `put` of each part. Log lines stay.

        `history` has it remember the days before, at so many requests a second.
        """
        if "history" in differences:
            known = remember(int(time.time()) - 1, float(differences["history"]))
            self.metrics.collector.samples.update({(one.at, one.colour, one.version): one for one in known})
        for part in (self.gate, self.monitors, self.logs, self.events):
            part.put(differences)


def make_app(organisation: Organisation) -> Starlette:
    """The stand-in's application."""
    metrics, monitors, logs, events = (
        organisation.metrics,
        organisation.monitors,
        organisation.logs,
        organisation.events,
    )
    route, post = organisation.gate.route, ("POST",)
    routes = [
        route("/api/v1/validate", metrics.validate, "other"),
        route("/api/v1/query", metrics.query, "query", "timeseries_query"),
        route("/api/v1/metrics/{name}", metrics.metadata, "other", "metrics_read"),
        route("/api/v2/query/timeseries", metrics.timeseries, "query", "timeseries_query", post),
        route("/api/v2/query/scalar", metrics.scalar, "query", "timeseries_query", post),
        route("/api/v1/monitor", monitors.listed, "monitors", "monitors_read"),
        route("/api/v1/monitor/search", monitors.search, "monitors", "monitors_read"),
        route("/api/v1/monitor/{monitor_id}", monitors.one, "monitors", "monitors_read"),
        route("/api/v2/downtime", monitors.planned, "monitors", "monitors_downtime"),
        route("/api/v1/slo/{slo_id}", monitors.objective, "other", "slos_read"),
        route("/api/v1/slo/{slo_id}/history", monitors.history, "other", "slos_read"),
        route("/api/v2/logs", logs.intake, "other", methods=post),
        route("/api/v2/logs/events/search", logs.search, "logs", "logs_read_data", post),
        route("/api/v2/logs/analytics/aggregate", logs.aggregate, "logs", "logs_read_data", post),
        route("/api/v1/events", events.create_v1, "events", methods=post),
        route("/api/v1/events/{event_id}", events.one_v1, "events", "events_read"),
        route("/api/v2/events", events.listed, "events", "events_read"),
        route("/api/v2/events", events.create_v2, "events", methods=post),
        route("/api/v2/events/{event_id}", events.one_v2, "events", "events_read"),
        route("/api/v1/notebooks", events.notebook, "other", "notebooks_write", post),
        route("/api/v2/dora/deployment", events.deployment, "other", methods=post),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


#: POSTs that only ask.
ASKING = ("/api/v2/query/", "/api/v2/logs/events/search", "/api/v2/logs/analytics/aggregate")


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path; queries sent by POST change nothing."""
    reading = request.method == "GET" or request.url.path.startswith(ASKING)
    return Operation(f"{request.method} {request.url.path}", not reading, request.query_params.get("query", "")[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Datadog says with that status."""
    if status == 429:
        headers = {"limit": "100", "period": "10", "remaining": "0", "reset": "1", "name": "query"}
        return {"errors": ["Rate limit reached"]}, {f"x-ratelimit-{name}": value for name, value in headers.items()}
    return {"errors": ["Internal error"]}, {}


DATADOG = Vendor("datadog", describe, failure)
