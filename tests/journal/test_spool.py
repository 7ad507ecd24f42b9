"""What a rollback writes when the store cannot: never lost, never twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from deploykit import redact
from deploykit.errors import StoreError
from deploykit.journal import spool
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.model import canonical, sha256
from deploykit.run import Run
from tests.world import SERVICE, World

GUARD = Actor(kind="guard", id="pid-1")


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


def files(run: Run) -> list[Path]:
    return sorted((run.store.folder / "spool").glob(f"{run.id}@*.json"))


def lines(event: Event) -> list[dict[str, Any]]:
    """The lines that a merge took in, as its event holds them."""
    found: Any = event.data["lines"]
    return list(found)


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    return fail


def write(run: Run, kind: Type, reason: str) -> None:
    spool.write(run.store.folder, run.id, GUARD, kind, {"reason": reason})


def test_without_a_spool_there_is_nothing_to_merge(world: World, run: Run) -> None:
    assert spool.merge(run.store, run.id, SERVICE) == 0
    assert len(world.events()) == 1
    assert not (run.store.folder / "spool").exists()


def test_what_was_spooled_becomes_one_event_and_what_it_means(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    write(run, Type.TRAFFIC_RETURNED, "errors, too")
    assert spool.merge(run.store, run.id, SERVICE) == 2
    merged, asked, returned = world.events()[1:]
    assert (merged.type, merged.actor) == (Type.SPOOL_MERGED, SERVICE)
    assert [line["type"] for line in lines(merged)] == ["rollback.asked", "traffic.returned"]
    assert (asked.actor, returned.actor) == (GUARD, GUARD)
    assert returned.data["spooled_at"] == lines(merged)[1]["at"]
    assert (run.state().rolled_back, run.state().returned) == ("errors", "errors, too")


def test_it_is_merged_once(world: World, run: Run) -> None:
    write(run, Type.TRAFFIC_RETURNED, "the guard did")
    assert [spool.merge(run.store, run.id, SERVICE) for _ in range(2)] == [1, 0]
    assert len(world.said(Type.TRAFFIC_RETURNED)) == 1


def test_a_second_spool_is_merged_too(world: World, run: Run) -> None:
    for reason in ("first", "second"):
        write(run, Type.TRAFFIC_RETURNED, reason)
        spool.merge(run.store, run.id, SERVICE)
    assert [event.data["reason"] for event in world.said(Type.TRAFFIC_RETURNED)] == ["first", "second"]


def test_a_merge_that_could_not_be_committed_happens_later(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    with pytest.MonkeyPatch.context() as full:
        full.setattr(run.store, "append", raising(StoreError("full")))
        with pytest.raises(StoreError):
            spool.merge(run.store, run.id, SERVICE)
    assert len(world.events()) == 1
    assert spool.merge(run.store, run.id, SERVICE) == 1


def test_a_merge_that_was_killed_before_it_put_its_files_away_is_not_done_again(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(Path, "rename", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            spool.merge(run.store, run.id, SERVICE)
    write(run, Type.TRAFFIC_RETURNED, "written after the kill")
    assert spool.merge(run.store, run.id, SERVICE) == 1
    kinds = [event.type for event in world.events()[1:]]
    assert kinds == [Type.SPOOL_MERGED, Type.ROLLBACK_ASKED, Type.SPOOL_MERGED, Type.TRAFFIC_RETURNED]
    assert files(run) == []


def test_half_an_entry_is_kept_as_it_is_and_means_nothing(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    (torn,) = files(run)
    half = torn.read_bytes()[:40]
    torn.write_bytes(half)
    write(run, Type.TRAFFIC_RETURNED, "the guard did")
    assert spool.merge(run.store, run.id, SERVICE) == 2
    (merged,) = world.said(Type.SPOOL_MERGED)
    assert lines(merged)[0] == {"torn": half.decode()}
    assert merged.data["head"] == sha256(half + canonical(lines(merged)[1]) + b"\n")
    assert (run.state().rolled_back, run.state().returned) == ("", "the guard did")


def test_what_is_spooled_counts_before_it_is_merged(world: World, run: Run) -> None:
    assert run.state().rolled_back == ""
    write(run, Type.ROLLBACK_ASKED, "errors")
    write(run, Type.TRAFFIC_RETURNED, "errors, too")
    assert (run.state().rolled_back, run.state().returned) == ("errors", "errors, too")
    assert len(world.events()) == 1


def test_writing_an_entry_waits_for_nobody_who_merges(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "before")
    real = run.store.append

    def append(*drafts: Draft) -> Event:
        write(run, Type.TRAFFIC_RETURNED, "while it merged")
        return real(*drafts)

    with pytest.MonkeyPatch.context() as meanwhile:
        meanwhile.setattr(run.store, "append", append)
        assert spool.merge(run.store, run.id, SERVICE) == 1
    assert spool.merge(run.store, run.id, SERVICE) == 1
    assert [e.data["reason"] for e in world.said(Type.TRAFFIC_RETURNED)] == ["while it merged"]


def test_another_runs_entries_are_left_alone(world: World, run: Run) -> None:
    spool.write(run.store.folder, f"{run.id}-longer", GUARD, Type.ROLLBACK_ASKED, {"reason": "of another"})
    assert spool.merge(run.store, run.id, SERVICE) == 0
    assert run.state().rolled_back == ""


def test_without_a_place_to_spool_it_goes_to_stderr(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.store.folder.joinpath("spool").write_text("a file where the folder belongs", "utf-8")
    write(run, Type.TRAFFIC_RETURNED, "the guard did")
    said = capsys.readouterr().err
    assert "neither store nor spool can be written" in said
    assert json.loads(said[said.index("{") :])["data"] == {"reason": "the guard did"}


def test_no_secret_is_spooled(run: Run) -> None:
    redact.learn("hunter2-hunter2")
    write(run, Type.TRAFFIC_RETURNED, "the token hunter2-hunter2 did not work")
    assert "hunter2" not in files(run)[0].read_text("utf-8")
