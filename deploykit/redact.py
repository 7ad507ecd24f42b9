"""The one place that every written byte of text passes: known secrets go out, dangerous characters become visible."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
#: Shorter values would blank out ordinary words.
SHORTEST = 6

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_known: set[str] = set()


def learn(secret: str) -> str:
    """Remember a resolved secret, so that it is masked wherever text is written; returns it unchanged."""
    if len(secret) >= SHORTEST:
        _known.update(_forms(secret))
    return secret


def forget() -> None:
    """Forget every secret (for tests)."""
    _known.clear()


def _forms(secret: str) -> Iterable[str]:
    """The secret as it may be written: plain, JSON, HTML, URL, hex, and base64 at each of its three alignments."""
    raw = secret.encode()
    yield from {secret, json.dumps(secret)[1:-1], html.escape(secret), quote(secret, safe=""), quote_plus(secret)}
    yield from {raw.hex(), raw.hex().upper(), repr(secret)[1:-1]}
    for shift in range(3):
        # The first and last characters of base64 depend on the neighbours, so only the middle is sure.
        middle = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] :].decode()
        middle = middle.rstrip("=")[: len(raw) * 4 // 3 - 3]
        yield from {middle, middle.replace("+", "-").replace("/", "_")}


def text(value: str) -> str:
    """The text with every known secret masked."""
    for secret in sorted(_known, key=len, reverse=True):
        if secret in value:
            value = value.replace(secret, MASK)
    return value


def found(value: str) -> bool:
    """Whether a known secret stands in the text, in any of its forms."""
    return any(secret in value for secret in _known)


def tree(value: Any) -> Any:
    """A JSON value with every text in it, keys too, masked."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tree(item) for item in value]
    return value


def visible(value: str) -> str:
    """Text from outside, safe to show: colours dropped, control and direction characters made visible."""
    return "".join(_shown(character) for character in _ANSI.sub("", value))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return f"\\u{ord(character):04x}"
    return character
