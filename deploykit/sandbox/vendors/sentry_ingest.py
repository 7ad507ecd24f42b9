"""Sentry's envelopes: what the SDKs of a service send.

Source: https://develop.sentry.dev/sdk/data-model/envelopes/
"""

import gzip
import json
import re
import time
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request

STATUSES = {"exited": "healthy", "errored": "errored", "crashed": "crashed", "abnormal": "abnormal"}


@dataclass
class Envelope:
    """What one envelope holds: the arguments of each event, and sessions as the stand-in keeps them."""

    id: str
    events: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[tuple[float, str, str, str, int]] = field(default_factory=list)


def read_envelope(request: Request, body: bytes, key: str) -> Envelope:
    """Reads an envelope.

    Raises:
        PermissionError: The key in it is not an active one.
        ValueError: It is none.
    """
    head, *rest = split(unpacked(request, body))
    if not key or key not in {
        request.query_params.get("sentry_key"),
        *re.findall(r"sentry_key=(\w+)", request.headers.get("x-sentry-auth", "")),
        *re.findall(r"//(\w+)@", str(head.get("dsn", ""))),
    }:
        raise PermissionError("event submission rejected with_reason: ProjectId")
    found = Envelope(str(head.get("event_id") or uuid.uuid4().hex))
    for kind, item in zip(rest[::2], rest[1::2], strict=True):
        if kind.get("type") == "event":
            found.events.append(event(item))
        elif kind.get("type") == "sessions":
            about = item["attrs"]["release"], item["attrs"].get("environment", "production")
            found.sessions += [
                (seconds(part["started"]), *about, status, int(part[word]))
                for part in item["aggregates"]
                for word, status in STATUSES.items()
                if part.get(word)
            ]
    return found


def unpacked(request: Request, body: bytes) -> bytes:
    """The body without its compression."""
    encoding = request.headers.get("content-encoding", "")
    if encoding not in {"", "gzip"}:
        raise ValueError(f"content encoding {encoding}")
    try:
        return gzip.decompress(body) if encoding else body
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from error


def split(body: bytes) -> list[Any]:
    """The header, and each item's header and payload, which is JSON here, in turn."""
    found: list[Any] = []
    place = 0
    while place < len(body):
        length = found[-1].get("length") if len(found) % 2 == 0 and found else None
        end = place + int(length) if length is not None else body.find(b"\n", place)
        end = len(body) if end < place else end
        line = body[place:end].strip()
        found.append(json.loads(line) if line else {})
        place = end + 1
    if not found or not all(isinstance(part, dict) for part in found):
        raise ValueError("it is empty")
    return found


def event(item: dict[str, Any]) -> dict[str, Any]:
    """What the stand-in keeps of an event: its title is the exception's, else its message."""
    raised = ((item.get("exception") or {}).get("values") or [{}])[-1]
    message = item.get("message") or (item.get("logentry") or {}).get("formatted") or ""
    title = (
        f"{raised['type']}: {raised.get('value', '')}" if raised.get("type") else str(message) or "<unlabeled event>"
    )
    age = max(time.time() - seconds(item["timestamp"]), 0.0) if item.get("timestamp") else 0.0
    about = {"title": title, "level": item.get("level", "error"), "release": item.get("release", ""), "age": age}
    return {**about, "environment": item.get("environment", "production"), "culprit": item.get("transaction") or ""}


def seconds(value: Any) -> float:
    """A time, in seconds since the epoch."""
    return float(value) if isinstance(value, int | float) else datetime.fromisoformat(value).timestamp()
