from __future__ import annotations

import pytest

from deploykit.errors import RefusedError
from deploykit.journal import clock
from deploykit.journal.events import GENESIS, Actor, Event, Type


def newest(at: str = "2026-11-23T03:10:00.000Z", boot: str = "one", boot_ns: int = 1000 * 10**9) -> Event:
    return Event(
        run="r-7f3a",
        seq=7,
        at=at,
        boot=boot,
        boot_ns=boot_ns,
        actor=Actor(kind="person", id="olga"),
        host="h",
        type=Type.NOTE_WRITTEN,
        prev=GENESIS,
    )


@pytest.mark.parametrize(
    ("at", "elapsed"),
    [
        ("2026-11-23T03:10:00.000Z", 0),
        ("2026-11-23T03:20:00.000Z", 600),
        ("2026-11-23T03:20:59.000Z", 600),  # apart, but within the tolerance
        ("2026-11-23T03:09:30.000Z", 0),  # a small step back by the time daemon
        ("2026-11-24T03:10:00.000Z", 86400),  # slept for a day
    ],
)
def test_wall_time_and_elapsed_time_that_agree_are_steady(at: str, elapsed: int) -> None:
    clock.require_steady(newest(), clock.Reading(at, "one", (1000 + elapsed) * 10**9))


@pytest.mark.parametrize(
    ("at", "elapsed", "said"),
    [
        ("2026-11-23T04:10:00.000Z", 10, r"jumped by \+3590 s since event 7"),
        ("2026-11-23T02:10:00.000Z", 10, r"jumped by -3610 s"),
        ("2026-11-23T03:10:10.000Z", 3600, r"jumped by -3590 s"),
    ],
)
def test_a_jump_within_one_boot_is_refused(at: str, elapsed: int, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        clock.require_steady(newest(), clock.Reading(at, "one", (1000 + elapsed) * 10**9))


def test_across_boots_only_a_clock_behind_the_newest_event_is_refused() -> None:
    clock.require_steady(newest(), clock.Reading("2026-11-23T05:00:00.000Z", "two", 1))
    with pytest.raises(RefusedError, match=r"jumped by -1 s.*\n.*set the clock"):
        clock.require_steady(newest(), clock.Reading("2026-11-23T03:09:59.000Z", "two", 1))


def test_a_reading_is_steady_against_itself_and_fits_an_event() -> None:
    first = clock.read()
    clock.require_steady(newest(first.at, first.boot, first.boot_ns), clock.read())
    assert clock.boot_id() == first.boot
