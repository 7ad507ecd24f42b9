from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from deploykit import redact
from deploykit.errors import Exit, LockedError, RefusedError, StoreError, UsageError
from deploykit.journal import chain, clock
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.locks import Lock
from deploykit.journal.store import FILE, RunRow, Store

RUN, OTHER = "20261123T031000Z-shop-production-7f3a", "20261124T031000Z-shop-production-8888"
PLACE = ("shop", "production")
ACTOR = Actor(kind="person", id="olga")


def row(run: str = RUN) -> RunRow:
    return RunRow(run=run, number=0, service="shop", environment="production", release="v2")


def note(text: str, run: str = RUN) -> Draft:
    return Draft(run=run, actor=ACTOR, type=Type.NOTE_WRITTEN, data={"text": text})


def opened(run: str = RUN) -> Callable[[int], Draft]:
    return lambda number: Draft(run=run, actor=ACTOR, type=Type.RUN_OPENED, data={"number": number})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "state")
    store.open_run(row(), opened())
    yield store
    store.close()


@contextmanager
def powerless() -> Iterator[None]:
    """Not root for a while, so that permissions mean something."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_events_follow_one_another_and_are_read_back(store: Store) -> None:
    for text in ("one", "two"):
        store.append(note(text))
    events = list(chain.follow(store.lines(RUN), run=RUN))
    assert [event.data.get("text") for event in events] == [None, "one", "two"]
    assert store.lines(RUN, after=2) == (events[2].line,)


def test_only_the_owner_may_enter_the_folder(store: Store) -> None:
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_no_secret_enters_a_line(store: Store) -> None:
    redact.learn("hunter22")
    draft = note("the token is hunter22").model_copy(
        update={"item": "x/hunter22", "step": "hunter22", "op": "hunter22"}
    )
    assert b"hunter22" not in store.append(draft).line
    assert b"hunter22" not in (store.folder / FILE).read_bytes()


APPEND = """
import sys
from pathlib import Path
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.store import Store

store, run, who, count = Store(Path(sys.argv[1])), sys.argv[2], sys.argv[3], int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    actor = Actor(kind="runner", id=who)
    store.append(Draft(run=run, actor=actor, type=Type.NOTE_WRITTEN, data={"number": number}))
"""


def test_four_processes_at_once_keep_one_chain_without_gaps(store: Store) -> None:
    count = 25
    arguments = [sys.executable, "-c", APPEND, str(store.folder), RUN]
    processes = [
        subprocess.Popen([*arguments, f"p{n}", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    events = list(chain.follow(store.lines(RUN), run=RUN))
    assert len(events) == 1 + 4 * count
    for n in range(4):
        assert [e.data["number"] for e in events if e.actor.id == f"p{n}"] == list(range(count))


def test_runs_are_numbered_without_gaps_even_when_opening_one_failed(store: Store) -> None:
    def fails(_number: int) -> Draft:
        raise UsageError("no plan")

    with pytest.raises(UsageError):
        store.open_run(row(OTHER), fails)
    assert [(r.run, r.number) for r in store.runs()] == [(RUN, 1)]
    store.open_run(row(OTHER), opened(OTHER))
    assert [(r.run, r.number) for r in store.runs()] == [(OTHER, 2), (RUN, 1)]
    assert [e.data["number"] for e in chain.follow(store.lines(OTHER))] == [2]


def test_a_run_is_opened_once(store: Store) -> None:
    with pytest.raises(StoreError):
        store.open_run(row(), opened())
    assert len(store.lines(RUN)) == 1


def test_an_event_of_a_run_that_was_never_opened_is_refused(store: Store) -> None:
    with pytest.raises(StoreError):
        store.append(note("lost", run=OTHER))


@pytest.mark.parametrize("name", [RUN, "1", "7f3a", "production-7f3a"])
def test_a_run_is_found_by_id_number_and_end(store: Store, name: str) -> None:
    assert store.find(name).run == RUN


@pytest.mark.parametrize("name", ["2", "f3a", "", "20261123"])
def test_a_run_that_is_not_there_is_an_error_that_says_where_to_look(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="`deploykit runs` lists them"):
        store.find(name)


def test_an_end_that_two_runs_share_is_refused(store: Store) -> None:
    store.open_run(row("x" + RUN), opened("x" + RUN))
    with pytest.raises(UsageError, match="more than one run"):
        store.find("production-7f3a")
    assert store.find(RUN).run == RUN


def test_a_lock_is_taken_kept_and_given_back(store: Store) -> None:
    assert store.lock(*PLACE) is None
    lock = store.take_lock(PLACE, RUN, "olga")
    assert (lock.run, lock.fence) == (RUN, 1)
    assert store.take_lock(PLACE, RUN, "olga") == lock
    assert store.append(note("under the lock"), fence=lock, place=PLACE).seq == 2
    assert not store.release_lock(PLACE, OTHER)
    assert store.release_lock(PLACE, RUN)
    assert not store.release_lock(PLACE, RUN)
    with pytest.raises(LockedError, match="nobody holds it"):
        store.append(note("too late"), fence=lock, place=PLACE)
    assert store.take_lock(PLACE, OTHER, "otto").fence == 2


def test_a_lock_that_another_run_has_is_refused_and_its_holder_is_named(store: Store) -> None:
    store.take_lock(PLACE, RUN, "olga")
    with pytest.raises(LockedError, match=f"is locked: run {RUN} of olga holds it since") as caught:
        store.take_lock(PLACE, OTHER, "otto")
    assert caught.value.exit_code is Exit.REFUSED
    assert store.take_lock(("shop", "staging"), OTHER, "otto").fence == 1


def test_a_lock_taken_by_force_voids_the_older_fence(store: Store) -> None:
    old = store.take_lock(PLACE, RUN, "olga")
    new = store.take_lock(PLACE, OTHER, "otto", by_force=True)
    assert new.fence == old.fence + 1
    with pytest.raises(LockedError, match=f"no longer ours .fence 1.; run {OTHER} of otto"):
        store.append(note("an effect"), fence=old, place=PLACE)
    assert len(store.lines(RUN)) == 1
    assert store.append(note("what happened is still written")).seq == 2


def test_a_rollback_of_the_same_run_voids_the_fence_of_its_older_process(store: Store) -> None:
    old = store.take_lock(PLACE, RUN, "olga")
    new = store.take_lock(PLACE, RUN, "olga", by_force=True)
    with pytest.raises(LockedError):
        store.append(note("an effect of the older process"), fence=old, place=PLACE)
    assert store.append(note("the rollback"), fence=new, place=PLACE).seq == 2


def test_a_fence_without_its_place_is_never_taken_on_trust(store: Store) -> None:
    with pytest.raises(LockedError):
        store.append(note("an effect"), fence=Lock(run=RUN, fence=1, owner="olga", since=""))


def test_a_clock_that_jumped_refuses_effects_and_keeps_writing_what_happened(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = store.take_lock(PLACE, RUN, "olga")
    real = clock.read()
    monkeypatch.setattr(clock, "read", lambda: real._replace(at="2020-01-01T00:00:00.000Z"))
    with pytest.raises(RefusedError, match="clock jumped"):
        store.append(note("an effect"), fence=lock, place=PLACE)
    assert len(store.lines(RUN)) == 1
    assert store.append(note("a rollback")).seq == 2


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written: (File exists|Not a directory)"):
        Store(tmp_path / "file" / "state")


def test_a_file_that_is_no_store_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, and long enough to be looked at " * 40)
    with pytest.raises(StoreError, match="not a database"):
        Store(tmp_path)


def test_a_read_only_store_can_be_read_and_refuses_to_be_written() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders let nobody but their owner in
        folder = Path(name)
        before = Store(folder)
        before.open_run(row(), opened())
        before.close()
        (folder / FILE).chmod(0o444)
        folder.chmod(0o555)
        with powerless():
            store = Store(folder)
            assert len(store.lines(RUN)) == 1
            with pytest.raises(StoreError, match=r"readonly.*\n.*mend permissions") as caught:
                store.append(note("lost"))
            assert caught.value.where == str(folder / FILE)
            store.close()
        folder.chmod(0o755)


def test_a_full_disk_is_a_store_error_and_leaves_the_chain_whole(store: Store) -> None:
    def full(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    sa.event.listen(store._engine, "begin", full)
    with pytest.raises(StoreError, match=r"full.*\n.*free space"):
        store.append(note("x" * 100_000))
    assert len(list(chain.follow(store.lines(RUN)))) == 1
