"""A run on disk: its files are whole or not there, its memory follows the journal, its lock is said."""

from __future__ import annotations

import getpass
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deploykit.errors import BrokenRecordError, Exit, LockedError, RefusedError, StoreError, UsageError
from deploykit.files import write_atomically
from deploykit.guard import GuardProcess
from deploykit.journal.events import Event, Type
from deploykit.journal.store import FILE
from deploykit.model import DecisionKind, Evidence, Outcome, Result
from deploykit.run import Run, login, new_id, read_plan
from deploykit.signoff.policy import decide
from tests.world import World

SIGNED = DecisionKind.SIGNED


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


def test_a_run_is_found_by_its_id_its_number_and_the_end_of_its_id(world: World, run: Run) -> None:
    for name in (run.id, "1", run.id[-4:]):
        found = Run.find(run.settings, name, run.actor)
        assert (found.id, found.plan) == (run.id, run.plan)
        found.store.close()
    with pytest.raises(UsageError, match="is not a run"):
        Run.find(run.settings, "nope", run.actor)


def test_an_id_says_when_what_and_where_and_no_two_are_the_same() -> None:
    ids = {new_id("shop", "production") for _ in range(20)}
    assert len(ids) > 15
    assert all(name.split("-")[1:3] == ["shop", "production"] for name in ids)


def test_state_follows_what_another_process_wrote(world: World, run: Run) -> None:
    assert run.state().items == {}
    world.again(run).settle(Result(item="blue-green.deploy", outcome=Outcome.PASS, summary="well"))
    assert list(run.state().items) == ["blue-green.deploy"]


def test_evidence_is_kept_under_its_hash_and_read_back(run: Run) -> None:
    evidence = Evidence(facts={"a": 1}, text="ümlaut")
    digest = run.keep(evidence)
    assert run.keep(evidence) == digest
    assert run.evidence(digest) == evidence
    file = run.folder / "evidence" / digest
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BrokenRecordError, match="not what its name says"):
        run.evidence(digest)
    file.unlink()
    with pytest.raises(BrokenRecordError, match="missing"):
        run.evidence(digest)


def test_a_result_is_read_back_as_it_was_settled(run: Run) -> None:
    result = Result(item="x", outcome=Outcome.FAIL, summary="s", evidence=Evidence(text="t"), mend="m")
    run.settle(result)
    assert run.result("x") == result
    assert run.result("y") is None


def test_the_lock_is_noted_once_and_let_go(world: World, run: Run) -> None:
    run.take_lock()
    run.take_lock()
    (taken,) = world.said(Type.LOCK_TAKEN)
    assert (taken.data, taken.fence) == ({"fence": 1, "by_force": False, "from": ""}, 1)
    run.release_lock()
    run.release_lock()
    assert len(world.said(Type.LOCK_RELEASED)) == 1
    assert run.lock is None


def test_an_intent_takes_the_lock_and_fails_without_it(world: World, run: Run) -> None:
    run.intend(item="x", step="x", op="o", data={})
    run.store.take_lock(run.place, "another-run", "bob", by_force=True)
    with pytest.raises(LockedError, match="no longer ours"):
        run.intend(item="x", step="y", op="o", data={})
    assert [event.step for event in world.said(Type.STEP_INTENDED)] == ["x"]


def test_what_was_begun_is_known_when_the_store_is_gone(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.again(run).intend(item="x", step="x/1", op="o", data={})
    run.state()
    run.intend(item="x", step="x/2", op="o", data={})

    def gone(*_: object, **__: object) -> None:
        raise StoreError("gone")

    monkeypatch.setattr(run.store, "lines", gone)
    assert run.begun() == {"x/1", "x/2"}


def test_settings_that_were_not_planned_are_refused_with_what_still_works(world: World, run: Run) -> None:
    world.edit("[shift]", "# a word\n[shift]")
    with pytest.raises(RefusedError, match="nobody approved them") as caught:
        world.again(run).require_planned_settings()
    assert "deploykit rollback" in caught.value.mend


@pytest.mark.parametrize(
    ("text", "error"), [(None, UsageError), ("{", BrokenRecordError), ('{"v": 2}', BrokenRecordError)]
)
def test_what_is_no_plan_is_none(tmp_path: Path, text: str | None, error: type[Exception]) -> None:
    if text is not None:
        (tmp_path / "plan.json").write_text(text, "utf-8")
    with pytest.raises(error):
        read_plan(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "folder" / "file"
    write_atomically(file, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, b"new")
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == {"file": b"old"}


def test_a_login_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert login()

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert login() == f"uid-{os.getuid()}"


# --- a full disk, or files that may not be written


def no_room(after: int) -> Callable[[int], None]:
    """A disk that has room for so many more files."""
    synced = os.fsync
    left = after

    def fsync(descriptor: int) -> None:
        nonlocal left
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
        synced(descriptor)

    return fsync


@pytest.mark.parametrize("room", range(6))
def test_a_run_that_cannot_be_written_whole_is_not_opened_at_all(world: World, room: int) -> None:
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "fsync", no_room(room))
        with pytest.raises(StoreError, match=r"No space left.*\n.*free space") as caught:
            world.plan(approved=False)
    assert caught.value.exit_code is Exit.FAILED
    settings = world.settings()
    assert list(settings.path(settings.archive).glob("shop/*")) == []
    run = world.plan(approved=False)
    assert (run.row.number, len(run.store.runs())) == (1, 1)


def test_evidence_and_signatures_that_cannot_be_written_are_the_stores_error_and_no_word_is_said(
    world: World, run: Run
) -> None:
    result = Result(item="blue-green.deploy", outcome=Outcome.PASS, summary="well", evidence=Evidence(text="new"))
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "fsync", no_room(0))
        for write in (lambda: run.settle(result), lambda: decide(run, "plan", SIGNED, key=world.key("ann"))):
            with pytest.raises(StoreError, match="No space left"):
                write()
    assert len(world.events()) == 1
    run.settle(result)
    decide(run, "plan", SIGNED, key=world.key("ann"))
    assert len(world.events()) == 3


def test_a_guard_whose_heartbeat_cannot_be_written_is_the_stores_error(run: Run) -> None:
    with pytest.MonkeyPatch.context() as full:
        full.setattr(os, "fsync", no_room(0))
        with pytest.raises(StoreError, match="No space left"):
            GuardProcess(run).start()


def test_the_processes_own_lock_that_cannot_be_made_is_the_stores_error(run: Run) -> None:
    (run.store.folder / "shop-production.lock").mkdir()
    with pytest.raises(StoreError, match="cannot be written"), run.alone():
        pass


def test_what_goes_wrong_under_the_lock_is_told_as_what_it_is(run: Run) -> None:
    with pytest.raises(OSError, match="of the work"), run.alone():
        raise OSError(5, "of the work")


# --- the chain, and the heartbeat


def test_only_new_events_are_read_and_each_is_held_against_the_one_before(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(run.events()) == 1
    other = world.again(run)
    for text in ("one", "two"):
        other.append(Type.NOTE_WRITTEN, data={"text": text})
    asked: list[int] = []
    real = run.store.lines

    def lines(name: str, *, after: int = 0) -> tuple[bytes, ...]:
        asked.append(after)
        return real(name, after=after)

    monkeypatch.setattr(run.store, "lines", lines)
    assert [len(run.events()) for _ in range(2)] == [3, 3]
    assert asked == [1, 3]
    with closing(sqlite3.connect(run.store.folder / FILE)) as connection, connection:
        forged = Event.parse(other.store.lines(run.id)[-1]).model_copy(update={"seq": 4})
        connection.execute("INSERT INTO events VALUES (?, 4, ?, ?)", (run.id, forged.hash, forged.line))
    for read in (run.state, run.events, other.state):
        with pytest.raises(BrokenRecordError, match="line 4"):
            read()


def test_a_heartbeat_is_written_now_and_then_and_stops_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.take_lock()
    beats: list[str] = []

    def beat(_place: object, name: str) -> bool:
        beats.append(name)
        raise StoreError("full")

    monkeypatch.setattr(run.store, "beat", beat)
    for _ in range(3):
        run.beat()
    assert beats == [run.id]
