"""Rolling back: traffic first, with or without a store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from deploykit.errors import RollbackIncompleteError, StoreError, UsageError
from deploykit.journal import spool
from deploykit.journal.events import Type
from deploykit.journal.store import FILE, PATIENCE
from deploykit.rollback import planned, return_traffic, traffic_back, without_store
from deploykit.run import Run
from deploykit.seal import SEAL
from tests.world import LIVE, SERVICE, Fault, World

BACK = "weights blue 0, green 100"


@pytest.fixture
def run(world: World) -> Run:
    """A run without an approval, whose weights are split and whose environment belongs to another run by now."""
    planned = world.plan(approved=False)
    world.shift(50)
    return planned


def no_store(run: Run, patch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("database or disk is full")

    for name in ("append", "lock", "take_lock", "lines"):
        patch.setattr(run.store, name, fail)


def test_the_intent_comes_first_and_no_lock_or_approval_is_asked(world: World, run: Run) -> None:
    run.store.take_lock(run.place, "another-run", "bob")
    facts = traffic_back(run, "bob says so")
    assert world.weights == LIVE
    assert facts["before"] == {"blue": 50, "green": 50}
    assert [e.type for e in world.events()[1:]] == [Type.ROLLBACK_ASKED, Type.LOCK_TAKEN, Type.TRAFFIC_RETURNED]
    assert world.journal_then[0].type is Type.LOCK_TAKEN
    taken = world.said(Type.LOCK_TAKEN)[0]
    assert taken.data == {"fence": 2, "by_force": True, "from": "another-run"}
    assert (run.state().rolled_back, run.state().returned) == ("bob says so", "bob says so")


def test_it_can_be_asked_again(world: World, run: Run) -> None:
    traffic_back(run, "once")
    world.shift(10)
    traffic_back(run, "twice")
    assert world.weights == LIVE


@pytest.mark.parametrize("forever", [False, True])
def test_without_a_store_traffic_goes_back_and_the_spool_says_so(world: World, run: Run, *, forever: bool) -> None:
    with pytest.MonkeyPatch.context() as full:
        no_store(run, full)
        if forever:
            without_store(run.settings, run.plan, SERVICE, "bob says so", database=True)
        else:
            traffic_back(run, "bob says so", database=True)
    assert world.effects == [BACK]
    assert len(world.events()) == 1
    assert spool.merge(run.store, run.id, SERVICE) == 2
    assert (run.state().rolled_back, run.state().returned) == ("bob says so", "bob says so")
    (asked,) = world.said(Type.ROLLBACK_ASKED)
    assert asked.data["database"] is True, "what was asked for is not forgotten"


def test_of_several_plans_in_a_place_the_newest_counts_where_they_agree_on_live(world: World, run: Run) -> None:
    world.shift(0)
    newer = world.plan(approved=False)
    with pytest.raises(UsageError, match="so which run"):
        planned(world.settings(), "")
    assert planned(world.settings(), "", "production") == newer.plan
    swapped = newer.plan.model_copy(update={"live": newer.plan.candidate, "candidate": newer.plan.live})
    (newer.folder / "plan.json").write_text(swapped.model_dump_json())
    with pytest.raises(UsageError, match="so which run") as caught:
        planned(world.settings(), "", "production")
    assert "--to COLOUR" in caught.value.mend
    with pytest.raises(UsageError, match="Not sealed: none"):
        planned(world.settings(), "", "staging")


def test_the_intent_is_spooled_before_traffic_moves(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[int] = []
    world.at_effect = lambda _effect: lines.append(len(spool.waiting(run.store.folder, run.id)))
    no_store(run, monkeypatch)
    traffic_back(run, "bob says so")
    assert lines == [1]


def test_a_store_that_fails_after_traffic_went_back_is_spooled_for(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run.store.append

    def append(draft: object, **arguments: object) -> object:
        if world.effects:
            raise StoreError("database or disk is full")
        return real(draft, **arguments)  # type: ignore[arg-type]  # passed on as it came

    with pytest.MonkeyPatch.context() as full:
        full.setattr(run.store, "append", append)
        assert traffic_back(run, "bob says so")["weights"] == {"blue": 0, "green": 100}
    assert spool.merge(run.store, run.id, SERVICE) == 1
    assert run.state().returned == "bob says so"


@pytest.mark.parametrize("store", [True, False])
def test_a_dead_router_calls_for_a_person_and_nothing_claims_that_traffic_is_back(
    world: World, run: Run, *, store: bool
) -> None:
    world.broken.update({"router.set_weights": Fault.DOWN})
    with pytest.MonkeyPatch.context() as patch:
        if not store:
            no_store(run, patch)
        with pytest.raises(RollbackIncompleteError, match="by hand, now"):
            traffic_back(run, "bob says so")
    spool.merge(run.store, run.id, SERVICE)
    assert run.state().rolled_back == "bob says so"
    assert run.state().returned == ""


def test_a_return_is_left_to_another_run_that_is_in_charge(world: World, run: Run) -> None:
    run.store.take_lock(run.place, "another-run", "bob")
    return_traffic(run, "the process ended")
    assert world.effects == []
    assert "traffic left alone (the process ended): run another-run" in str(world.events()[-1].data["text"])


@pytest.mark.parametrize("held", [True, False])
def test_a_return_goes_ahead_where_the_lock_is_ours_or_nobodys(world: World, run: Run, *, held: bool) -> None:
    if held:
        run.take_lock()
    return_traffic(run, "the process ended")
    assert world.weights == LIVE
    assert run.state().returned == "the process ended"


def test_a_return_goes_ahead_where_the_store_cannot_say_whose_lock_it_is(world: World, run: Run) -> None:
    with pytest.MonkeyPatch.context() as full:
        no_store(run, full)
        return_traffic(run, "the disk is full")
    assert world.weights == LIVE
    assert spool.merge(run.store, run.id, SERVICE) == 1


# --- which run, when the store cannot say


def test_the_only_run_that_is_not_sealed_is_found_by_its_folder(run: Run) -> None:
    settings = run.settings
    for name in ("", run.id, "1", run.id[-4:]):
        assert planned(settings, name) == run.plan
    with pytest.raises(UsageError, match="which run"):
        planned(settings, "2")


def test_a_sealed_or_damaged_folder_is_no_candidate(world: World, run: Run) -> None:
    world.shift(0)
    sealed, damaged = world.plan(approved=False), world.plan(approved=False)
    (sealed.folder / SEAL).write_text("sealed", "utf-8")
    (damaged.folder / "plan.json").write_text("{", "utf-8")
    assert planned(run.settings, "") == run.plan


def test_two_candidates_are_named(world: World, run: Run) -> None:
    world.shift(0)
    other = world.plan(approved=False)
    with pytest.raises(UsageError, match=f"{run.id}.*{other.id}|{other.id}.*{run.id}"):
        planned(run.settings, "")
    assert planned(run.settings, other.id) == other.plan


# --- a store that is there, and of no use now


@pytest.fixture
def busy(run: Run) -> Iterator[None]:
    """Another process that began to write, and does not go on."""
    with closing(sqlite3.connect(run.store.folder / FILE)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


def test_a_store_that_another_process_keeps_busy_does_not_keep_traffic_waiting(
    world: World, run: Run, busy: None
) -> None:
    began = time.monotonic()
    traffic_back(run, "bob says so")
    assert time.monotonic() - began < run.store.patience, "it would have waited so long at the least"
    assert world.weights == LIVE
    assert [entry["type"] for entry in spool.waiting(run.store.folder, run.id)] == [
        "rollback.asked",
        "traffic.returned",
    ]
    assert world.again(run).state().rolled_back == "bob says so", "whoever looks knows it before it is merged"


def test_a_step_that_is_broken_off_does_not_wait_for_a_busy_store_either(world: World, run: Run, busy: None) -> None:
    return_traffic(run, "the process ended")
    assert world.weights == LIVE
    assert run.store.patience == PATIENCE


def test_a_journal_whose_end_is_damaged_keeps_no_traffic_where_it_is(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "_runs", [])  # the fakes read along, and would stumble over it as well
    with closing(sqlite3.connect(run.store.folder / FILE)) as connection, connection:
        connection.execute("UPDATE events SET line = ? WHERE seq = 1", (b"{}",))
    traffic_back(run, "bob says so")
    assert world.weights == LIVE
    assert len(spool.waiting(run.store.folder, run.id)) == 2
    return_traffic(run, "again")
