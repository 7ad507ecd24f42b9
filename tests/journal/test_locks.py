"""Who may act on an environment: by a lock that only a signature breaks, and a freeze that no rollback asks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client.manager import start_new_kernel

from deploykit.errors import LockedError, RefusedError, StoreError, UsageError
from deploykit.journal import checkup, clock, locks, spool
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.locks import Freeze, Lock
from deploykit.journal.store import FILE, HURRY, RunRow, Store
from deploykit.model import Outcome

RUN, OTHER = "20261123T031000Z-shop-production-7f3a", "20261124T031000Z-shop-production-8888"
PLACE = ("shop", "production")
ACTOR = Actor(kind="person", id="olga")
EXPIRES = 900.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.boot, self.boot_ns = "one", 10**12

    def read(self) -> clock.Reading:
        return clock.Reading(
            f"{self.now:%Y-%m-%dT%H:%M:%S}.{self.now.microsecond // 1000:03d}Z", self.boot, self.boot_ns
        )

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.boot_ns += int(seconds * 1e9)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(clock, "read", fake.read)
    monkeypatch.setattr(locks, "now", lambda: fake.now)
    return fake


@pytest.fixture
def store(at: Clock, tmp_path: Path) -> Iterator[Store]:
    store = with_runs(tmp_path / "state")
    yield store
    store.close()


def draft(kind: Type = Type.STEP_INTENDED, run: str = RUN) -> Draft:
    return Draft(run=run, actor=ACTOR, type=kind)


def with_runs(folder: Path) -> Store:
    store = Store(folder)
    for run in (RUN, OTHER):
        row = RunRow(run=run, number=0, service="shop", environment="production", release="v2")
        first = draft(Type.RUN_OPENED, run)
        store.open_run(row, lambda _number, first=first: first)  # type: ignore[misc]  # bound early
    return store


def taken(store: Store, run: str = RUN) -> Lock:
    return store.take_lock(PLACE, run, "olga", reason="deploys v2")


# --- the lock


def test_the_second_comer_is_told_who_holds_it_why_since_when_and_when_they_were_last_heard_of(
    at: Clock, store: Store
) -> None:
    taken(store)
    at.passes(240)
    assert store.beat(PLACE, RUN)
    at.passes(90)
    with pytest.raises(LockedError) as caught:
        taken(store, OTHER)
    assert caught.value.what == (
        f"shop in production is locked: run {RUN} of olga (deploys v2) holds it since 2026-11-23T12:00:00.000Z; "
        "last heard of 90 s ago"
    )
    assert f"deploykit unlock {RUN}" in caught.value.mend


@pytest.mark.parametrize("silence", [EXPIRES - 1, EXPIRES, 30 * 86400])
def test_an_expired_lock_starts_no_work_by_itself(at: Clock, store: Store, silence: float) -> None:
    taken(store)
    at.passes(silence)
    with pytest.raises(LockedError, match="is locked"):
        taken(store, OTHER)


def test_only_an_expired_lock_can_be_broken_and_who_broke_it_is_in_the_journal(at: Clock, store: Store) -> None:
    fence = taken(store)
    at.passes(EXPIRES - 0.001)
    with pytest.raises(RefusedError, match=r"heard of 15 min ago, and counts as gone after 15 min"):
        store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    assert store.lock(*PLACE) == fence
    at.passes(0.001)
    store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    assert b"lock.broken" in store.lines(RUN)[-1]
    with pytest.raises(LockedError, match="no longer ours"):
        store.append(draft(), fence=fence, place=PLACE)
    assert taken(store, OTHER).fence > fence.fence


def test_a_holder_who_was_only_paused_starts_nothing_after_the_break_but_may_come_again(
    at: Clock, store: Store
) -> None:
    paused = taken(store)
    at.passes(EXPIRES)
    store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    assert not store.beat(PLACE, RUN)
    with pytest.raises(LockedError):
        store.require_lock(PLACE, paused)
    again = taken(store)
    store.append(draft(), fence=again, place=PLACE)
    with pytest.raises(LockedError):
        store.append(draft(), fence=paused, place=PLACE)


def test_a_beat_keeps_a_lock_from_being_broken(at: Clock, store: Store) -> None:
    taken(store)
    at.passes(EXPIRES)
    store.beat(PLACE, RUN)
    with pytest.raises(RefusedError, match="heard of 0 s ago"):
        store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)


def test_a_lock_ages_by_the_boots_clock_and_by_utc_across_boots(at: Clock, store: Store) -> None:
    taken(store)
    at.now += timedelta(days=400)  # somebody set the clock; no time passed
    held = store.lock(*PLACE)
    assert held is not None
    assert held.age == 0
    at.boot, at.boot_ns = "two", 5
    assert held.age == timedelta(days=400).total_seconds()


@pytest.mark.parametrize("holder", ["", OTHER])
def test_a_run_that_keeps_nobody_out_has_nothing_to_break(at: Clock, store: Store, holder: str) -> None:
    if holder:
        taken(store, holder)
        at.passes(EXPIRES)
    with pytest.raises(UsageError, match="keeps nobody out"):
        store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)


def test_of_two_who_break_it_at_once_the_second_is_told(at: Clock, store: Store) -> None:
    held = taken(store)
    at.passes(EXPIRES)
    store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    with pytest.raises(UsageError):
        store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    with store._writing() as connection, pytest.raises(LockedError, match="nobody holds it"):
        locks.break_(connection, PLACE, held)


# --- one machine


def test_another_machine_is_refused_even_when_nobody_holds_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(store)
    store.release_lock(PLACE, RUN)
    here = locks.machine()
    monkeypatch.setattr(locks, "machine", lambda: "laptop/12345678")
    for run in (RUN, OTHER):
        with pytest.raises(LockedError, match=f"from {here}, and this is laptop/12345678"):
            taken(store, run)
    found = checkup.host(store, PLACE)
    assert (found.outcome, "deploykit unlock" in found.mend) == (Outcome.FAIL, True)
    assert store.take_lock(PLACE, RUN, "olga", by_force=True).host == here, "a rollback asks no machine"


def test_a_machine_that_is_gone_is_let_go_by_a_break(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(store)
    store.release_lock(PLACE, RUN)
    monkeypatch.setattr(locks, "machine", lambda: "laptop/12345678")
    store.break_lock(PLACE, draft(Type.LOCK_BROKEN), EXPIRES)
    assert taken(store, OTHER).host == "laptop/12345678"
    assert checkup.host(store, PLACE).outcome is Outcome.PASS


def test_two_machines_of_one_name_are_told_apart() -> None:
    name, _, identity = locks.machine().partition("/")
    assert name
    assert len(identity) in {0, 8}


def test_what_doctor_is_told_of_locks_and_spool(at: Clock, store: Store) -> None:
    assert checkup.host(store, PLACE).outcome is Outcome.PASS
    assert checkup.lock(store, PLACE, EXPIRES).outcome is Outcome.PASS
    taken(store)
    assert checkup.lock(store, PLACE, EXPIRES).outcome is Outcome.PASS
    at.passes(EXPIRES)
    stale = checkup.lock(store, PLACE, EXPIRES)
    assert (stale.outcome, f"run {RUN} of olga" in stale.summary) == (Outcome.FAIL, True)
    assert checkup.spooled(store).outcome is Outcome.PASS
    spool.write(store.folder, OTHER, ACTOR, Type.ROLLBACK_ASKED, {"reason": "full"})
    found = checkup.spooled(store)
    assert (found.outcome, found.evidence.facts) == (Outcome.FAIL, {OTHER: 1})


# --- the freeze


def freeze(store: Store, until: str = "2026-11-23T14:00:00Z", reason: str = "the sale") -> None:
    service, environment = PLACE
    said = Freeze(service=service, environment=environment, at="", by="olga", until=until, reason=reason)
    store.freeze(said)


def test_a_frozen_environment_takes_no_forward_intent_until_its_time(at: Clock, store: Store) -> None:
    fence = taken(store)
    freeze(store)
    at.passes(2 * 3600 - 1)
    with pytest.raises(RefusedError, match="frozen until 2026-11-23T14:00:00Z by olga: the sale") as caught:
        store.append(draft(), fence=fence, place=PLACE)
    assert "deploykit thaw -e production" in caught.value.mend
    assert len(store.lines(RUN)) == 1
    at.passes(1)
    store.append(draft(), fence=fence, place=PLACE)


def test_a_rollback_asks_no_freeze_and_no_clock(at: Clock, store: Store) -> None:
    fence = taken(store)
    freeze(store)
    at.now -= timedelta(days=1)
    store.append(draft(), fence=fence, place=PLACE, forward=False)
    with pytest.raises(RefusedError):
        store.append(draft(), fence=fence, place=PLACE)


def test_a_freeze_is_lifted_by_a_later_word_and_only_where_it_was_said(at: Clock, store: Store) -> None:
    freeze(store)
    store.require_thawed(("shop", "staging"))
    freeze(store, reason="a longer sale", until="2026-11-24T14:00:00Z")
    found = store.frozen(PLACE)
    assert found is not None
    assert found.reason == "a longer sale"
    freeze(store, until="", reason="the sale is over")
    assert store.frozen(PLACE) is None
    store.require_thawed(PLACE)


# --- the clock


@pytest.mark.parametrize(("apart", "refused"), [(60.0, False), (60.001, True), (-60.0, False), (-60.001, True)])
def test_a_clock_that_is_apart_from_elapsed_time_by_more_than_a_minute_starts_nothing(
    at: Clock, store: Store, apart: float, *, refused: bool
) -> None:
    fence = taken(store)
    at.passes(7200)
    at.now += timedelta(seconds=apart)
    if not refused:
        store.append(draft(), fence=fence, place=PLACE)
        return
    with pytest.raises(RefusedError, match="clock jumped"):
        store.append(draft(), fence=fence, place=PLACE)


@pytest.mark.parametrize(("behind", "refused"), [(0, False), (0.001, True), (-86400, False)])
def test_after_a_boot_only_a_clock_behind_the_newest_event_starts_nothing(
    at: Clock, store: Store, behind: float, *, refused: bool
) -> None:
    fence = taken(store)
    at.boot, at.boot_ns = "two", 1
    at.now -= timedelta(seconds=behind)
    if not refused:
        store.append(draft(), fence=fence, place=PLACE)
        return
    with pytest.raises(RefusedError, match="clock jumped"):
        store.append(draft(), fence=fence, place=PLACE)


# --- a store of 0.1.0, and one that another process keeps busy

OLD = """
CREATE TABLE runs (run VARCHAR NOT NULL PRIMARY KEY, number INTEGER NOT NULL UNIQUE, service VARCHAR NOT NULL,
    environment VARCHAR NOT NULL, release VARCHAR NOT NULL);
CREATE TABLE events (run VARCHAR NOT NULL, seq INTEGER NOT NULL, hash VARCHAR(64) NOT NULL, line BLOB NOT NULL,
    PRIMARY KEY (run, seq), FOREIGN KEY(run) REFERENCES runs (run));
CREATE TABLE locks (service VARCHAR NOT NULL, environment VARCHAR NOT NULL, run VARCHAR NOT NULL,
    fence INTEGER NOT NULL, owner VARCHAR NOT NULL, since VARCHAR NOT NULL, PRIMARY KEY (service, environment));
INSERT INTO runs VALUES ('r1', 1, 'shop', 'production', 'v1');
INSERT INTO locks VALUES ('shop', 'production', 'r1', 7, 'olga', '2026-11-23T11:00:00.000Z');
"""


def test_a_lock_that_an_older_version_took_is_kept_and_grows_old(at: Clock, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as old:
        old.executescript(OLD)
    for _ in range(2):
        store = Store(tmp_path)
        held = store.lock(*PLACE)
        assert held is not None
        assert (held.run, held.fence, held.reason, held.host, held.age) == ("r1", 7, "", "", 3600.0)
        with pytest.raises(LockedError, match="run r1 of olga holds it"):
            taken(store, OTHER)
        store.close()


@pytest.fixture
def busy(store: Store) -> Iterator[None]:
    """Another process that began to write, and does not go on."""
    begin = "c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE')"
    program = f"import sqlite3, sys; {begin}; print(flush=True); input()"
    command = [sys.executable, "-c", program, str(store.folder / FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.communicate(b"\n", timeout=20)


@pytest.mark.usefixtures("busy")
def test_a_store_that_another_process_keeps_busy_is_read_and_opened_at_once_and_a_hurried_writer_does_not_wait(
    store: Store,
) -> None:
    began = time.monotonic()
    assert len(store.lines(RUN)) == 1
    assert store.lock(*PLACE) is None
    other = Store(store.folder)
    assert len(other.runs()) == 2
    other.close()
    with store.hurry(), pytest.raises(StoreError, match="locked"):
        store.append(draft(Type.NOTE_WRITTEN))
    assert time.monotonic() - began < store.patience - HURRY, "the patient would have waited for longer"
    assert store.patience > HURRY


# --- any order of events

WORDS = st.sampled_from(["take", "force", "release", "beat", "break", "silence", "intend"])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(WORDS, st.sampled_from([RUN, OTHER])), max_size=12))
def test_whatever_happens_only_the_holder_of_the_newest_fence_begins_an_effect(words: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        fake = Clock()
        patch.setattr(clock, "read", fake.read)
        store = with_runs(Path(folder))
        holder, newest, given_out = "", 0, {RUN: Lock(run=RUN, fence=0, owner="", since="")}
        given_out[OTHER] = given_out[RUN].model_copy(update={"run": OTHER})
        for word, run in words:
            if word == "silence":
                fake.passes(EXPIRES)
            elif word == "release":
                holder = "" if store.release_lock(PLACE, run) else holder
            elif word == "beat":
                assert store.beat(PLACE, run) == (holder == run)
            elif word == "break":
                with suppress(UsageError, RefusedError):
                    store.break_lock(PLACE, draft(Type.LOCK_BROKEN, run), EXPIRES)
                    assert holder == run
                    holder, newest = "", newest + 1
            elif word == "intend":
                ours = holder == run and given_out[run].fence == newest
                with nullcontext() if ours else pytest.raises(LockedError):
                    store.append(draft(run=run), fence=given_out[run], place=PLACE)
            elif word == "force" or holder in {"", run}:
                given_out[run] = store.take_lock(PLACE, run, "olga", by_force=word == "force")
                assert given_out[run].fence == newest + (word == "force" or holder != run)
                holder, newest = run, given_out[run].fence
            else:
                with pytest.raises(LockedError):
                    taken(store, run)
        store.close()


# --- two processes

TAKE = """
import sys
from pathlib import Path
from deploykit.errors import LockedError
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.store import Store

store, place, run = Store(Path({folder!r})), ("shop", "production"), {run!r}
turns = 0
while turns < 20:
    try:
        fence = store.take_lock(place, run, run)
        actor = Actor(kind="runner", id=run)
        for kind in (Type.STEP_INTENDED, Type.STEP_HAPPENED):
            store.append(Draft(run=run, actor=actor, fence=fence.fence, type=kind), fence=fence, place=place)
        store.release_lock(place, run)
        turns += 1
    except LockedError:
        continue
"""


def processes(programs: list[str]) -> None:
    """Each program in a process of its own, at once."""
    hold = "import sys; print(flush=True); sys.stdin.readline()\n"
    started = [
        subprocess.Popen([sys.executable, "-c", hold + program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for program in programs
    ]
    for process in started:
        assert process.stdout
        process.stdout.readline()
    for process in started:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=120)
        assert process.returncode == 0


def kernels(programs: list[str]) -> None:
    """Each program in a Jupyter kernel of its own, at once."""
    started = [start_new_kernel(kernel_name="python3") for _ in programs]
    try:
        asked = [client.execute(program) for (_, client), program in zip(started, programs, strict=True)]
        for (_, client), message in zip(started, asked, strict=True):
            answer = client.get_shell_msg(timeout=120)
            while answer["parent_header"]["msg_id"] != message:  # what it said of itself when it came up
                answer = client.get_shell_msg(timeout=120)
            assert answer["content"]["status"] == "ok", answer["content"]
    finally:
        for manager, client in started:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("together", [processes, kernels])
def test_two_at_once_never_have_two_forward_effects_under_way(
    tmp_path: Path, together: Callable[[list[str]], None]
) -> None:
    """Each intent lies, with its end, between its own run's taking and release: no other run's comes between."""
    store = with_runs(tmp_path)
    together([TAKE.format(folder=str(tmp_path), run=run) for run in (RUN, OTHER)])
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        rows = connection.execute("SELECT run, line FROM events WHERE seq > 1 ORDER BY rowid").fetchall()
    said = [(run, b"step.intended" in line) for run, line in rows]
    assert len(said) == 2 * 2 * 20
    for (run, intended), (other, ended) in zip(said[::2], said[1::2], strict=True):
        assert (run, intended, ended) == (other, True, False)
    store.close()
