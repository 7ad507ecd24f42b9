"""Signing as a person meets it: the three ways, an override that is heard and reviewed, and what is learnt later."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from deploykit import archive
from deploykit.errors import Exit
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Json, Outcome
from deploykit.providers import connect
from deploykit.run import Run
from deploykit.seal import SEAL, SUMS
from deploykit.signoff import armour, glass, kept, ssh
from deploykit.signoff.policy import commands, decide, prepare
from deploykit.signoff.statement import PLAN, Choice
from deploykit.verify import verify
from tests.signoff.team import settle
from tests.world import Fault, World

Call = Callable[..., Result]
ERRORS = "watch.errors"


@contextmanager
def agent(key: Path) -> Iterator[Path]:
    """An agent that holds a key which is nowhere else meanwhile; the public half is what is left."""
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:  # a socket's path has to be short
        socket, away = f"{folder}/socket", Path(folder) / "key"
        command = [str(shutil.which("ssh-agent")), "-D", "-a", socket]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSH_AUTH_SOCK", socket)
            try:
                add = ["ssh-add", "-q", str(key)]
                while subprocess.run(add, check=False, stderr=subprocess.DEVNULL).returncode != 0:
                    assert process.poll() is None
                shutil.move(key, away)
                yield key.with_suffix(".pub")
            finally:
                process.terminate()
                if away.exists():
                    shutil.move(away, key)


def by_terminal(world: World, run: Run, call: Call, tmp_path: Path) -> None:
    done = call("sign", str(run.plan.number), PLAN, "--key", str(world.key("ann")), "-m", "read it")
    assert done.exit_code == Exit.DONE, done.stderr
    assert f"plan     {run.plan.hash}" in done.stderr, "what is approved is shown first"


def by_agent(world: World, run: Run, call: Call, tmp_path: Path) -> None:
    """What the form in the notebook calls."""
    with agent(world.key("ann")) as public:
        decide(run, PLAN, DecisionKind.SIGNED, key=public, comment="read it")


def by_file(world: World, run: Run, call: Call, tmp_path: Path) -> None:
    file, number = tmp_path / "to sign.json", str(run.plan.number)
    public = str(world.key("ann").with_suffix(".pub"))
    said = call("sign", number, PLAN, "--key", public, "-m", "read it", "--statement", str(file))
    assert said.exit_code == Exit.DONE, said.stderr
    assert Type.DECISION_MADE not in [event.type for event in run.events()]
    _, there, here = said.stdout.splitlines()
    typed = there.removeprefix("there    ").replace(public, str(world.key("ann")))
    subprocess.run(["/bin/sh", "-c", typed], check=True, capture_output=True)
    words = here.removeprefix("here     deploykit ").replace("'", "").partition(f"sign {number} {PLAN} --signature ")
    done = call("sign", number, PLAN, "--signature", words[2])
    assert done.exit_code == Exit.DONE, done.stderr


def record(run: Run) -> dict[str, Any]:
    """What a decision left behind, but for what no two decisions share: run, moment, nonce and their hashes."""
    event = next(event for event in run.events() if event.type is Type.DECISION_MADE)
    made = run.state().decisions[PLAN]
    statement, signature = (run.folder / name for name in kept.names(made.statement))
    said = json.loads(statement.read_bytes())
    for part in ("run", "head", "made_at", "sign_by", "until", "nonce"):
        del said["predicate"][part]
    said["subject"][0]["digest"] = sorted(said["subject"][0]["digest"])
    data = {name: value for name, value in event.data.items() if name not in {"statement", "at", "until"}}
    parts = armour.parse(signature.read_bytes())
    return {"statement": said, "event": (event.type, event.item, event.actor, sorted(event.data), data), "key": parts}


def test_the_same_decision_makes_the_same_record_whichever_way_it_was_signed(
    world: World, call: Call, tmp_path: Path
) -> None:
    records = []
    for way in (by_terminal, by_agent, by_file):
        run = world.plan(approved=False)
        way(world, run, call, tmp_path)
        records.append(record(run))
    assert records[0] == records[1] == records[2]


def test_the_same_bytes_get_the_same_signature_from_key_agent_and_shell(world: World, tmp_path: Path) -> None:
    run = world.plan(approved=False)
    made = prepare(run, Choice(item=PLAN, kind=DecisionKind.SIGNED, signer="ann@example.com"))
    file = tmp_path / "it's"
    file.write_bytes(made.data)
    sign, _ = commands(run, made, file, world.key("ann"))
    subprocess.run(["/bin/sh", "-c", sign], check=True, capture_output=True)
    with agent(world.key("ann")) as public:
        by_the_agent = ssh.sign(made.data, public, made.namespace)
    here = ssh.sign(made.data, world.key("ann"), made.namespace)
    assert (tmp_path / "it's.sig").read_bytes() == by_the_agent == here


def test_what_is_brought_in_has_to_be_there_and_of_the_item_that_was_named(
    world: World, call: Call, tmp_path: Path
) -> None:
    run = world.plan(approved=False)
    settle(run, "finish.issues", Outcome.INCONCLUSIVE)
    missing = call("sign", "1", PLAN, "--signature", str(tmp_path / "none.sig"))
    assert (missing.exit_code, "--statement FILE writes it" in missing.stderr) == (Exit.USAGE, True)
    more = call("sign", "1", PLAN, "--signature", str(tmp_path / "none.sig"), "--refuse", "-m", "no")
    assert (more.exit_code, "says already who decides what" in more.stderr) == (Exit.USAGE, True)
    file = tmp_path / "statement"
    made = prepare(run, Choice(item=PLAN, kind=DecisionKind.SIGNED, signer="ann@example.com"))
    file.write_bytes(made.data)
    (tmp_path / "statement.sig").write_bytes(ssh.sign(made.data, world.key("ann"), made.namespace))
    other = call("sign", "1", "finish.issues", "--signature", f"{file}.sig")
    assert (other.exit_code, "signed for another item: plan" in other.stderr) == (Exit.REFUSED, True)
    assert run.state().decisions == {}


def test_one_takes_ones_own_word_back_and_nobody_elses(world: World, call: Call) -> None:
    run = world.plan()
    other = call("sign", "1", PLAN, "--revoke", "-m", "no", "--key", str(world.key("bob")))
    assert (other.exit_code, "ann@example.com takes it back" in other.stderr) == (Exit.REFUSED, True)
    own = call("sign", "1", PLAN, "--revoke", "-m", "wrong release", "--key", str(world.key("ann")))
    assert own.stdout == f"revoked: plan of {run.id} by ann@example.com\n"
    assert "is not approved yet" in call("status", "1").stdout


def test_status_names_who_is_waited_for_and_which_decision_no_longer_holds(world: World, call: Call) -> None:
    run = world.plan()
    settle(run, "finish.issues", Outcome.INCONCLUSIVE)
    settle(run, "database.migrations-reviewed", Outcome.INCONCLUSIVE)
    said = call("status", "1").stdout
    assert (
        "to sign: deploykit sign 1 database.migrations-reviewed  (waits for ann@example.com, bob@example.com)" in said
    )
    (line,) = [line for line in said.splitlines() if line.startswith("to sign: deploykit sign 1 finish.issues")]
    assert "olga@example.com" in line
    decide(run, "finish.issues", DecisionKind.SIGNED, key=world.key("olga"))
    found = json.loads(call("status", "1", "--json").stdout)
    assert (found["to_sign"], found["void"]) == (["database.migrations-reviewed"], [])
    signers = run.settings.path(run.settings.signing.allowed_signers)
    kept_keys = [line for line in signers.read_text("ascii").splitlines() if not line.startswith("olga@")]
    signers.write_text("\n".join(kept_keys) + "\n", "ascii")
    found = json.loads(call("status", "1", "--json").stdout)
    assert found["to_sign"] == ["database.migrations-reviewed", "finish.issues"]
    assert found["void"][0].startswith(
        "finish.issues: inconclusive: as it went; the decision on it does not hold: the key"
    )
    assert "void: finish.issues: " in call("status", "1").stdout


# --- breaking the glass


def broken(world: World, call: Call) -> tuple[Run, Result]:
    run = world.plan()
    settle(run, ERRORS, Outcome.FAIL, summary="errors rose")
    said = call("sign", "1", ERRORS, "--override", "-m", "known noise", "--key", str(world.key("ann")))
    assert said.exit_code == Exit.DONE, said.stderr
    return run, said


def alerts(world: World) -> list[str]:
    return [message.text for kind, message in world.messages if kind.startswith("override/")]


def test_an_override_is_told_to_the_team_in_the_thread_of_its_run_once(world: World, call: Call) -> None:
    run = world.plan()
    above = connect(run.settings, run.environment).chat.post("deployments", "it goes out", run=run.id, kind="announced")
    settle(run, ERRORS, Outcome.FAIL)
    decide(run, ERRORS, DecisionKind.OVERRIDDEN, key=world.key("ann"), comment="known\nnoise")
    (text,) = alerts(world)
    assert text.startswith("Glass broken: ann@example.com overrode watch.errors for shop v2 to production\n")
    assert "\nReason: known noise\nIt counts until " in text
    assert f"deploykit sign {run.plan.number} watch.errors --review -m WHAT" in text
    assert world.under[world.messages[-1][1].ts] == above.ts
    glass.alert_all(world.again(run))
    assert len(alerts(world)) == 1


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED, Fault.LOST])
def test_where_the_chat_does_not_answer_it_is_said_and_told_later(world: World, call: Call, fault: Fault) -> None:
    world.fail("chat.post", fault)
    run, said = broken(world, call)
    assert "#deployments could not be told that ann@example.com overrode watch.errors" in said.stderr
    assert run.events()[-1].type is Type.NOTE_WRITTEN
    assert run.state().opens(ERRORS), "the chat does not stand in the way of an emergency"
    glass.alert_all(world.again(run))
    assert len(alerts(world)) == 1


def test_a_review_stays_open_in_status_until_somebody_else_signs_it(world: World, call: Call) -> None:
    _, said = broken(world, call)
    assert said.stdout.splitlines()[-1] == "somebody else reviews it: deploykit sign 1 watch.errors --review -m WHAT"
    line = "to review: deploykit sign 1 watch.errors --review -m WHAT  (watch.errors was overridden by ann@example.com"
    assert line in call("status", "1").stdout
    (open_one,) = json.loads(call("status", "1", "--json").stdout)["to_review"]
    assert (open_one["item"], open_one["signer"], open_one["comment"]) == (ERRORS, "ann@example.com", "known noise")
    own = call("sign", "1", ERRORS, "--review", "-m", "fine", "--key", str(world.key("ann")))
    assert (own.exit_code, "may not review it" in own.stderr) == (Exit.REFUSED, True)
    mute = call("sign", "1", ERRORS, "--review", "--key", str(world.key("dev")))
    assert (mute.exit_code, "without a reason" in mute.stderr) == (Exit.REFUSED, True)
    done = call("sign", "1", ERRORS, "--review", "-m", "it was noise", "--key", str(world.key("dev")))
    assert done.stdout.startswith("reviewed: watch.errors of ")
    assert json.loads(call("status", "1", "--json").stdout)["to_review"] == []
    none = call("sign", "1", "watch.latency", "--review", "-m", "fine", "--key", str(world.key("dev")))
    assert (none.exit_code, "no override of watch.latency to review" in none.stderr) == (Exit.USAGE, True)


def test_a_row_that_says_that_it_was_reviewed_closes_nothing(world: World, call: Call) -> None:
    run, _ = broken(world, call)
    made = run.state().decisions[ERRORS]
    claim: Json = {"by": "person", "decision": made.model_dump(mode="json", exclude={"item"})}
    for said in ({}, claim):
        run.append(Type.DECISION_REVIEWED, item=ERRORS, data=said)
        assert len(json.loads(call("status", "1", "--json").stdout)["to_review"]) == 1
    decide(run, ERRORS, DecisionKind.REVIEWED, key=world.key("dev"), comment="it was")
    assert json.loads(call("status", "1", "--json").stdout)["to_review"] == []


def test_an_override_is_short_lived(world: World, call: Call) -> None:
    run, _ = broken(world, call)
    made = run.state().decisions[ERRORS]
    assert made.until is not None
    assert (made.until - made.at).total_seconds() == run.settings.signing.override_valid == 3600


# --- after the seal


def test_what_is_learnt_after_the_seal_is_an_addendum_and_a_review_closes_what_was_open(
    world: World, call: Call, tmp_path: Path
) -> None:
    run, _ = broken(world, call)
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    archive.close(run)
    signers = run.settings.path(run.settings.signing.allowed_signers)
    assert "nobody else has reviewed that" in "\n".join(verify(run.folder, signers).warnings)
    picture = tmp_path / "graph.png"
    picture.write_bytes(b"\x89PNG")
    noted = call("note", "1", "the disk was full", "--attach", str(picture), "--key", str(world.key("dev")))
    assert noted.stdout.startswith("added: "), noted.stderr
    done = call("sign", "1", ERRORS, "--review", "-m", "it was noise", "--key", str(world.key("dev")))
    assert done.exit_code == Exit.DONE, done.stderr
    assert json.loads(call("status", "1", "--json").stdout)["to_review"] == []
    found = verify(run.folder, signers)
    assert found.wrong == ()
    assert "reviewed" not in "\n".join(found.warnings)
    one, two = (run.folder / "addenda" / number for number in "12")
    assert {path.name for path in one.iterdir()} == {"note.json", "graph.png", SUMS, SEAL}
    assert {path.name for path in two.iterdir()} == {"note.json", "statement.json", "statement.sig", SUMS, SEAL}
    for folder in (one, two):
        subprocess.run(["sha256sum", "-c", "--strict", "--quiet", SUMS], cwd=folder, check=True)
        assert not (folder / SUMS).stat().st_mode & 0o222
    late = call("sign", "1", PLAN, "--key", str(world.key("ann")))
    assert (late.exit_code, "is sealed" in late.stderr) == (Exit.REFUSED, True)
