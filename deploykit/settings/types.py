"""The kinds of value that the settings are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: Any) -> Any:
    """Turn `90s`, `15m`, `1h` or `500ms` into seconds; everything else goes on to the next validator."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", text) if isinstance(text, str) else None
    if match is None:
        msg = "write a time with its unit, such as 90s, 15m or 1h"
        raise ValueError(msg)
    return float(match[1]) * _UNITS[match[2]]


def reference(text: Any) -> Any:
    """A secret stands in an environment variable or a file, never in the settings."""
    if not isinstance(text, str) or not re.fullmatch(r"env:[A-Za-z_]\w*|file:.+", text):
        msg = "a secret is a reference: env:NAME or file:PATH"
        raise ValueError(msg)
    return text


def zone(name: str) -> str:
    """A time zone that this machine knows."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"there is no time zone {name!r}; write it like Europe/Berlin"
        raise ValueError(msg) from None
    return name


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Secret = Annotated[str, BeforeValidator(reference)]
Zone = Annotated[str, AfterValidator(zone)]
#: Part of a run's id and of its folder's name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]
