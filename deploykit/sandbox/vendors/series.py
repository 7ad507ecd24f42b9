"""Datadog's metric queries over the collected samples: parsed, selected, rolled up, aggregated."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploykit.sandbox.proxy import LATENCY_EDGES
from deploykit.sandbox.vendors.collector import Sample

QUERY = re.compile(
    r"""^\s*(?:(?P<over>count\(\s*v:\s*v\s*(?P<op>>=|>)\s*(?P<limit>\d+(?:\.\d+)?)\s*\)|[a-z]\w*):)?
    (?P<metric>[A-Za-z][\w.]*)\{(?P<tags>[^{}]*)\}(?:\s+by\s+\{(?P<by>[\w\s,]+)\})?(?P<calls>(?:\.\w+\([^()]*\))*)\s*$""",
    re.VERBOSE,
)
CALL = re.compile(r"\.(\w+)\(([^()]*)\)")
TIME_METHODS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "avg": lambda values: sum(values) / len(values),
}
KINDS = {
    "shop.requests": "count",
    "shop.errors": "count",
    "shop.latency": "distribution",
    "shop.cpu.percent": "gauge",
    "shop.memory.rss": "gauge",
    "shop.db.query.time": "gauge",
}
PERCENTILES = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99}
INTERVALS = ((3600, 10), (4 * 3600, 60), (24 * 3600, 300))


class QueryError(Exception):
    """A query that Datadog answers with `status: error`."""


@dataclass(frozen=True)
class Query:
    """A parsed query.

    Attributes:
        text: As it was sent.
        aggregator: `sum`, `p95`, `count`, ...
        limit: For `count(v: v>N)` the N.
        metric: The metric's name.
        tags: Tags that must be there; a leading `!` turns one round.
        by: Tags to group by.
        method: How values in time are combined; None is the metric's own way.
        seconds: The interval asked for; None leaves it to the span.
        as_rate: Whether counts are given a second.
    """

    text: str
    aggregator: str
    limit: float | None
    metric: str
    tags: tuple[str, ...]
    by: tuple[str, ...]
    method: str | None
    seconds: int | None
    as_rate: bool


@dataclass(frozen=True)
class Line:
    """One series of an answer: its group and its points, second by value."""

    group: tuple[str, ...]
    points: Mapping[int, float]


def parse_query(text: str) -> Query:
    """Parses a query, or raises with what Datadog would say."""
    found = QUERY.match(text)
    if not found:
        raise QueryError(f"Error parsing query: unable to parse {text}")
    calls = CALL.findall(found["calls"])
    limit = float(found["limit"]) if found["limit"] else None
    tags = tuple(tag.strip() for tag in found["tags"].split(",") if tag.strip() not in ("*", ""))
    by = tuple(tag.strip() for tag in (found["by"] or "").split(",") if tag.strip())
    method, seconds = rollup([arguments for name, arguments in calls if name == "rollup"])
    for name, _ in calls:
        if name not in ("rollup", "as_count", "as_rate"):
            raise QueryError(f"Error parsing query: unknown function {name}")
    aggregator = "count" if limit is not None else found["over"] or "avg"
    as_rate = any(name == "as_rate" for name, _ in calls)
    return Query(text, aggregator, limit, found["metric"], tags, by, method, seconds, as_rate)


def rollup(given: Sequence[str]) -> tuple[str | None, int | None]:
    """The method and the seconds of `.rollup(method, seconds)`."""
    if not given:
        return None, None
    method, _, seconds = (part.strip() for part in given[-1].partition(","))
    if method not in TIME_METHODS or (seconds and not seconds.isdigit()) or seconds == "0":
        raise QueryError(f"Error parsing query: bad rollup({given[-1]})")
    return method, int(seconds) if seconds else None


def interval(query: Query, span: float) -> int:
    """Seconds between points: what was asked for, or what the span makes of it."""
    if query.seconds:
        return query.seconds
    return next((seconds for limit, seconds in INTERVALS if span <= limit), 3600)


def evaluate(query: Query, samples: Iterable[Sample], step: int) -> list[Line]:
    """The series that a query gives. An unknown metric or tag gives none."""
    kind = KINDS.get(query.metric)
    if kind is None:
        return []
    require_aggregator(query, kind)
    groups: dict[tuple[str, ...], dict[int, list[Sample]]] = {}
    for sample in samples:
        tags = tags_of(sample)
        if fits(query.tags, tags):
            bins = groups.setdefault(group_of(query.by, tags), {})
            bins.setdefault(sample.at - sample.at % step, []).append(sample)
    combine = distribution if kind == "distribution" else plain
    lines = []
    for group, bins in sorted(groups.items()):
        values = {at: combine(query, chosen, step) for at, chosen in sorted(bins.items())}
        points = {at: value for at, value in values.items() if value is not None}
        if points:
            lines.append(Line(group, points))
    return lines


def require_aggregator(query: Query, kind: str) -> None:
    """Refuses an aggregation that the metric does not have."""
    known = {"avg", "count", "sum", *PERCENTILES} if kind == "distribution" else set(TIME_METHODS)
    if query.aggregator not in known:
        raise QueryError(f"Error parsing query: unknown aggregation {query.aggregator} for {query.metric}")


def tags_of(sample: Sample) -> dict[str, str]:
    """A sample's tags. Staging has no colours."""
    common = {"service": "shop", "version": sample.version}
    if sample.colour == "staging":
        return {**common, "env": "staging"}
    return {**common, "env": "production", "colour": sample.colour}


def fits(wanted: Sequence[str], tags: Mapping[str, str]) -> bool:
    """Whether the tags are all as wanted."""
    for tag in wanted:
        key, _, value = tag.removeprefix("!").partition(":")
        if (tags.get(key) == value) is tag.startswith("!"):
            return False
    return True


def group_of(by: Sequence[str], tags: Mapping[str, str]) -> tuple[str, ...]:
    """The group that the tags fall into."""
    return tuple(f"{key}:{tags[key]}" for key in by if key in tags)


def plain(query: Query, samples: Sequence[Sample], step: int) -> float | None:
    """A count's or gauge's value in an interval: first over time for each source, then over the sources."""
    sources: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        number = value_of(query.metric, sample)
        if number is not None:
            sources.setdefault((sample.colour, sample.version), []).append(number)
    if not sources:
        return None
    method = query.method or ("sum" if KINDS[query.metric] == "count" else "avg")
    value: float = TIME_METHODS[query.aggregator]([TIME_METHODS[method](values) for values in sources.values()])
    return value / step if query.as_rate else value


def value_of(metric: str, sample: Sample) -> float | None:
    """A sample's value; while nobody asks there are no counts, rather than zeros."""
    gauges = {"shop.cpu.percent": sample.cpu, "shop.memory.rss": sample.memory, "shop.db.query.time": sample.query}
    if metric in gauges:
        return gauges[metric]
    if not sample.requests:
        return None
    return float(sample.requests if metric == "shop.requests" else sample.errors)


def distribution(query: Query, samples: Sequence[Sample], step: int) -> float | None:
    """A distribution's value in an interval, out of all that fell into it."""
    buckets = [sum(column) for column in zip(*(sample.buckets for sample in samples), strict=True)]
    total = sum(buckets)
    if not total:
        return None
    if query.aggregator == "count":
        number = float(total) if query.limit is None else above(buckets, query.limit)
        return number / step if query.as_rate else number
    if query.aggregator in PERCENTILES:
        return percentile(buckets, PERCENTILES[query.aggregator])
    middle: float = sum(count * (low + high) / 2 for count, (low, high) in zip(buckets, bounds(), strict=True))
    return middle if query.aggregator == "sum" else middle / total


def bounds() -> list[tuple[int, int]]:
    """Each bucket's edges in milliseconds."""
    return list(zip((0, *LATENCY_EDGES), LATENCY_EDGES, strict=False))


def above(buckets: Sequence[int], limit: float) -> float:
    """How many took longer than the limit; exact at an edge, in between by proportion."""
    shares = (min(1.0, max(0.0, (high - limit) / (high - low))) for low, high in bounds())
    return float(round(sum(count * share for count, share in zip(buckets, shares, strict=True))))


def percentile(buckets: Sequence[int], share: float) -> float:
    """The value below which that share lies, by proportion inside its bucket."""
    wanted, passed = share * sum(buckets), 0
    for count, (low, high) in zip(buckets, bounds(), strict=True):
        if count and passed + count >= wanted:
            return low + (high - low) * (wanted - passed) / count
        passed += count
    return float(LATENCY_EDGES[-1])


def unit_of(metric: str) -> list[dict[str, Any] | None] | None:
    """The metric's unit as Datadog describes it."""
    known = {
        "shop.latency": ("time", 0.001, "millisecond", "milliseconds", "ms"),
        "shop.db.query.time": ("time", 0.001, "millisecond", "milliseconds", "ms"),
        "shop.memory.rss": ("bytes", 1.0, "byte", "bytes", "B"),
        "shop.cpu.percent": ("percentage", 1.0, "percent", "percent", "%"),
    }
    if metric not in known:
        return None
    names = ("family", "scale_factor", "name", "plural", "short_name")
    return [dict(zip(names, known[metric], strict=True)), None]
