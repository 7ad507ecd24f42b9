from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from deploykit import redact
from deploykit.providers._answers import said
from deploykit.providers._faults import LONGEST, Why, of_client, of_network, seconds, words


@pytest.mark.parametrize(
    ("header", "expected"),
    [("0", 0.0), ("7", 7.0), ("1.5", 1.5), ("-1", 0.0), ("", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_a_wait_in_seconds(header: str, expected: float | None) -> None:
    assert seconds(header) == expected


def test_a_wait_until_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=100)
    assert seconds(format_datetime(later)) == pytest.approx(100, abs=3)
    assert seconds("Tue, 15 Nov 1994 08:12:31 -0000") == 0.0
    assert seconds("Tue, 99 Nov 1994 08:12:31 GMT") is None


def test_words_hide_a_secret_that_is_broken_up() -> None:
    redact.learn("hunter2hunter2")
    assert words("the key hunter2\x1b[1mhunter2 is bad") == f"the key {redact.MASK} is bad"
    assert words("one\n  two\r\nError: three") == r"one two\u000d Error: three"
    assert len(words("x" * 1000)) == LONGEST


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"message": "no"}', "no"),
        ('{"errors": [{"message": "a"}, "b", null]}', "a; b"),
        ('{"error": {"detail": "deep"}}', "deep"),
        ('{"message": null, "other": 1}', '{"message": null, "other": 1}'),
        ("[" * 100_000, "[" * 100_000),
        ("plain", "plain"),
        (b"\xff", "�"),
    ],
)
def test_a_vendors_words_are_found_where_they_are(body: str | bytes, expected: str) -> None:
    assert said(body) == expected


def test_the_network_is_seen_through_what_wraps_it() -> None:
    inner = ConnectionRefusedError(111, "Connection refused")
    outer = OSError(inner)
    wrapped = RuntimeError("client")
    wrapped.__cause__ = outer
    found = of_network(wrapped)
    assert found is not None
    assert (found.why, found.said) == (Why.UNSENT, "[Errno 111] Connection refused")
    assert of_network(ValueError("x")) is None
    assert of_client(KeyError("sha")).why is Why.GARBLED
    loop = OSError("a")
    loop.__cause__ = loop
    assert of_client(loop).why is Why.LOST
