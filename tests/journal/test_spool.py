"""What a rollback writes when the store cannot: never lost, never twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploykit import redact
from deploykit.errors import StoreError
from deploykit.journal import spool
from deploykit.journal.events import Actor, Event, Type
from deploykit.run import Run
from tests.world import SERVICE, World

GUARD = Actor(kind="guard", id="pid-1")


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


def file(run: Run) -> Path:
    return run.store.folder / "spool" / f"{run.id}.jsonl"


def lines(event: Event) -> list[dict[str, Any]]:
    """The lines that a merge took in, as its event holds them."""
    found: Any = event.data["lines"]
    return list(found)


def write(run: Run, kind: Type, reason: str) -> None:
    spool.write(run.store.folder, run.id, GUARD, kind, {"reason": reason})


def test_without_a_spool_there_is_nothing_to_merge(world: World, run: Run) -> None:
    assert spool.merge(run.store, run.id, SERVICE) == 0
    assert len(world.events()) == 1
    assert not file(run).exists()


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


@pytest.mark.parametrize("dies_at", [1, 2, 3])
def test_a_merge_that_broke_off_goes_on_where_it_was(world: World, run: Run, dies_at: int) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    write(run, Type.TRAFFIC_RETURNED, "errors")
    real, asked = run.store.append, []

    def append(draft: object) -> object:
        asked.append(draft)
        if len(asked) == dies_at:
            raise StoreError("full")
        return real(draft)  # type: ignore[arg-type]  # passed on as it came

    with pytest.MonkeyPatch.context() as full:
        full.setattr(run.store, "append", append)
        with pytest.raises(StoreError):
            spool.merge(run.store, run.id, SERVICE)
    spool.merge(run.store, run.id, SERVICE)
    kinds = [event.type for event in world.events()[1:]]
    assert kinds == [Type.SPOOL_MERGED, Type.ROLLBACK_ASKED, Type.TRAFFIC_RETURNED]


def test_half_a_line_is_kept_as_it_is_and_the_next_one_is_whole(world: World, run: Run) -> None:
    write(run, Type.ROLLBACK_ASKED, "errors")
    whole = file(run).read_bytes()
    file(run).write_bytes(whole[: len(whole) // 2])
    write(run, Type.TRAFFIC_RETURNED, "the guard did")
    assert spool.merge(run.store, run.id, SERVICE) == 2
    (merged,) = world.said(Type.SPOOL_MERGED)
    assert lines(merged)[0] == {"torn": whole[: len(whole) // 2].decode()}
    assert (run.state().rolled_back, run.state().returned) == ("", "the guard did")


def test_without_a_place_to_spool_it_goes_to_stderr(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    file(run).parent.parent.joinpath("spool").write_text("a file where the folder belongs", "utf-8")
    write(run, Type.TRAFFIC_RETURNED, "the guard did")
    said = capsys.readouterr().err
    assert "neither store nor spool can be written" in said
    assert json.loads(said[said.index("{") :])["data"] == {"reason": "the guard did"}


def test_no_secret_is_spooled(run: Run) -> None:
    redact.learn("hunter2-hunter2")
    write(run, Type.TRAFFIC_RETURNED, "the token hunter2-hunter2 did not work")
    assert "hunter2" not in file(run).read_text("utf-8")
