"""Datadog's logs: taken in, indexed after a while, searched in pages, and counted."""

import base64
import binascii
import itertools
import json
import re
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.vendors.datadog_search import Found, SearchError, parse
from deploykit.sandbox.vendors.tap import read_json

#: The newest lines that are kept: some minutes of the shop's.
MOST = 40_000
PAGE, LARGEST_PAGE = 10, 1000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: What a line's own words for its status become.
STATUS = {"warning": "warn", "err": "error", "fatal": "critical", "": "info"}


class Line(NamedTuple):
    """One line: its number, when it happened and when it came, and what is searched."""

    number: int
    at: float
    came: float
    found: Found


class Logs:
    """The index.

    Args:
        delay: Seconds until a line that came can be found.
    """

    def __init__(self, delay: float) -> None:
        self.usual_delay = delay
        self.numbers = itertools.count(1)
        self.lines: deque[Line] = deque(maxlen=MOST)
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for `log_delay` in seconds, and whether lines are `lost`; what was indexed stays."""
        self.delay = float(differences.get("log_delay", self.usual_delay))
        self.lost = bool(differences.get("lost", False))

    def take(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Takes lines in: each a `message`, with `service`, `ddsource`, `ddtags`, `hostname`, `status` where known."""
        now = time.time()
        for entry in entries:
            if not self.lost:
                self.lines.append(read_entry(entry, next(self.numbers), now))

    def between(self, asked: Mapping[str, Any]) -> list[Line]:
        """The lines of a filter that can be found by now, oldest first."""
        now = time.time()
        low, high = moment(asked.get("from", "now-15m"), now), moment(asked.get("to", "now"), now)
        try:
            match = parse(str(asked.get("query") or "*"))
        except SearchError as error:
            raise HTTPException(400, f"Invalid query: {error}") from error
        arrived = now - self.delay
        lines = (line for line in self.lines if low <= line.at <= high and line.came <= arrived)
        return sorted((line for line in lines if match(line.found)), key=lambda line: (line.at, line.number))

    async def intake(self, request: Request) -> Response:
        """Takes lines as agents send them."""
        sent = read_json(await request.body())
        entries = sent if isinstance(sent, list) else [sent]
        if not all(isinstance(entry, dict) for entry in entries):
            raise HTTPException(400, "Invalid request body")
        self.take(entries)
        return JSONResponse({}, 202)

    async def search(self, request: Request) -> Response:
        """A page of lines; the last one has no cursor."""
        asked = read_object(await request.body())
        wanted = section(asked, "page")
        limit = wanted.get("limit", PAGE)
        if not isinstance(limit, int) or not 0 < limit <= LARGEST_PAGE:
            raise HTTPException(400, f"limit must be between 1 and {LARGEST_PAGE}")
        lines = self.between(section(asked, "filter"))
        if asked.get("sort", "timestamp") == "-timestamp":
            lines.reverse()
        if wanted.get("cursor"):
            last = read_cursor(wanted["cursor"])
            place = next((n for n, line in enumerate(lines, 1) if line.number == last), len(lines))
            lines = lines[place:]
        answer: dict[str, Any] = {"data": [shown(line) for line in lines[:limit]]}
        if len(lines) > limit:
            after = base64.urlsafe_b64encode(json.dumps({"after": lines[limit - 1].number}).encode()).decode()
            link = f"https://api.datadoghq.com/api/v2/logs/events?page[cursor]={after}"
            answer |= {"links": {"next": link}, "meta": {"page": {"after": after}}}
        return JSONResponse(answer)

    async def aggregate(self, request: Request) -> Response:
        """Counts, or combines an attribute, by group and in time."""
        began = time.monotonic()
        asked = read_object(await request.body())
        lines = self.between(section(asked, "filter"))
        computes = asked.get("compute") or [{"aggregation": "count"}]
        groups: dict[tuple[str, ...], list[Line]] = defaultdict(list)
        facets = [str(group.get("facet", "")) for group in asked.get("group_by") or ()]
        for line in lines:
            groups[tuple(facet_of(line.found, facet) for facet in facets)].append(line)
        buckets = [
            {
                "by": dict(zip(facets, key, strict=True)),
                "computes": {f"c{n}": computed(compute, found) for n, compute in enumerate(computes)},
            }
            for key, found in sorted(groups.items(), key=lambda group: -len(group[1]))
        ]
        elapsed = round((time.monotonic() - began) * 1000)
        meta = {"elapsed": elapsed, "request_id": f"sandbox-{time.time_ns()}", "status": "done"}
        return JSONResponse({"meta": meta, "data": {"buckets": buckets}})


def read_entry(entry: Mapping[str, Any], number: int, now: float) -> Line:
    """A line as it is indexed: JSON in its message becomes attributes, as Datadog does with it."""
    message = str(entry.get("message", ""))
    inner = read_json(message.encode()) if message.startswith("{") else None
    attributes = dict(flat(inner)) if isinstance(inner, dict) else {}
    status = str(attributes.get("level") or entry.get("status") or "info").lower()
    at = attributes.get("at") or attributes.get("timestamp")
    tags = [tag for tag in str(entry.get("ddtags", "")).split(",") if tag]
    fields = {
        "service": str(entry.get("service", "")),
        "host": str(entry.get("hostname", "")),
        "source": str(entry.get("ddsource", "")),
        "status": STATUS.get(status, status),
    }
    return Line(
        number,
        moment(at, now) if at else now - float(entry.get("age", 0)),
        now,
        Found(fields, attributes, frozenset(tags), str(attributes.get("message", message))),
    )


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Attributes by their path."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flat(inner, f"{prefix}{key}.")
        else:
            yield prefix + key, inner


def shown(line: Line) -> dict[str, Any]:
    """A line as the search shows it."""
    at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields = line.found.fields
    plain = {key: fields[key] for key in ("service", "host", "status")}
    attributes: dict[str, Any] = {
        "timestamp": at,
        **plain,
        "message": line.found.message,
        "tags": sorted(line.found.tags),
    }
    attributes["attributes"] = dict(line.found.attributes)
    return {"id": f"AQ{line.number:032d}", "type": "log", "attributes": attributes}


def computed(compute: Mapping[str, Any], lines: list[Line]) -> Any:
    """One number over lines, or one for each stretch of time."""
    if compute.get("type", "total") == "total":
        return combined(compute, lines)
    step = UNITS["m"] * 5 if "interval" not in compute else duration(str(compute["interval"]))
    by: dict[int, list[Line]] = defaultdict(list)
    for line in lines:
        by[int(line.at // step * step)].append(line)
    times = {at: datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds") for at in sorted(by)}
    return [{"time": times[at].replace("+00:00", "Z"), "value": combined(compute, by[at])} for at in times]


def combined(compute: Mapping[str, Any], lines: list[Line]) -> float:
    """A count of lines, or a number made of one of their attributes."""
    how, metric = compute.get("aggregation"), str(compute.get("metric", "")).removeprefix("@")
    if how == "count":
        return len(lines)
    values = [line.found.attributes.get(metric) for line in lines]
    if how == "cardinality":
        return len({str(value) for value in values if value is not None})
    numbers = sorted(float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool))
    if not numbers:
        return 0.0
    if how in ("sum", "min", "max", "avg"):
        return {"sum": sum(numbers), "min": numbers[0], "max": numbers[-1], "avg": sum(numbers) / len(numbers)}[how]
    if match := re.fullmatch(r"pc(75|90|95|98|99)", str(how)):
        return numbers[min(int(len(numbers) * int(match[1]) / 100), len(numbers) - 1)]
    raise HTTPException(400, f"Unknown aggregation: {how}")


def facet_of(found: Found, facet: str) -> str:
    """What a line has for a facet: a reserved field, an attribute or a tag."""
    if facet.startswith("@"):
        return str(found.attributes.get(facet[1:], ""))
    return found.fields.get(facet) or next((t.partition(":")[2] for t in found.tags if t.startswith(f"{facet}:")), "")


def duration(text: str) -> float:
    """Seconds of `5m`."""
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if not match:
        raise HTTPException(400, f"Invalid interval: {text}")
    return int(match[1]) * UNITS[match[2]]


def moment(text: Any, now: float) -> float:
    """Unix seconds of `now-15m`, of milliseconds, or of an ISO 8601 time."""
    plain = str(text)
    if match := re.fullmatch(r"now(?:-(\d+[smhdw]))?", plain):
        return now - (duration(match[1]) if match[1] else 0)
    if re.fullmatch(r"\d{10,}", plain):
        return int(plain) / 1000
    try:
        at = datetime.fromisoformat(plain)
    except ValueError as error:
        raise HTTPException(400, f"Invalid time: {plain}") from error
    return at.replace(tzinfo=at.tzinfo or UTC).timestamp()


def read_object(body: bytes) -> dict[str, Any]:
    """The body's JSON object; an empty body is an empty one."""
    sent = read_json(body) if body.strip() else {}
    if not isinstance(sent, dict):
        raise HTTPException(400, "Invalid request body")
    return sent


def section(asked: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object within a request; none is an empty one."""
    found = asked.get(name) or {}
    if not isinstance(found, dict):
        raise HTTPException(400, f"Invalid {name}")
    return found


def read_cursor(text: Any) -> int:
    """The number of the last line of the page before."""
    try:
        return int(json.loads(base64.urlsafe_b64decode(str(text)))["after"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise HTTPException(400, "Invalid cursor") from error
