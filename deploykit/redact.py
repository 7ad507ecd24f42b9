"""The one place that every written byte of text passes: known secrets go out, dangerous characters become visible."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from html.entities import codepoint2name
from typing import Any

MASK = "[redacted]"
#: Shorter values would blank out ordinary words.
SHORTEST = 6

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
#: A line may be broken within a secret, as it is or as JSON has it: base64 is wrapped, and so is a traceback.
_BREAK = r"(?:(?:\r?\n|\\{1,4}(?:r\\{1,4})?n)[ \t]{0,16})?"
_NAMES = {**codepoint2name, ord("'"): "apos"}
_known: dict[str, tuple[re.Pattern[str], ...]] = {}


def learn(secret: str) -> str:
    """Remember a resolved secret, so that it is masked wherever text is written; returns it unchanged."""
    if len(secret) >= SHORTEST and secret not in _known:
        _known[secret] = tuple(re.compile(form) for form in _forms(secret))
    return secret


def forget() -> None:
    """Forget every secret (for tests)."""
    _known.clear()


def _forms(secret: str) -> Iterator[str]:
    """Patterns for the secret as it may be written: escaped in any way, hex, and base64 at its three alignments."""
    raw = secret.encode("utf-8", "surrogateescape")
    # What has breaks of its own is looked for as it is.
    between = "" if "\n" in secret or "\\" in secret else _BREAK
    yield between.join(map(_spellings, re.findall(r"\\+|[^\\]", secret)))
    yield _BREAK.join(raw.hex())
    yield _BREAK.join(raw.hex().upper())
    for shift in range(3):
        # The first and last characters of base64 depend on the neighbours, so only the middle is sure.
        first, end = (0, 2, 3)[shift], (shift + len(raw)) * 8 // 6
        middle = base64.b64encode(b"\0" * shift + raw).decode()[first:end]
        yield _BREAK.join({"+": "[-+]", "/": "[_/]"}.get(character, character) for character in middle)


def _spellings(character: str) -> str:
    """A pattern for one character, plain or as JSON (also JSON within JSON), Python, HTML or a URL escape it.

    Backslashes come as a run: each may be doubled and doubled again, and one by one that would match in too many ways.
    """
    plain = re.escape(character)
    if character.startswith("\\"):
        run = len(character)
        return rf"(?:\\{{{run},{4 * run}}}|(?:(?i:%5c|&#0*92;|&#x0*5c;|&bsol;)){{{run}}})"
    if character.isascii() and character.isalnum():
        return plain
    code, slashes = ord(character), r"\\{1,4}"
    units = re.findall("....", character.encode("utf-16-be", "surrogatepass").hex())
    octets = character.encode("utf-8", "surrogateescape")
    ways = [
        "".join(f"{slashes}u{unit}" for unit in units),
        "".join(f"%{octet:02x}" for octet in octets),
        f"{slashes}x{code:02x}",
        f"&#0*{code};",
        f"&#x0*{code:x};",
    ]
    short = json.dumps(character)[1:-1]
    if len(short) == 2 or character in "'/":
        ways.append(slashes + re.escape(short[-1]))
    if code in _NAMES:
        ways.append(f"&{_NAMES[code]};")
    if character == " ":
        ways.append(r"\+")
    return f"(?:{plain}|(?i:{'|'.join(ways)}))"


def text(value: str) -> str:
    """The text with every known secret masked, and what UTF-8 cannot hold made visible."""
    spans = sorted(span for patterns in list(_known.values()) for form in patterns for span in _found(form, value))
    kept, end = [], 0
    for start, stop in spans:
        if start >= end:
            kept += [value[end:start], MASK]
        end = max(end, stop)
    return "".join([*kept, value[end:]]).encode("utf-8", "backslashreplace").decode()


def _found(form: re.Pattern[str], value: str) -> Iterator[tuple[int, int]]:
    """Where a form stands, overlaps too."""
    match = form.search(value)
    while match:
        yield match.span()
        match = form.search(value, match.start() + 1)


def found(value: str) -> bool:
    """Whether a known secret stands in the text, in any of its forms."""
    return any(form.search(value) for patterns in list(_known.values()) for form in patterns)


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
    # Masked here, because a secret with a colour in its middle is only whole once the colour is gone.
    return "".join(map(_shown, text(_ANSI.sub("", value))))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return f"\\u{ord(character):04x}"
    return character
