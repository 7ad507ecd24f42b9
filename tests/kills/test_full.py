"""A disk that is full, or read-only, at each write in turn: no effect without intent, a clear word, on with room."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploykit.errors import Exit
from deploykit.journal.events import Type
from deploykit.journal.store import _READING, FILE, Store
from tests.kills.filed import ENDED, REPEATABLE, Filed, fork, planned
from tests.world import LIVE

FULL = OSError(28, "No space left on device")
PAGE = 4096


def small(filed: Filed, room: int) -> None:
    """No file may grow beyond the journal as it is now, and some room."""
    run = filed.run()
    store = run.store.folder / FILE
    run.store.close()
    limit = store.stat().st_size + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def forward(filed: Filed) -> list[str]:
    return [effect for effect in filed.effects() if effect != REPEATABLE]


def intents(filed: Filed) -> int:
    run = filed.run()
    found = sum(event.type is Type.STEP_INTENDED for event in run.events())
    run.store.close()
    return found


def goes_on(filed: Filed) -> None:
    """With room again nothing is lost or repeated, and no weights are split."""
    assert len(forward(filed)) <= intents(filed)
    code = os.waitstatus_to_exitcode(fork(lambda: filed.perform(filed.run())))
    assert code in {0, *(ENDED + ended for ended in (Exit.FAILED, Exit.HELD, Exit.ROLLED_BACK))}
    assert (filed.twice(), filed.lost()) == ([], [])
    with filed.disk.turn() as world:
        assert dict(world.weights) in ({"blue": 100, "green": 0}, LIVE)


@pytest.mark.parametrize("pages", [0, 1, 2, 4])
def test_a_journal_that_cannot_grow(team_folder: Path, tmp_path: Path, pages: int) -> None:
    with planned(team_folder, tmp_path / "team") as filed:

        def work() -> None:
            small(filed, pages * PAGE)
            filed.perform(filed.run())

        code = os.waitstatus_to_exitcode(fork(work))
        assert code in {ENDED + Exit.FAILED, ENDED + Exit.HELD, ENDED + Exit.ROLLED_BACK}
        goes_on(filed)


@pytest.mark.parametrize("number", [*range(1, 6), *range(12, 84, 12)])
def test_a_store_that_turns_read_only_at_a_write(team_folder: Path, tmp_path: Path, number: int) -> None:
    with planned(team_folder, tmp_path / "team") as filed:

        def work() -> None:
            asked, begin = [], Store._begin

            def begun(store: Store, connection: sa.Connection) -> None:
                if not connection.get_execution_options().get(_READING, False):
                    asked.append(1)
                    connection.exec_driver_sql(f"PRAGMA query_only = {len(asked) >= number:d}")
                begin(store, connection)

            Store._begin = begun  # type: ignore[assignment, method-assign]  # in this process alone
            filed.perform(filed.run())

        code = os.waitstatus_to_exitcode(fork(work))
        assert code in {ENDED + Exit.FAILED, ENDED + Exit.HELD, ENDED + Exit.ROLLED_BACK}
        goes_on(filed)


@pytest.mark.parametrize("number", range(1, 25, 3))
def test_a_file_that_cannot_be_written(team_folder: Path, tmp_path: Path, number: int) -> None:
    """Evidence, reports and spool: the disk is full from one write on, but for the journal."""
    with planned(team_folder, tmp_path / "team") as filed:

        def work() -> None:
            asked = []

            def fsync(_descriptor: int) -> None:
                asked.append(1)
                if len(asked) >= number:
                    raise FULL

            os.fsync = fsync  # type: ignore[assignment]  # it takes more than we are given
            filed.perform(filed.run(), rolled_back=True)

        code = os.waitstatus_to_exitcode(fork(work))
        assert code == 0 or code in {ENDED + Exit.FAILED, ENDED + Exit.HELD, ENDED + Exit.ROLLED_BACK}
        goes_on(filed)
