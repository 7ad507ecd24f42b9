from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.errors import BrokenRecordError
from deploykit.journal.events import GENESIS, Actor, Event, Type
from deploykit.model import Json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def event(data: Json | None = None, **changes: object) -> Event:
    fields: dict[str, object] = {
        "run": "r-7f3a",
        "seq": 1,
        "at": "2026-11-23T03:10:00.000Z",
        "boot": "b",
        "boot_ns": 1,
        "actor": Actor(kind="person", id="olga"),
        "host": "h",
        "type": Type.NOTE_WRITTEN,
        "data": data or {},
        "prev": GENESIS,
    }
    return Event.model_validate(fields | changes)


@given(data=st.dictionaries(TEXT, VALUES, max_size=4), item=TEXT, number=st.integers())
def test_what_is_written_is_read_back_and_its_line_is_the_same(data: Json, item: str, number: int) -> None:
    written = event(data, item=item, boot_ns=number)
    assert b"\n" not in written.line
    assert Event.parse(written.line) == written
    assert Event.parse(written.line).line == written.line


def test_the_hash_is_what_sha256sum_says_of_the_line() -> None:
    written = event()
    assert written.hash == hashlib.sha256(written.line + b"\n").hexdigest()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"v":1', b'"v":2', "v: Input should be 1"),
        (b'"note.written"', b'"note.burnt"', "type: Input should be"),
        (b'"item":""', b'"item":"","mine":1', "mine: Extra inputs"),
        (b'"seq":1', b'"seq":0', "seq: Input should be greater"),
        (b'"at":"2026', b'"at":"2026 ', "at: String should match"),
        (b'"kind":"person"', b'"kind":"root"', "actor.kind: Input should be"),
        (b'"v":1', b'"v": 1', "not in canonical form"),
        (b'"seq":1', b'"seq":1,"seq":1', "not in canonical form"),
        (b'"x":1.999', b'"x":1e999', "not an event"),
        (b'"x":1.999', b'"x":NaN', "not an event"),
        (b'"x":1.999', b'"x":"\\ud800"', "not an event"),
        (b'"x":1.999', b'"x":"\xff"', "not an event"),
        (b"}", b"", "not an event"),
    ],
)
def test_another_version_type_field_or_form_is_refused(old: bytes, new: bytes, said: str) -> None:
    line = event({"x": 1.999}).line
    assert old in line
    with pytest.raises(BrokenRecordError, match=said):
        Event.parse(line.replace(old, new, 1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_does_not_have_cannot_be_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = event({"x": value}).line
