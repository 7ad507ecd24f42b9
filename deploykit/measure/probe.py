"""Tries every query of the settings before anything is touched: what does not exist is an error then, not later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from deploykit.errors import Rejected, UsageError
from deploykit.model import Colour
from deploykit.ports import Metrics
from deploykit.settings import MetricsSettings
from deploykit.settings.metrics import Query

#: What is asked for first, and where that is empty, what shows whether it ever was there.
RECENT, EVER = timedelta(hours=1), timedelta(days=1)
#: Units that count things; a vendor that measures time or bytes there is asked for something else.
MEASURED = {
    "ms",
    "s",
    "us",
    "ns",
    "minute",
    "hour",
    "day",
    "bytes",
    "kibibyte",
    "mebibyte",
    "gibibyte",
    "percent",
    "fraction",
}


def probe(metrics: Metrics, settings: MetricsSettings, live: Colour, *, serving: bool) -> tuple[str, ...]:
    """Try every configured query on the live colour.

    Datadog, for one, answers an unknown name as it answers silence. So an empty answer is held against the names
    that the vendor knows and, for what must be there while live serves, against the last day.

    Args:
        metrics: Where they are.
        settings: With the queries.
        live: The colour that serves.
        serving: Whether it is known to have served requests lately.

    Returns:
        What a reader should know though it is no fault, one sentence each.

    Raises:
        UsageError: A query is wrong; each one is named with its key and what is wrong with it.
        Unreachable: The metrics do not answer.
    """
    faults, notes = [], []
    for key, query in settings.queries.items():
        fault, note = _tried(metrics, query, live, serving=serving)
        faults += [f"{query.key}: {fault}"] if fault else []
        notes += [f"{query.key}: {note}"] if note else []
        if key == "requests" and note:
            serving = False
    if faults:
        listed = faults[0] if len(faults) == 1 else "\n  " + "\n  ".join(faults)
        raise UsageError(listed, where="metrics", mend="mend these queries in deploykit.toml; nothing was touched")
    return tuple(notes)


def _tried(metrics: Metrics, query: Query, live: Colour, *, serving: bool) -> tuple[str, str]:
    """What is wrong with a query, and what should be known about it."""
    if query.coloured and "$colour" not in query.text:
        return "it lacks $colour, so both arms would be given the same numbers", ""
    text, now = query.text.replace("$colour", live), datetime.now(UTC)
    try:
        unknown = metrics.unknown(text)
        if unknown:
            return f"no metric {' and none '.join(unknown)} was ever reported", ""
        found = metrics.series(text, now - RECENT, now, name=query.key, unit=query.unit)
        if not found.points:
            return _silent(metrics, query, text, live, serving=serving)
        unit = metrics.unit(text, now - RECENT, now)
    except Rejected as error:
        return error.what, ""
    return _contradicted(query.unit, unit), ""


def _silent(metrics: Metrics, query: Query, text: str, live: Colour, *, serving: bool) -> tuple[str, str]:
    now = datetime.now(UTC)
    lately = f"no points of {live} in the last hour"
    if query.always and serving:
        return f"{lately}, though it serves requests: look at the tags", ""
    if metrics.series(text, now - EVER, now, name=query.key, unit=query.unit).points:
        return "", lately
    return "", "the metric is known, but has no points in the last day: nothing shows that its tags are right"


def _contradicted(promised: str, said: str) -> str:
    """Why the vendor's unit is not the one that the settings promise, or nothing."""
    if not said or promised in (said, "raw"):
        return ""
    if promised in MEASURED:
        return f"the vendor says that it is in {said}, not in {promised}"
    return f"the vendor says that it is in {said}, where {promised} are counted" if said in MEASURED else ""
