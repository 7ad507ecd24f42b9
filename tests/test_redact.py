from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import redact

# Characters of real tokens and passwords, and those that some encoding escapes.
ALPHABET = "abcXYZ019_-.~+/=&<>\"'\\ %!:;@#?{}$ä€😀\n\t"
SECRETS = st.text(ALPHABET, min_size=redact.SHORTEST, max_size=40).filter(lambda s: s.strip() and "[" not in s)
AROUND = st.text(max_size=8)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda s: json.dumps(s)[1:-1],
    "json, unicode": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "json in json": lambda s: json.dumps(json.dumps(s))[3:-3],
    "json, slashes escaped": lambda s: json.dumps(s)[1:-1].replace("/", r"\/"),
    "python": lambda s: repr(s)[1:-1],
    "html": html.escape,
    "html, quotes kept": lambda s: html.escape(s, quote=False),
    "html as jinja has it": lambda s: html.escape(s).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "url": lambda s: quote(s, safe=""),
    "url, lower case": lambda s: quote(s, safe="").replace("%2F", "%2f").replace("%3D", "%3d"),
    "url path": quote,
    "url as a browser has it": lambda s: quote(s, safe="!'()*"),
    "form": quote_plus,
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS.keys())
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_secret_is_masked_in_every_encoding(
    encode: Callable[[str], str], secret: str, before: str, after: str
) -> None:
    redact.forget()
    redact.learn(secret)
    written = encode(secret)
    assert redact.found(before + written + after)
    shown = redact.text(before + written + after)
    assert redact.MASK in shown
    assert not redact.found(shown)
    assert written not in shown.replace(redact.MASK, "\0")


@given(
    secret=SECRETS,
    before=st.binary(max_size=7),
    after=st.binary(max_size=7),
    encode=st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]),
)
def test_a_secret_inside_base64_is_masked_but_for_the_characters_shared_with_neighbours(
    secret: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    redact.forget()
    redact.learn(secret)
    whole = encode(before + secret.encode() + after).decode()
    shown = redact.text(whole)
    assert redact.MASK in shown
    head, _, tail = shown.partition(redact.MASK)
    start, end = len(before) * 8, (len(before) + len(secret.encode())) * 8
    # Of the secret's bits, at most the five in a character that also holds a neighbour's, or padding, are left.
    assert len(head) * 6 <= start + 5
    assert tail.startswith(redact.MASK) or (len(whole) - len(tail)) * 6 >= end - 5


def test_what_overlaps_is_masked_as_a_whole() -> None:
    redact.learn("abcdef")
    redact.learn("defghi")
    assert redact.text("<abcdefghi>") == f"<{redact.MASK}>"
    redact.learn("aaaaaa")
    assert redact.text("aaaaaaaa") == redact.MASK


def test_a_secret_between_texts_leaves_the_texts() -> None:
    redact.learn("hunter22")
    assert redact.text("token=hunter22, again hunter22.") == "token=[redacted], again [redacted]."


def test_hostile_text_does_not_make_masking_slow() -> None:
    redact.learn("\\" * 30 + "secret")
    redact.learn('"\\\\n"' * 10)
    started = time.process_time()
    redact.text("\\" * 5_000)
    redact.text('\\"' * 5_000)
    assert time.process_time() - started < 5


def test_a_value_too_short_to_be_told_from_words_is_not_masked() -> None:
    redact.learn("short")
    assert redact.text("a short word") == "a short word"


@given(st.text())
def test_text_without_secrets_is_unchanged_or_made_writable(value: str) -> None:
    redact.forget()
    assert redact.text(value) == value


def test_lone_surrogates_are_made_visible_so_that_they_can_be_written() -> None:
    assert redact.text("a\ud800b") == r"a\ud800b"


def test_a_secret_that_is_not_utf8_is_masked() -> None:
    secret = b"pass\xffword".decode("utf-8", "surrogateescape")
    redact.learn(secret)
    assert redact.text(f"<{secret}>") == f"<{redact.MASK}>"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def _texts(value: object) -> Iterator[str]:
    """Every text of a tree, keys too. Numbers stay as they are: a secret is a text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from _texts(part)


@given(value=JSON, secret=SECRETS)
def test_a_tree_holds_no_secret_in_values_or_keys_and_keeps_its_shape(value: object, secret: str) -> None:
    redact.forget()
    redact.learn(secret)
    masked = redact.tree({"a": value, f"key {secret}": [secret, {"deep": (secret, 1, None, True)}]})
    assert [said for said in _texts(masked) if redact.found(said)] == []
    assert masked[f"key {redact.MASK}"] == [redact.MASK, {"deep": [redact.MASK, 1, None, True]}]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("lone \x1b escape", r"lone \u001b escape"),
        ("back\b\rspace", r"back\u0008\u000dspace"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("\u2066isolate\u2069", r"\u2066isolate\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\x9b31m", r"\u009b31m"),
        ("line\u2028end", r"line\u2028end"),
        ("\ud800", r"\ud800"),
        ("lines\n\tstay, ä € 😀 too", "lines\n\tstay, ä € 😀 too"),
    ],
)
def test_control_and_direction_characters_become_visible(raw: str, shown: str) -> None:
    assert redact.visible(raw) == shown


def test_a_secret_that_a_colour_splits_is_masked() -> None:
    redact.learn("hunter22")
    assert redact.visible("hun\x1b[1mter22") == redact.MASK
