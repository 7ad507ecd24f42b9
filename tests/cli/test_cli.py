"""The command line at its edge: exit codes, what it says and to whom, and JSON for scripts."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from deploykit import archive, cli, runner
from deploykit.checklist import checklist
from deploykit.cli import COMMANDS, common
from deploykit.demo.stage import Stage
from deploykit.errors import DeploykitError, Exit, StoreError, UsageError, Waiting
from deploykit.journal import spool
from deploykit.journal.events import Type
from deploykit.journal.store import FILE
from deploykit.model import Outcome
from deploykit.model import Result as ItemResult
from deploykit.run import Run
from tests.world import LIVE, SERVICE, Fault, World

BACK = "weights blue 0, green 100"
EVIL = "\x1b[31mred\x9b31m\u202e\nblue-green.health  pass  all is well"


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


Call = Callable[..., Result]


# --- usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status", "nope"), "'nope' is not a run\n  → `deploykit runs` lists them"),
        (
            ("plan", "-e", "staging", "-r", "v2"),
            "deploykit.toml: there is no environment 'staging'\n  → use one of: prod",
        ),
        (
            ("plan", "-e", "production", "-r", "v9"),
            "--release: there is no release 'v9': no such ref: v9\n  → name a tag",
        ),
        (("sign", "1", "plan", "--refuse", "--override"), "--refuse and --override say opposite things\n  → give one"),
        (("sign", "1", "nope"), "no item 'nope'"),
        (("sign", "1", "plan", "--key", "no-such-key"), "there is no signing key\n  → "),
        (("rollback",), "which run? Under way: none\n  → `deploykit rollback RUN`"),
        (("rollback", "7"), "'7' is not a run"),
    ],
)
def test_a_wrong_argument_is_told_with_its_mend_and_exit_code_2(
    world: World, run: Run, call: Call, words: tuple[str, ...], said: str
) -> None:
    events = len(world.events())
    done = call(*words)
    assert done.exit_code == Exit.USAGE
    assert said in done.stderr
    assert done.stdout == ""
    assert (world.effects, len(world.events())) == ([], events)


@pytest.mark.parametrize(
    "words",
    [
        ("nope",),
        ("status",),
        ("plan", "-e", "production"),
        ("run", "1", "2"),
        ("runs", "--wrong"),
        ("verify", "no-such-folder"),
        ("demo", "--rate", "many"),
    ],
)
def test_what_click_refuses_is_exit_code_2_as_well(call: Call, words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.exit_code == Exit.USAGE
    assert "Usage: deploykit" in done.stderr


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_every_command_explains_itself(call: Call, command: str) -> None:
    done = call(*filter(None, (command, "-h")))
    assert done.exit_code == 0
    assert "Usage: deploykit" in done.stdout


def test_help_lists_every_command_in_a_line(call: Call) -> None:
    said = call("--help").stdout
    assert all(f"  {name} " in said for name in COMMANDS)
    assert "4 held" in said
    assert "7 rollback incomplete" in said


@pytest.mark.parametrize("error", list(DeploykitError.__subclasses__()), ids=lambda e: e.__name__)
def test_a_deliberate_error_ends_with_its_own_exit_code(
    call: Call, run: Run, monkeypatch: pytest.MonkeyPatch, error: type[DeploykitError]
) -> None:
    def fail(*_: object) -> None:
        raise error(EVIL, where="here", mend="do this")

    monkeypatch.setattr(runner, "forward", fail)
    done = call("run", run.id)
    assert done.exit_code == error.exit_code
    assert done.stderr.startswith(f"{error.__name__}: here: ")
    assert "→ do this" in done.stderr
    assert not {"\x1b", "\x9b", "\u202e"} & set(done.stderr)


def test_settings_that_are_missing_or_wrong_are_exit_code_2_in_a_real_process(world: World) -> None:
    def typed(settings: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploykit", *words]
        environment = {**os.environ, "DEPLOYKIT_SETTINGS": settings}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = typed("no-such-file", "runs")
    assert done.returncode == Exit.USAGE
    assert "UsageError: DEPLOYKIT_SETTINGS: no-such-file is not a file" in done.stderr
    world.edit("[shift]", "[shift]\nsurprise = 1")
    done = typed(str(world.settings_file), "runs", "--json")
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "shift.surprise: unknown key" in done.stderr
    assert "Traceback" not in done.stderr


# --- plan, sign, run


def test_a_plan_prints_what_has_to_be_approved(world: World, call: Call) -> None:
    done = call("plan", "-e", "production", "-r", "v2")
    assert done.exit_code == Exit.DONE
    assert "release  v2 (ccccccccc) to shop in production" in done.stdout
    assert "traffic  10 % → 50 % → 100 %, then 1 min of watch (time scale 6000)" in done.stdout
    assert done.stdout.rstrip().endswith("deploykit sign 1 plan")


def test_a_plan_in_json_is_what_a_script_needs(world: World, call: Call) -> None:
    said = json.loads(call("plan", "-e", "production", "-r", "v2", "--json").stdout)
    run = Run.find(world.settings(), said["run"], SERVICE)
    assert said == {"run": run.id, "number": 1, "plan": run.plan.hash, "folder": str(run.folder)}
    run.store.close()


def test_a_signature_is_recorded_and_a_key_is_found_from_where_one_stands(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.home / "keys")
    done = call("sign", "1", "plan", "--key", "ann", "-m", "looked at it")
    assert done.exit_code == Exit.DONE
    assert done.stdout.startswith(f"signed: plan of {run.id} by ann@example.com, to be used until ")
    assert run.state().decisions["plan"].comment == "looked at it"


def test_a_refusal_is_a_refusal(world: World, run: Run, call: Call) -> None:
    key = str(world.key("bob"))
    assert call("sign", "1", "plan", "--key", key, "--refuse").exit_code == Exit.REFUSED, "without a reason"
    assert call("sign", "1", "plan", "--key", key, "--refuse", "-m", "Friday").stdout.startswith("refused: plan")
    done = call("run", "1")
    assert (done.exit_code, "Friday" in done.stderr) == (Exit.REFUSED, True)


def test_without_a_key_one_is_asked_for(world: World, call: Call) -> None:
    world.edit('key = "keys/olga"\n', "")
    planned = world.plan(approved=False)
    done = call("sign", planned.id, "plan")
    assert done.exit_code == Exit.USAGE
    assert "--key: no key is named" in done.stderr


@pytest.mark.parametrize("command", ["run", "resume"])
def test_without_an_approval_a_run_waits(run: Run, call: Call, command: str) -> None:
    done = call(command, "1")
    assert done.exit_code == Exit.WAITING
    assert f"deploykit sign {run.id} plan" in done.stderr


def test_a_run_that_is_done_says_what_comes_next(run: Run, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "forward", lambda _run, say: say("phase watch"))
    done = call("run", "1")
    assert (done.exit_code, done.stdout) == (0, "done: v2 has all traffic. Next: deploykit close 1\n")
    assert done.stderr == "phase watch\n"


# --- status, runs, checklist


def test_status_names_who_is_waited_for_and_every_item(run: Run, call: Call) -> None:
    said = call("status", "1").stdout
    assert said.startswith(f"{run.id}: open\n")
    assert "who may approve it: ann@example.com, bob@example.com" in said
    assert all(item.id in said for item in checklist().item)


def test_status_in_json_has_a_pinned_shape(world: World, run: Run, call: Call) -> None:
    run.settle(ItemResult(item="blue-green.deploy", outcome=Outcome.PASS, summary="well"))
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="o", data={})
    said = json.loads(call("status", "1", "--json").stdout)
    assert list(said) == [
        "run", "number", "release", "status", "sealed", "waiting_for", "to_sign", "who", "to_review", "void",
        "rolled_back", "returned", "unknown", "lock", "freeze", "progress", "notebooks", "weights", "guard", "items",
        "decisions",
    ]  # fmt: skip
    assert (said["run"], said["number"], said["status"], said["sealed"]) == (run.id, 1, "open", False)
    assert said["unknown"] == ["blue-green.traffic/10"]
    assert (said["notebooks"], said["weights"], said["guard"]) == ([], "whole: blue 0, green 100", "not there")
    done = {"item": "blue-green.deploy", "phase": "blue-green", "outcome": "pass", "summary": "well"}
    assert [item for item in said["items"] if item["outcome"]] == [done]
    assert [item["item"] for item in said["items"]] == [item.id for item in checklist().item]


def test_text_from_outside_cannot_forge_a_line_or_reach_the_terminal(run: Run, call: Call) -> None:
    run.settle(ItemResult(item="blue-green.deploy", outcome=Outcome.FAIL, summary=EVIL))
    run.append(Type.ROLLBACK_ASKED, data={"reason": EVIL})
    run.append(Type.TRAFFIC_RETURNED, data={"reason": EVIL})
    said = call("status", "1").stdout
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
    assert [line for line in said.splitlines() if line.startswith("blue-green.health")] == ["blue-green.health"]


def test_runs_are_listed_newest_first_also_when_a_folder_was_moved_away(world: World, run: Run, call: Call) -> None:
    other = world.plan(approved=False)
    run.append(Type.RUN_ENDED, data={"status": "done"})
    run.folder.rename(world.home / "elsewhere")
    listed = json.loads(call("runs", "--json").stdout)
    assert [(row["number"], row["run"], row["status"], row["sealed"]) for row in listed] == [
        (2, other.id, "open", False),
        (1, run.id, "done", False),
    ]
    assert set(listed[0]) == {"run", "number", "service", "environment", "release", "status", "sealed"}
    table = call("runs").stdout.splitlines()
    assert table[0].split() == ["number", "run", "release", "status", "sealed"]
    assert table[2].split() == ["1", run.id, "v2", "done", "False"]


def test_the_checklist_is_listed_without_our_insides(call: Call) -> None:
    listed = json.loads(call("checklist", "--json").stdout)
    assert [item["id"] for item in listed] == [item.id for item in checklist().item]
    assert set(listed[0]) == {
        "id", "phase", "kind", "title", "proof", "provider", "touches", "production", "after", "watched", "when",
        "instead", "automated",
    }  # fmt: skip
    assert call("checklist").stdout.splitlines()[0].split() == ["item", "kind", "proof"]


def test_a_report_is_written_where_it_is_asked_for(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.home)
    assert call("report", "1", "-o", "out.html").stdout == "out.html\n"
    assert (world.home / "out.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert call("report", "1").stdout == f"{run.folder / 'report.html'}\n"


def test_a_sealed_report_is_not_written_again(run: Run, call: Call) -> None:
    run.append(Type.RUN_SEALED)
    assert call("report", "1").stdout == f"{run.folder / 'report.html'}\n"
    assert not (run.folder / "report.html").exists()


def test_a_folder_that_does_not_hold_is_exit_code_1(run: Run, call: Call) -> None:
    done = call("verify", str(run.folder))
    assert done.exit_code == Exit.FAILED
    assert "✘ does not hold" in done.stdout
    said = json.loads(call("verify", str(run.folder), "--json").stdout)
    assert said["ok"] is False
    assert said["wrong"]


# --- rollback


@pytest.fixture
def split(world: World, run: Run) -> Run:
    """A run under way."""
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="o", data={})
    world.shift(10)
    return run


@pytest.mark.parametrize("words", [(), ("1",)])
def test_traffic_goes_back_before_anything_else(
    world: World, split: Run, call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    then: list[dict[str, int]] = []
    monkeypatch.setattr(runner, "roll_back", lambda _run, _say: then.append(dict(world.weights)))  # type: ignore[arg-type]  # the keys are colours
    done = call("rollback", *words, "-m", "it burns")
    assert done.exit_code == Exit.DONE
    assert then == [LIVE]
    assert done.stdout.startswith("traffic is on green (v1), after ")
    assert done.stdout.endswith(f"rolled back: {split.id}. Next: deploykit close 1\n")
    assert split.state().rolled_back == "it burns"


def test_traffic_only_leaves_the_rest(world: World, split: Run, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "roll_back", lambda *_: pytest.fail("asked for traffic only"))
    assert call("rollback", "--traffic-only").exit_code == Exit.DONE
    assert world.weights == LIVE


def test_a_dead_router_is_exit_code_7_with_what_to_do_by_hand(world: World, split: Run, call: Call) -> None:
    world.broken["router.set_weights"] = Fault.DOWN
    done = call("rollback")
    assert done.exit_code == Exit.ROLLBACK_INCOMPLETE
    assert "set green to 100 and blue to 0 at the router by hand, now" in done.stderr


def test_a_sealed_run_is_not_rolled_back(world: World, split: Run, call: Call) -> None:
    split.append(Type.RUN_SEALED)
    assert call("rollback", "1").exit_code == Exit.USAGE
    assert world.effects == []


def test_two_runs_under_way_have_to_be_told_apart(world: World, split: Run, call: Call) -> None:
    world.shift(0)
    other = world.plan(approved=False)
    split.release_lock()
    other.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    done = call("rollback")
    assert done.exit_code == Exit.USAGE
    assert split.id in done.stderr
    assert other.id in done.stderr


def test_another_runs_missing_folder_does_not_keep_one_from_going_back(world: World, run: Run, call: Call) -> None:
    run.append(Type.RUN_SEALED)
    run.folder.rename(world.home / "elsewhere")
    other = world.plan(approved=False)
    other.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="o", data={})
    world.shift(10)
    assert call("rollback", "--traffic-only").exit_code == Exit.DONE
    assert world.weights == LIVE


@pytest.mark.parametrize("words", [(), ("1",)])
@pytest.mark.parametrize("only", [True, False])
def test_without_a_store_traffic_goes_back_all_the_same(
    world: World, split: Run, call: Call, words: tuple[str, ...], *, only: bool
) -> None:
    store = split.store.folder / FILE
    kept = store.read_bytes()
    split.store.close()
    store.write_bytes(b"this is no database, and no journal either" * 100)
    world._runs.clear()
    done = call("rollback", *words, *(("--traffic-only",) if only else ()), "-m", "it burns")
    assert world.weights == LIVE
    assert "the journal cannot be used: file is not a database" in done.stderr
    assert "traffic is on green (v1)" in done.stdout
    assert done.exit_code == (Exit.DONE if only else Exit.ROLLBACK_INCOMPLETE)
    if not only:
        assert f"deploykit rollback {split.id}" in done.stderr
    store.write_bytes(kept)
    assert spool.merge(split.store, split.id, SERVICE) == 2
    assert split.state().rolled_back == "it burns"
    split.store.close()


PLACE = ("--service", "shop", "--environment", "production")


@pytest.mark.parametrize("kept", [True, False])
def test_a_place_is_enough_to_find_the_run_that_has_its_lock(
    world: World, split: Run, call: Call, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    """Another one was begun since; where nobody has the lock, it is the newest."""
    monkeypatch.setattr(runner, "roll_back", lambda *_: None)
    world.shift(0)
    other = world.plan(approved=False)
    split.release_lock()
    other.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    other.release_lock()
    if kept:
        split.take_lock()
    world.shift(10)
    done = call("rollback", *PLACE, "-m", "it burns")
    assert done.exit_code == Exit.DONE, done.stderr
    assert world.weights == LIVE
    asked, left = (split, other) if kept else (other, split)
    assert (asked.state().rolled_back, left.state().rolled_back) == ("it burns", "")


@pytest.mark.parametrize("harm", ["no database", "broken chain", "gone"])
def test_a_place_is_enough_where_the_journal_cannot_be_read(world: World, split: Run, call: Call, harm: str) -> None:
    store = split.store.folder / FILE
    kept = store.read_bytes()
    split.store.close()
    if harm == "broken chain":
        with closing(sqlite3.connect(store)) as connection, connection:
            connection.execute("UPDATE events SET line = 'no event'")
    else:
        store.write_bytes(b"this is no database, and no journal either" * 100 if harm == "no database" else b"")
    world._runs.clear()
    done = call("rollback", *PLACE, "--database", "-m", "it burns")
    assert world.weights == LIVE
    assert done.exit_code == Exit.ROLLBACK_INCOMPLETE
    store.write_bytes(kept)
    assert spool.merge(split.store, split.id, SERVICE) == 2
    (asked,) = [event for event in split.events() if event.type is Type.ROLLBACK_ASKED]
    assert (asked.data["reason"], asked.data["database"]) == ("it burns", True)
    split.store.close()


def test_without_a_run_traffic_goes_where_somebody_says_and_the_spool_says_so(world: World, call: Call) -> None:
    world.shift(30)
    done = call("rollback", *PLACE)
    assert done.exit_code == Exit.USAGE
    assert "no run is under way in production, so who is live?" in done.stderr
    assert "deploykit rollback -e production --to COLOUR" in done.stderr
    done = call("rollback", "-e", "production", "--to", "green", "-m", "by hand")
    assert done.exit_code == Exit.DONE
    assert done.stdout.startswith("traffic is on green, after ")
    assert world.weights == LIVE
    spooled = sorted((world.settings().path(world.settings().state) / "spool").glob("*-shop-production-*@*.json"))
    said = [json.loads(path.read_text("utf-8")) for path in spooled]
    assert [entry["type"] for entry in said] == ["rollback.asked", "traffic.returned"]
    assert said[1]["data"]["before"] == {"blue": 30, "green": 70}


def test_a_router_that_cannot_be_made_to_says_which_weights_to_set_by_hand(world: World, call: Call) -> None:
    world.broken["router.set_weights"] = Fault.LYING
    world.shift(30)
    done = call("rollback", "-e", "production", "--to", "green")
    assert done.exit_code == Exit.ROLLBACK_INCOMPLETE
    assert "set green to 100 and blue to 0 at the router by hand, now" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1", "-e", "production"), "a run is of one environment already"),
        (("1", "--to", "green"), "a run is of one environment already"),
        (("--service", "shop"), "which environment?"),
        (("--to", "green"), "which environment?"),
        (("--service", "shopp", "-e", "production"), "these settings are of the service shop, not of shopp"),
        (("-e", "prod"), "there is no environment 'prod'"),
        (("-e", "production", "--to", "green", "--database"), "no run says which migrations"),
    ],
)
def test_what_is_to_go_back_is_said_in_one_way(
    world: World, split: Run, call: Call, words: tuple[str, ...], said: str
) -> None:
    done = call("rollback", *words)
    assert done.exit_code == Exit.USAGE
    assert said in done.stderr
    assert world.effects == []


@pytest.mark.parametrize("taken", [True, False])
def test_migrations_that_are_left_are_a_question_to_a_person(
    world: World, split: Run, call: Call, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    monkeypatch.setattr(runner, "roll_back", lambda *_: None)
    split.intend(item="database.migrate", step="database.migrate/0002", op="o", data={})
    split.append(Type.STEP_HAPPENED, item="database.migrate", step="database.migrate/0002", op="o")
    done = call("rollback", *(("--database",) if taken else ()))
    assert done.exit_code == Exit.DONE
    assert ("still applied: database.migrate/0002" in done.stdout) is not taken
    assert ("deploykit rollback 1 --database" in done.stdout) is not taken


def test_a_store_that_fails_in_the_rest_of_it_is_an_incomplete_rollback(
    world: World, split: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("database or disk is full", where="store.sqlite3")

    monkeypatch.setattr(runner, "roll_back", full)
    done = call("rollback")
    assert done.exit_code == Exit.ROLLBACK_INCOMPLETE
    assert "RollbackIncompleteError: store.sqlite3: traffic is on green" in done.stderr
    assert world.weights == LIVE


# --- close


def test_closing_merges_what_was_spooled_first(
    world: World, run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.write(run.store.folder, run.id, SERVICE, Type.TRAFFIC_RETURNED, {"reason": "the guard did"})
    sealed: list[str] = []
    monkeypatch.setattr(archive, "close", lambda found: sealed.append(found.state().returned))
    done = call("close", "1")
    assert (done.exit_code, sealed) == (0, ["the guard did"])
    assert f"deploykit verify {run.folder}" in done.stdout


def test_what_is_not_documented_is_not_sealed(run: Run, call: Call) -> None:
    done = call("close", "1")
    assert done.exit_code == Exit.REFUSED
    assert "blue-green.deploy has no outcome" in done.stderr


# --- telling


def test_passing_lines_are_kept_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    tell = common.Teller()
    tell("phase one")
    for number in range(5):
        tell(f"  … {number}")
    tell("\x1b[31mphase two")
    assert capsys.readouterr().err.splitlines() == ["phase one", "  … 0", "phase two"]


def test_on_a_terminal_a_passing_line_is_replaced_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.echo", lambda text, *, nl, **_: said.append(text + ("\n" if nl else "")))
    tell = common.Teller()
    for line in ("phase one", "  … 1", "  … 2" + "x" * 500, "done"):
        tell(line)
    assert said[0] == "phase one\n"
    assert said[1] == "  … 1"
    assert said[2].startswith("\r\033[K  … 2x")
    assert len(said[2]) < 500
    assert said[3] == "\r\033[Kdone\n"


# --- the demo, where it cannot be played


def test_without_the_sandbox_the_demo_names_its_extra(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "deploykit.sandbox", None)
    done = call("demo", "--home", str(tmp_path / "demo"))
    assert done.exit_code == Exit.USAGE
    assert "the sandbox is not installed" in done.stderr
    assert "pip install 'deploykit-runbooks[sandbox]'" in done.stderr


def test_a_sandbox_that_does_not_start_is_told_and_nothing_is_written(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from deploykit import sandbox  # noqa: PLC0415 - only this test needs the extra

    def taken(*_: object, **__: object) -> None:
        raise sandbox.SandboxError("the port is taken", "127.0.0.1:5432", "end what listens there")

    monkeypatch.setattr(sandbox.Sandbox, "start", taken)
    done = call("demo", "--home", str(tmp_path / "demo"))
    assert done.exit_code == Exit.USAGE
    assert "the port is taken: 127.0.0.1:5432. end what listens there" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_a_command_that_ends_otherwise_stops_the_demo(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    unused: Any = None
    stage = Stage(world.settings_file, unused, unused)
    stage.type(Exit.DONE, "runs")
    with pytest.raises(DeploykitError, match=r"`deploykit status` ended with 2, expected 0 \(done\)") as caught:
        stage.type(Exit.DONE, "status", "nope")
    assert "sandbox's logs" in caught.value.mend
    assert "$ deploykit status nope" in capfd.readouterr().out


def test_the_errors_that_the_help_names_are_those_that_there_are() -> None:
    codes = {error.exit_code for error in (UsageError, Waiting)}
    assert codes == {Exit.USAGE, Exit.WAITING}
    said = cli.cli.help or ""
    assert all(f"{code.value} " in said for code in Exit)
