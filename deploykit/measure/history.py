"""What live served before a release: asked once, frozen into the run's folder, and read back by who judges."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from deploykit import redact
from deploykit.analysis.judge import Observed
from deploykit.context import Context, data_of
from deploykit.errors import BrokenRecordError, ProviderError
from deploykit.measure import asking
from deploykit.model import Arm, Series, sha256

#: Where the baseline is frozen, in the run's folder.
FILE = "data/baseline.csv"
#: Seconds of a window of the past. Not scaled, for the service does not run faster in a rehearsal; all are of one
#: length, so that a vendor that chooses the buckets by the span chooses the same for all.
LENGTH = 4 * 3600.0
HEADING = ["metric", "time", "value"]
DAY = 86400.0
#: How long ago a window ends, and what it is. Those of other days lie around this hour: the release runs on into it.
WINDOWS = (
    (0.0, "the last hours"),
    (DAY - LENGTH / 2, "this hour yesterday"),
    (7 * DAY - LENGTH / 2, "this hour last week"),
)


@dataclass(frozen=True)
class History:
    """Live before the release.

    Attributes:
        until: Unix seconds; nothing is newer.
        series: By the metric's name in the settings, of all windows, in time order.
    """

    until: float
    series: dict[str, Series]

    def observed(self, context: Context) -> Observed:
        """As the judge learns from it."""
        plain = tuple((m, self.series[m.name]) for m in asking.further(context.settings.metrics))
        return Observed(self.series["requests"], self.series["errors"], self.series["slow"], plain=plain)

    def recent(self, name: str) -> Series:
        """One metric in the last hours."""
        series = self.series[name]
        return series.model_copy(update={"points": tuple(p for p in series.points if p[0] > self.until - LENGTH)})

    def used(self) -> str:
        """What was used, for a reader: the windows that have points of requests, with how many."""
        points = [at for at, value in self.series["requests"].points if value]
        told = []
        for ago, words in WINDOWS:
            end = self.until - ago
            # An answer may begin with the bucket in which its window begins.
            found = [at for at in points if end - LENGTH - 300 < at <= end]
            told.append(f"{words}: {f'{_span(found)}, {len(found)} points' if found else 'nothing'}")
        return f"{'; '.join(told)}; frozen in {FILE} at {datetime.fromtimestamp(self.until, UTC):%Y-%m-%d %H:%M:%S} UTC"

    def csv(self) -> bytes:
        """As it is frozen: the queries as comments, then `metric,time,value`, exact; an empty value is missing."""
        target = io.StringIO()
        target.write(f"# live before the release, until {self.until!r} (unix seconds)\n")
        for name, series in self.series.items():
            said = redact.text(redact.visible(series.query)).replace("\n", " ")
            target.write(f"# {name} [{series.unit}]: {said}\n")
        rows = csv.writer(target, lineterminator="\n")
        rows.writerow(HEADING)
        for name, series in self.series.items():
            rows.writerows((name, repr(at), "" if value is None else repr(value)) for at, value in series.points)
        return target.getvalue().encode()


def recall(context: Context, names: Iterable[str], until: float) -> History:
    """Ask for live's past: the last hours, and this hour yesterday and last week.

    Raises:
        ProviderError: The metrics do not answer.
    """
    until = float(math.ceil(until))
    ends = [until - ago for ago, _ in reversed(WINDOWS)]
    arms = [_serving(context, end) for end in ends[:-1]] + [context.plan.live]
    series = {}
    for name in names:
        asked = zip(arms, ends, strict=True)
        parts = [asking.ask(context, arm, name, max(end - LENGTH, 0.0), end) for arm, end in asked]
        points = {at: value for part in parts for at, value in part.points if at <= until}
        queries = dict.fromkeys(part.query for part in reversed(parts))
        told = {"points": tuple(sorted(points.items())), "query": " | ".join(queries)}
        series[name] = parts[-1].model_copy(update=told)
    return History(until, series)


def _serving(context: Context, end: float) -> Arm:
    """Who was live in a window of another day: colours swap with each release."""
    live, other = context.plan.live, context.plan.candidate
    mine, theirs = (asking.ask(context, arm, "requests", max(end - LENGTH, 0.0), end).total for arm in (live, other))
    return other if theirs > mine else live


def before(context: Context, until: float) -> History | None:
    """Live's past as the run froze it; where it did not yet, it is asked for and frozen now. None: no answer.

    Raises:
        BrokenRecordError: What was frozen cannot be read, or is not what was recorded.
    """
    frozen = context.read(FILE)
    if frozen is not None:
        _require_recorded(context, frozen)
        return _thawed(context, frozen)
    try:
        found = recall(context, context.settings.metrics.queries, until)
    except ProviderError:
        return None
    context.write(FILE, found.csv())
    return found


def _require_recorded(context: Context, frozen: bytes) -> None:
    """What `prepare.baseline` wrote down of the file, if it did, is true of it still."""
    settled = [e for e in context.timeline() if (e["type"], e["item"]) == ("item.settled", "prepare.baseline")]
    if not settled:
        return
    digest = str(data_of(settled[-1]).get("evidence"))
    kept = context.read(f"evidence/{digest}")
    if kept is None or sha256(kept) != digest:
        raise BrokenRecordError("the evidence of prepare.baseline is not there, or changed", where=f"evidence/{digest}")
    recorded = json.loads(kept)["facts"].get("sha256")
    if recorded not in {None, sha256(frozen)}:
        raise BrokenRecordError(
            "it is not the baseline that prepare.baseline recorded",
            where=FILE,
            mend="put the recorded one back, or make a new plan; `deploykit rollback` still works",
        )


def _thawed(context: Context, data: bytes) -> History:
    points: dict[str, list[tuple[float, float | None]]] = {}
    try:
        lines = data.decode().splitlines()
        until = float(lines[0].split("until ")[1].split()[0])
        for name, at, value in _rows(lines):
            points.setdefault(name, []).append((float(at), float(value) if value else None))
        series = {}
        for name, query in context.settings.metrics.queries.items():
            text = query.text.replace("$colour", context.plan.live.colour)
            found = tuple(points.get(name, ()))
            series[name] = Series(name=f"{name}, before", unit=query.unit, query=text, points=found)
    except (ValueError, IndexError) as error:
        mend = "take the file out, and run prepare.baseline again"
        raise BrokenRecordError(f"not a baseline: {error}", where=FILE, mend=mend) from error
    return History(until, series)


def _rows(lines: list[str]) -> Iterator[list[str]]:
    rows = csv.reader(line for line in lines if not line.startswith("#"))
    if next(rows, None) != HEADING:
        raise ValueError("its heading is missing")
    return rows


def _span(found: list[float]) -> str:
    seconds = max(found) - min(found)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
