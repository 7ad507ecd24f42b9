"""Sentry's search language, as far as it is asked for here: `key:value` and times to compare with.

Source: https://docs.sentry.io/concepts/search/
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TERM = re.compile(r'(!?)([\w.]+):(?:"((?:[^"\\]|\\.)*)"|(\S+))\s*')
COMPARED = {"lastSeen", "firstSeen"}
KEYS = COMPARED | {"is", "level", "firstRelease", "release", "environment"}


@dataclass(frozen=True)
class Found:
    """Something to hold against a query, and the environments that it must be in one of; none is any."""

    known: dict[str, Any]
    environments: list[str] = field(default_factory=list)


def matches(query: str, found: Found) -> bool:
    """Whether all terms of a query hold.

    Raises:
        ValueError: A term that Sentry would refuse, or that is not known here.
    """
    place = 0
    held = not found.environments or bool(set(found.environments) & set(found.known.get("environments", ())))
    query = query.strip()
    while place < len(query):
        term = TERM.match(query, place)
        if term is None or term[2] not in KEYS:
            raise ValueError(f"Error parsing search query: {query[place:][:60]}")
        value = re.sub(r"\\(.)", r"\1", term[3]) if term[3] is not None else term[4]
        held = _holds(term[2], value, found.known) is not (term[1] == "!") and held
        place = term.end()
    return held


def _holds(key: str, value: str, known: dict[str, Any]) -> bool:
    if key not in COMPARED:
        return bool(known.get("status" if key == "is" else key) == value)
    text = value.lstrip("<>=")
    seen, limit = _time(known[key]), _time(text)
    ways = {"": seen == limit, ">": seen > limit, ">=": seen >= limit, "<": seen < limit, "<=": seen <= limit}
    return ways[value.removesuffix(text)]


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
