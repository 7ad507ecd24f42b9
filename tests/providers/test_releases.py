"""What a release brings is asked once by checks that look at the same time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected
from deploykit.ports.database import Migrations
from deploykit.providers.postgres import releases
from deploykit.providers.postgres.programs import Programs

#: As it is in the product; the tests of the database remember what it answered.
READ = releases.read
PROGRAMS, INI = Programs(None, 5.0), Path("alembic.ini")


def together(monkeypatch: pytest.MonkeyPatch, answer: Any) -> tuple[list[Any], int]:
    """What three askers are told whose questions meet, and how often it was looked up."""
    asked = []

    def read(*known: Any) -> Migrations:
        asked.append(known)
        (shared,) = releases._under_way.values()
        deadline = time.monotonic() + 20
        while len(shared._condition._waiters) < 2:  # type: ignore[attr-defined]  # who waits is nobody else's business
            assert time.monotonic() < deadline
            time.sleep(0.005)
        if isinstance(answer, BaseException):
            raise answer
        return Migrations("0001", "0002", "c", ())

    def ask() -> Any:
        try:
            return READ(INI, "c", "0001", None, PROGRAMS)
        except Rejected as error:
            return error

    monkeypatch.setattr(releases, "_read", read)
    with ThreadPoolExecutor(3) as pool:
        told = [future.result(20) for future in [pool.submit(ask) for _ in range(3)]]
    return told, len(asked)


def test_who_asks_while_it_is_looked_up_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told, times = together(monkeypatch, None)
    assert [found.head for found in told] == ["0002"] * 3
    assert times == 1
    assert releases._under_way == {}


def test_a_fault_is_told_to_all_and_the_next_one_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told, times = together(monkeypatch, Rejected("it is not there"))
    assert [type(found) for found in told] == [Rejected] * 3
    assert times == 1
    monkeypatch.setattr(releases, "_read", lambda *_: Migrations("0001", "0003", "c", ()))
    assert READ(INI, "c", "0001", None, PROGRAMS).head == "0003"
