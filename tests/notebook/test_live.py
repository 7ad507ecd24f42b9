"""How bundles get into a notebook's output."""

from __future__ import annotations

from typing import Any

import pytest
from IPython import display

from deploykit import plots
from deploykit.model import Evidence, Figure, Series
from deploykit.notebook import live, show

FIGURE = Figure(title="Failed requests", series=(Series(name="blue", unit="percent", points=((1.0, 2.0),)),))


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, str | None]]:
    """What a kernel would send: call, data and display id."""
    sent: list[tuple[str, Any, str | None]] = []

    def note(call: str) -> Any:
        def called(data: Any, *, display_id: str | None, raw: bool, metadata: Any) -> None:
            assert raw
            assert isinstance(metadata, dict)
            sent.append((call, data, display_id))

        return called

    monkeypatch.setattr(display, "display", note("display"))
    monkeypatch.setattr(display, "update_display", note("update"))
    monkeypatch.setattr(plots, "draw", lambda _figure: b"png")
    return sent


def test_a_bundle_is_displayed_raw_and_without_an_id_for_good(put: list[tuple[str, Any, str | None]]) -> None:
    live.publish(show.Bundle({"text/plain": "x"}, {}))
    assert put == [("display", {"text/plain": "x"}, None)]


def test_words_and_pictures_are_replaced_in_place(
    put: list[tuple[str, Any, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = live.Display("a.b", "An item")
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    for _ in range(2):
        shown.working("10 %", Evidence(figures=(FIGURE,)))
    assert [(call, where) for call, _, where in put] == [
        ("display", "a.b/words"),
        ("display", "a.b/picture/0"),
        ("update", "a.b/words"),
    ]
    shown.put(show.working("a.b", "An item", "done"), (FIGURE,))
    assert [(call, where) for call, _, where in put[3:]] == [("update", "a.b/words"), ("update", "a.b/picture/0")]
