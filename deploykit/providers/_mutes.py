"""When a Datadog monitor tells nobody: its own silences, downtimes, and messages that name no one.

A mute with a scope concerns a monitor as far as their tags agree. Where a scope cannot be read for sure, it is taken to
mute the whole monitor: a check may be wrongly strict, never wrongly calm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from deploykit.providers._answers import mapping, number
from deploykit.providers._datadog import moment
from deploykit.providers._faults import Fault, Why

if TYPE_CHECKING:
    from deploykit.ports import Mute

_HANDLE = re.compile(r"(?<![\w.@])@([A-Za-z0-9][\w.+-]*(?:@[\w.-]+)?)")
#: Parts of a message that are not shown when the monitor alerts.
_QUIET = re.compile(
    r"\{\{#(is_recovery|is_warning|is_no_data|is_\w+_recovery|is_alert_to_warning|is_renotify)\}\}.*?\{\{/\1\}\}"
    r"|\{\{\^(is_alert)\}\}.*?\{\{/\2\}\}",
    re.DOTALL,
)
_TERM = re.compile(r'([A-Za-z][\w./-]*):"?([^\s",()]+)"?')


def targets(message: str) -> tuple[str, ...]:
    """Who a monitor's message tells when it alerts: handles such as `slack-deployments`, or an address."""
    return tuple(dict.fromkeys(handle.rstrip(".-") for handle in _HANDLE.findall(_QUIET.sub("", message))))


def silenced(scopes: Mapping[str, Any], tags: frozenset[str], now: datetime) -> Iterator[Mute]:
    """What `options.silenced` mutes: scopes, each until unix seconds, or null for no end.

    Raises:
        Fault: An end is no time.
    """
    from deploykit.ports import Mute  # noqa: PLC0415 - what it draws in is not needed to import this module

    for scope, until in scopes.items():
        end = None if until is None else _unix(until)
        whole = covers(scope, tags)
        if whole is not None and (end is None or end > now):
            yield Mute(f"muted for {scope}", None, end, whole)


def muted_by(downtime: dict[str, Any], monitor: int, tags: frozenset[str], now: datetime) -> Iterator[Mute]:
    """What a downtime mutes of a monitor: nothing, or one stretch of time.

    Raises:
        Fault: It cannot be told which monitors it mutes, or when.
    """
    from deploykit.ports import Mute  # noqa: PLC0415 - what it draws in is not needed to import this module

    if downtime.get("status") in ("canceled", "ended"):
        return
    named = downtime.get("monitor_identifier")
    if isinstance(named, dict) and not _names(named, monitor, tags):
        return
    scope = downtime.get("scope")
    # What is not said, which monitors or which part of them, is taken for all.
    whole = covers(scope if isinstance(scope, str) and scope else "*", tags)
    if whole is None:
        return
    start, end = _times(downtime.get("schedule"))
    if end is None or end > now:
        note = downtime.get("message")
        why = f"downtime for {scope or '*'}" + (f": {note}" if isinstance(note, str) and note else "")
        yield Mute(why, start, end, whole)


def _names(identifier: dict[str, Any], monitor: int, tags: frozenset[str]) -> bool:
    """Whether a downtime is for this monitor: by its id, or by tags that it carries all."""
    wanted = identifier.get("monitor_tags")
    if identifier.get("monitor_id") is not None:
        return bool(identifier["monitor_id"] == monitor)
    if not isinstance(wanted, list):
        return True
    return all(tag == "*" or tag in tags for tag in wanted)


def covers(scope: str, tags: frozenset[str]) -> bool | None:
    """Whether a scope covers all of a monitor with these tags (True), a part of it (False), or none (None)."""
    plain = scope.strip()
    if plain in {"*", ""}:
        return True
    terms = _TERM.findall(plain)
    left = re.sub(r"\bAND\b|,", " ", _TERM.sub(" ", plain)).strip()
    if left or not terms:
        return True  # OR, NOT, groups, wildcards alone: not read for sure
    known: dict[str, set[str]] = {}
    for tag in tags:
        key, _, value = tag.partition(":")
        known.setdefault(key, set()).add(value)
    found = [any(fnmatchcase(value, wanted) for value in known[key]) if key in known else None for key, wanted in terms]
    if False in found:
        return None
    return all(found)


def _times(schedule: Any) -> tuple[datetime | None, datetime | None]:
    """Begin and end of a schedule; of a recurring one, of the time that is on or next."""
    if not isinstance(schedule, dict):
        return None, None
    current = schedule.get("current_downtime")
    held = mapping(current if isinstance(current, dict) else schedule, "a schedule")
    start, end = (None if held.get(name) is None else moment(held[name], name) for name in ("start", "end"))
    return start, end


def _unix(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(number(value, "an end"), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Fault(Why.GARBLED, f"an end is no time: {value!r}") from error
