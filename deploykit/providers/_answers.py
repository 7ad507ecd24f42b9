"""Reading answers that may be anything: every surprise is a `Fault`, never a `KeyError`."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from deploykit.providers._faults import Fault, Why


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def parse(raw: str | bytes) -> Any:
    """JSON, strictly: NaN and infinities are none.

    Raises:
        Fault: It is not JSON.
    """
    if not raw.strip():
        raise Fault(Why.GARBLED, "it is empty")
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        start = raw[:120] if isinstance(raw, str) else raw[:120].decode("utf-8", "replace")
        raise Fault(Why.GARBLED, f"it is not JSON ({type(error).__name__}): {start}") from error


def mapping(value: Any, place: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        Fault: It is something else.
    """
    return value if isinstance(value, dict) else _wrong(value, place, "an object")


def listing(value: Any, place: str) -> list[Any]:
    """A JSON list.

    Raises:
        Fault: It is something else.
    """
    return value if isinstance(value, list) else _wrong(value, place, "a list")


def text(value: Any, place: str) -> str:
    """Text that is not empty.

    Raises:
        Fault: It is something else.
    """
    return value if isinstance(value, str) and value else _wrong(value, place, "text")


def number(value: Any, place: str) -> float:
    """A finite number.

    Raises:
        Fault: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(value, place, "a number")
    try:
        return float(value) if math.isfinite(value) else _wrong(value, place, "a finite number")
    except OverflowError:
        _wrong("a huge integer", place, "a number")


def _wrong(value: Any, place: str, wanted: str) -> NoReturn:
    raise Fault(Why.GARBLED, f"{place} is not {wanted} but {str(value)[:80]!r}")


def said(raw: str | bytes) -> str:
    """The vendor's own words in the body of an error: the message where there is one, else the body as it is."""
    body = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    try:
        return _message(json.loads(body)) or body
    except (ValueError, RecursionError):
        return body


def _message(value: Any) -> str:
    """The words in what vendors send as errors: text, lists of them, objects with one of a few keys."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, (_message(item) for item in value[:5])))
    if isinstance(value, dict):
        return next(filter(None, (_message(value.get(key)) for key in ("message", "errors", "error", "detail"))), "")
    return ""
