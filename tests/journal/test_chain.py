from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.errors import BrokenRecordError
from deploykit.journal import chain
from deploykit.journal.events import GENESIS, Actor, Event, Type


def _journal(run: str = "r-7f3a", length: int = 8) -> Iterator[bytes]:
    prev = GENESIS
    for seq in range(1, length + 1):
        event = Event(
            run=run,
            seq=seq,
            at=f"2026-11-23T03:10:{seq:02d}.000Z",
            boot="b",
            boot_ns=seq * 10**9,
            actor=Actor(kind="person", id="olga"),
            host="h",
            type=Type.NOTE_WRITTEN,
            data={"text": f"note {seq}", "number": 1.999},
            prev=prev,
        )
        prev = event.hash
        yield event.line


LINES = tuple(_journal())
PLACES = st.integers(0, len(LINES) - 1)


def broken(lines: tuple[bytes, ...]) -> str:
    with pytest.raises(BrokenRecordError) as caught:
        list(chain.follow(lines))
    return str(caught.value)


def test_a_whole_journal_is_followed_to_its_end() -> None:
    assert [event.seq for event in chain.follow(LINES, run="r-7f3a")] == list(range(1, 9))


def test_an_empty_journal_is_broken() -> None:
    assert "empty" in broken(())


@given(st.data())
def test_each_changed_byte_is_found(data: st.DataObject) -> None:
    """In the last line no line follows that would tell; there the head's hash changes, which is witnessed outside."""
    place = data.draw(PLACES)
    line = bytearray(LINES[place])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    changed = (*LINES[:place], bytes(line), *LINES[place + 1 :])
    if place < len(LINES) - 1:
        broken(changed)
        return
    try:
        head = list(chain.follow(changed))[-1].hash
    except BrokenRecordError:
        return
    assert head != Event.parse(LINES[-1]).hash


@given(st.integers(0, len(LINES) - 2))
def test_a_dropped_line_is_found(place: int) -> None:
    assert f"line {place + 1}" in broken(LINES[:place] + LINES[place + 1 :])


@given(PLACES)
def test_a_line_given_twice_is_found(place: int) -> None:
    assert f"line {place + 2}" in broken(LINES[: place + 1] + LINES[place:])


@given(st.permutations(LINES))
def test_another_order_is_found(order: list[bytes]) -> None:
    if tuple(order) != LINES:
        broken(tuple(order))


@given(st.integers(1, len(LINES) - 1))
def test_a_line_of_another_run_is_found_even_in_its_place(place: int) -> None:
    other = tuple(_journal("r-8888"))
    assert "run is r-8888, expected r-7f3a" in broken((*LINES[:place], other[place], *LINES[place + 1 :]))


def test_a_whole_journal_of_another_run_is_refused() -> None:
    with pytest.raises(BrokenRecordError, match="expected r-8888"):
        list(chain.follow(LINES, run="r-8888"))


def test_what_holds_is_given_up_to_the_line_that_does_not() -> None:
    events = chain.follow((*LINES[:3], *LINES[4:]))
    assert [next(events).seq for _ in range(3)] == [1, 2, 3]
    with pytest.raises(BrokenRecordError, match="line 4"):
        next(events)


def test_sed_and_sha256sum_agree(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in LINES))
    for seq in range(1, len(LINES)):
        command = f"sed -n {seq}p {path.name} | sha256sum"
        said = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert said.stdout.split()[0] == Event.parse(LINES[seq]).prev
