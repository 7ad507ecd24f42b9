"""What a person types when something has to be said of a run or an environment."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import Result

from deploykit import runner
from deploykit.errors import Exit
from deploykit.journal import clock, spool, store, witness
from deploykit.journal.events import Type
from deploykit.journal.state import Status
from deploykit.run import Run
from tests.world import LIVE, World

STEP = "blue-green.traffic/10"
Call = Callable[..., Result]


@pytest.fixture
def run(world: World) -> Run:
    return world.plan()


def unseen(run: Run) -> None:
    run.intend(item="blue-green.traffic", step=STEP, op="o", data={})


def gone(patch: pytest.MonkeyPatch, seconds: float = 901) -> None:
    real = clock.since
    patch.setattr(clock, "since", lambda then: real(then) + seconds)


# --- resolve


@pytest.mark.parametrize(
    ("flag", "word", "kind"),
    [("--happened", "happened", Type.STEP_HAPPENED), ("--did-not", "did not happen", Type.STEP_REJECTED)],
)
def test_an_unknown_step_is_told_by_status_and_settled_by_a_signature(
    world: World, run: Run, call: Call, flag: str, word: str, kind: Type
) -> None:
    unseen(run)
    said = call("status", "1").stdout
    assert f"unknown: {STEP}. Whoever looks there signs: deploykit resolve 1 {STEP} --happened, or --did-not" in said
    done = call("resolve", "1", STEP, flag, "--key", str(world.key("dev")), "-m", "looked at the router")
    assert done.exit_code == Exit.DONE, done.stderr
    assert f"{STEP} of {run.id} {word}, says dev@example.com. Next: deploykit resume 1" in done.stdout
    assert world.said(kind)[0].step == STEP
    assert "unknown: " not in call("status", "1").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((STEP,), Exit.USAGE, "say how it ended\n  → --happened or --did-not"),
        ((STEP, "--happened", "--key", "no-such-key"), Exit.USAGE, "there is no signing key"),
        (("blue-green.deploy", "--did-not"), Exit.USAGE, "has nothing to resolve"),
    ],
)
def test_what_is_wrong_with_a_resolution_is_told_and_nothing_is_written(
    world: World, run: Run, call: Call, words: tuple[str, ...], code: Exit, said: str
) -> None:
    unseen(run)
    events = len(world.events())
    done = call("resolve", "1", *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert len(world.events()) == events


# --- lock and freeze


def test_status_says_who_holds_the_lock_and_when_it_may_be_broken(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(call("status", "1", "--json").stdout)["lock"] == {}
    run.take_lock()
    said = call("status", "1").stdout
    assert f"lock: run {run.id} of olga@example.com (deploys v2) holds it since " in said
    assert "unlock" not in said
    done = call("unlock", "1", "-m", "gone")
    assert (done.exit_code, "counts as gone after 15 min" in done.stderr) == (Exit.REFUSED, True)
    gone(monkeypatch)
    assert f"so it counts as gone. If it is: deploykit unlock {run.id}, signed" in call("status", "1").stdout
    assert json.loads(call("status", "1", "--json").stdout)["lock"]["age"] > 900
    other = world.plan()
    refused = call("run", other.id)
    assert (refused.exit_code, f"run {run.id} of olga" in refused.stderr) == (Exit.REFUSED, True)
    assert "last heard of 15 min ago" in refused.stderr
    assert call("unlock", run.id, "-m", "gone", "--key", str(world.key("dev"))).exit_code == Exit.DONE
    other.take_lock()


def test_breaking_a_lock_needs_a_reason(run: Run, call: Call) -> None:
    assert call("unlock", "1").exit_code == Exit.USAGE


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_frozen_environment_refuses_forward_runs_and_says_until_when(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    done = call("freeze", "-e", "production", "--until", "2d", "--reason", "the sale")
    assert done.exit_code == Exit.DONE
    assert done.stdout.startswith("frozen: production is frozen until ")
    refused = call(command, "1")
    assert refused.exit_code == Exit.REFUSED
    assert "the sale\n  → wait, or `deploykit thaw -e production`; a rollback is not affected" in refused.stderr
    assert (
        f"freeze: production is frozen until {datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"
        in call("status", "1").stdout
    )
    assert call("rollback", "1", "--traffic-only").exit_code == Exit.DONE
    assert call("thaw", "-e", "production", "-m", "the sale is over").stdout.startswith("thawed: production")
    assert call("thaw", "-e", "production", "-m", "again").exit_code == Exit.USAGE
    monkeypatch.setattr(runner, "forward", lambda _run, _say: None)
    assert call(command, "1").exit_code == Exit.DONE


def test_freezes_are_listed_and_their_time_is_the_environments_own(world: World, call: Call) -> None:
    assert json.loads(call("freeze", "--json").stdout) == []
    made = call("freeze", "-e", "production", "--until", "2999-07-01T08:00", "-m", "the sale", "--json")
    assert json.loads(made.stdout)["until"] == "2999-07-01T06:00:00Z", "Berlin, in summer"
    (listed,) = json.loads(call("freeze", "--json").stdout)
    assert (listed["environment"], listed["reason"]) == ("production", "the sale")
    assert call("freeze").stdout.splitlines()[1].startswith("production   2999-07-01T06:00:00Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-e", "production"), "until when, and why?"),
        (("-e", "production", "--until", "3d"), "until when, and why?"),
        (("-e", "production", "--until", "Monday", "-m", "x"), "'Monday' is no time"),
        (("-e", "production", "--until", "2001-01-01", "-m", "x"), "2001-01-01 is over"),
        (("-e", "staging", "--until", "3d", "-m", "x"), "there is no environment 'staging'"),
    ],
)
def test_a_freeze_says_until_when_and_why(call: Call, words: tuple[str, ...], said: str) -> None:
    done = call("freeze", *words)
    assert (done.exit_code, said in done.stderr) == (Exit.USAGE, True), done.stderr


# --- abort and note


def test_a_run_that_touched_nothing_is_ended_and_lets_the_next_one_on(world: World, run: Run, call: Call) -> None:
    run.take_lock()
    done = call("abort", "1", "-m", "the release is withdrawn")
    assert (done.exit_code, done.stdout) == (Exit.DONE, f"aborted: {run.id}. Next: deploykit close 1\n")
    assert run.state().status is Status.ABORTED
    assert world.said(Type.RUN_ENDED)[0].data["reason"] == "the release is withdrawn"
    refused = call("run", "1")
    assert (refused.exit_code, "the run is aborted" in refused.stderr) == (Exit.REFUSED, True)
    world.plan().take_lock()
    assert call("close", run.id).exit_code == Exit.DONE


@pytest.mark.parametrize("end", [None, Type.STEP_UNKNOWN, Type.STEP_HAPPENED])
def test_a_run_that_touched_production_or_may_have_is_rolled_back_instead(
    run: Run, call: Call, end: Type | None
) -> None:
    unseen(run)
    if end is not None:
        run.append(end, item="blue-green.traffic", step=STEP, op="o")
    done = call("abort", "1", "-m", "no")
    assert done.exit_code == Exit.REFUSED
    assert f"production was touched, or may have been: {STEP}\n  → `deploykit rollback {run.id}`" in done.stderr
    assert run.state().status is Status.OPEN


def test_what_was_refused_by_the_outside_did_not_touch_production(run: Run, call: Call) -> None:
    unseen(run)
    run.append(Type.STEP_REJECTED, item="blue-green.traffic", step=STEP, op="o")
    assert call("abort", "1", "-m", "no").exit_code == Exit.DONE


def test_a_run_under_way_is_not_ended_under_its_process(world: World, run: Run, call: Call) -> None:
    with world.again(run).alone():
        done = call("abort", "1", "-m", "no")
    assert (done.exit_code, "another process acts" in done.stderr) == (Exit.REFUSED, True)


def test_what_happened_is_written_down(world: World, run: Run, call: Call) -> None:
    done = call("note", "1", "the cache was cold for a minute")
    assert done.stdout == f"noted: event {len(world.events())} of {run.id}\n"
    event = world.events()[-1]
    assert (event.actor.kind, event.data) == ("person", {"text": "the cache was cold for a minute"})
    assert call("note", "1", "  ").exit_code == Exit.USAGE
    run.append(Type.RUN_SEALED)
    early = call("note", "1", "too late")
    assert (early.exit_code, "deploykit close 1" in early.stderr) == (Exit.USAGE, True), "sealed in the journal alone"


# --- a rollback past a store that another process keeps to itself


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_rollback_does_not_wait_for_a_store_that_another_process_keeps_busy(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world.shift(50)
    monkeypatch.setattr(world, "_runs", [])  # the fakes read along, and would wait themselves
    with closing(sqlite3.connect(run.store.folder / store.FILE)) as other:
        other.execute(f"BEGIN {kind}")
        began = time.monotonic()
        done = call("rollback", run.id, "--traffic-only", "-m", "errors")
        assert time.monotonic() - began < store.PATIENCE, "it would have waited so long at the least"
    assert (done.exit_code, world.weights) == (Exit.DONE, LIVE), done.stderr
    assert [entry["type"] for entry in spool.waiting(run.store.folder, run.id)] == [
        "rollback.asked",
        "traffic.returned",
    ]
    assert run.state().rolled_back == "errors"


def test_a_rollback_past_a_damaged_journal_sends_traffic_back_and_says_what_is_left(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.shift(50)
    monkeypatch.setattr(world, "_runs", [])
    with closing(sqlite3.connect(run.store.folder / store.FILE)) as other, other:
        other.execute("UPDATE events SET line = ?", (b"{}",))
    done = call("rollback", run.id)
    assert (done.exit_code, world.weights) == (Exit.ROLLBACK_INCOMPLETE, LIVE)
    assert "the journal is damaged" in done.stderr


# --- verify


def test_verify_holds_an_archive_against_those_outside(world: World, run: Run, call: Call) -> None:
    assert call("abort", "1", "-m", "withdrawn").exit_code == Exit.DONE
    assert call("close", "1").exit_code == Exit.DONE
    folder, signers = str(run.folder), str(world.home / "allowed_signers")
    ask = ("verify", folder, "--allowed-signers", signers, "--json")
    last = run.events()[-1]
    said = json.loads(call(*ask, "--witness", witness.sentence(run.events()[2])).stdout)
    assert said["ok"]
    assert f"no witness but the seal has seen events 4 to {last.seq}" in str(said["warnings"])
    forged = witness.sentence(last.model_copy(update={"seq": last.seq + 1}))
    done = call(*ask, "--witness", witness.sentence(last), "--witness", forged)
    assert (done.exit_code, "a witness saw event" in str(json.loads(done.stdout)["wrong"])) == (Exit.FAILED, True)
