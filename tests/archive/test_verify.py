from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deploykit import archive
from deploykit.journal import witness
from deploykit.journal.events import Actor, Draft, Event, Type
from deploykit.journal.store import FILE, Store
from deploykit.model import DecisionKind, Outcome, sha256
from deploykit.seal import HEAD, SEAL, SUMS, files
from deploykit.signoff import ssh
from deploykit.signoff.policy import decide
from deploykit.verify import verify
from tests.archive.archived import go_through, past_the_product, sealed
from tests.signoff.team import Team, settle


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Team, Path]:
    return sealed(tmp_path_factory.mktemp("sealed"))


@pytest.fixture
def team(original: tuple[Team, Path]) -> Team:
    return original[0]


@pytest.fixture
def folder(original: tuple[Team, Path], tmp_path: Path) -> Path:
    """A copy that may be tampered with."""
    shutil.copytree(original[1], tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "copy"


def reseal(folder: Path, team: Team, who: str = "olga", namespace: str = ssh.Namespace.SEAL) -> None:
    """What somebody does who alters an archive and has a key."""
    sums = "".join(f"{sha256((folder / name).read_bytes())}  {name}\n" for name in files(folder)).encode()
    (folder / SUMS).write_bytes(sums)
    (folder / SEAL).write_bytes(ssh.sign(sums, team.key(who), namespace))


def wrong(folder: Path, team: Team) -> str:
    found = verify(folder, team.signers)
    assert not found.ok
    return "\n".join(found.wrong)


def test_a_copied_folder_holds_by_itself(folder: Path, team: Team) -> None:
    found = verify(folder, team.signers)
    assert found.wrong == ()
    assert found.sealed
    assert found.run == json.loads((folder / "plan.json").read_bytes())["run"]


def test_what_no_witness_has_seen_is_named(folder: Path, team: Team) -> None:
    count = len((folder / "journal.jsonl").read_bytes().splitlines())
    (warning,) = verify(folder, team.signers).warnings
    assert warning.startswith("journal.jsonl: no witness but the seal has seen events ")
    assert warning.endswith(f" to {count}")


def test_without_the_teams_file_it_says_whose_word_it_took(folder: Path) -> None:
    found = verify(folder)
    assert found.ok
    assert "archive's own allowed_signers" in found.warnings[0]


def test_a_byte_changed_in_any_file_is_found(folder: Path, team: Team) -> None:
    names = [*files(folder), Path(SUMS), Path(SEAL)]
    assert len(names) > 20
    for name in names:
        path = folder / name
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        found = verify(folder, team.signers)
        assert not found.ok, name
        if name.name not in {SUMS, SEAL}:
            assert found.wrong[0] == f"files: {name}: was changed since the seal"
        path.write_bytes(before)
    assert verify(folder, team.signers).ok


def test_a_removed_an_added_and_a_renamed_file_are_found(folder: Path, team: Team) -> None:
    for name in files(folder):
        moved = (folder / name).rename(folder / f"{name}.old")
        found = verify(folder, team.signers).wrong
        assert f"files: {name}: was sealed and is missing" in found
        assert f"files: {name}.old: is not in the seal" in found
        moved.rename(folder / name)
    (folder / "evidence" / ".hidden").write_bytes(b"")
    assert "files: evidence/.hidden: is not in the seal" in wrong(folder, team)


def test_a_link_in_place_of_a_file_is_found(folder: Path, team: Team, tmp_path: Path) -> None:
    (folder / "report.html").rename(tmp_path / "elsewhere.html")
    (folder / "report.html").symlink_to(tmp_path / "elsewhere.html")
    assert "neither a plain file nor a folder" in wrong(folder, team)


@pytest.mark.parametrize(
    ("who", "namespace", "why"),
    [
        ("stranger", ssh.Namespace.SEAL, "stranger@example.com is not on the team"),
        ("demo", ssh.Namespace.SEAL, "made for the demo"),
        ("olga", ssh.Namespace.PLAN, "signed for 'deploykit-plan', not for 'deploykit-seal'"),
    ],
)
def test_a_seal_by_anybody_else_or_for_anything_else_does_not_hold(
    folder: Path, team: Team, who: str, namespace: str, why: str
) -> None:
    reseal(folder, team, who, namespace)
    assert why in wrong(folder, team)


def test_the_archives_own_signers_do_not_count_against_the_teams(folder: Path, team: Team) -> None:
    outsider = team.make_key("outsider") if not team.key("outsider").exists() else team.key("outsider")
    kind, blob, *_ = outsider.with_suffix(".pub").read_text("ascii").split()
    listed = (folder / "allowed_signers").read_text("ascii").splitlines()
    forged = [line for line in listed if not line.startswith("olga@")] + [f"olga@example.com {kind} {blob}"]
    (folder / "allowed_signers").write_text("\n".join(forged) + "\n", "ascii")
    plan = (folder / "plan.json").read_bytes()
    (folder / "signatures" / "plan.sig").write_bytes(ssh.sign(plan, outsider, ssh.Namespace.PLAN))
    reseal(folder, team, "outsider")
    assert verify(folder).ok
    assert "not one of the allowed signers" in wrong(folder, team)


def test_armour_that_is_not_canonical_is_found(folder: Path, team: Team) -> None:
    seal = (folder / SEAL).read_bytes()
    (folder / SEAL).write_bytes(seal + b"\n")
    assert "armour is not canonical" in wrong(folder, team)


@pytest.mark.parametrize("spoil", [lambda s: s + s, lambda s: b"x" + s, lambda s: s[:-1], lambda _: b"\xff"])
def test_a_list_in_another_form_is_found(folder: Path, team: Team, spoil: Callable[[bytes], bytes]) -> None:
    (folder / SUMS).write_bytes(spoil((folder / SUMS).read_bytes()))
    (folder / SEAL).write_bytes(ssh.sign((folder / SUMS).read_bytes(), team.key("olga"), ssh.Namespace.SEAL))
    assert "files: " in wrong(folder, team)


def edit(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(change((folder / name).read_bytes()))


def _drop_decision(folder: Path) -> None:
    edit(
        folder,
        "journal.jsonl",
        lambda data: b"".join(x for x in data.splitlines(keepends=True) if b"decision.made" not in x),
    )


def _cut_journal(folder: Path) -> None:
    edit(folder, "journal.jsonl", lambda data: b"".join(data.splitlines(keepends=True)[:-1]))


def _other_plan(folder: Path) -> None:
    edit(folder, "plan.json", lambda data: data.replace(b'"number":1', b'"number":2'))


def _spaced_plan(folder: Path) -> None:
    edit(folder, "plan.json", lambda data: data + b"\n")


def _other_head(folder: Path) -> None:
    edit(folder, HEAD, lambda data: b"1 " + data.split()[1] + b"\n")


def _lose_evidence(folder: Path) -> None:
    next((folder / "evidence").iterdir()).unlink()


def _other_evidence(folder: Path) -> None:
    next((folder / "evidence").iterdir()).write_bytes(b"{}")


def _lose_statement(folder: Path) -> None:
    next((folder / "statements").iterdir()).unlink()


def _swap_signatures(folder: Path) -> None:
    paths = [path for path in (folder / "signatures").iterdir() if path.name != "plan.sig"]
    signatures = [path.read_bytes() for path in paths]
    for path, signature in zip(paths, signatures[1:] + signatures[:1], strict=True):
        path.write_bytes(signature)


def _widen_armour(folder: Path) -> None:
    """Another form of the same signature, which OpenSSH accepts."""
    name = next(path for path in (folder / "signatures").iterdir() if path.name != "plan.sig").name
    edit(folder, f"signatures/{name}", lambda data: data.replace(b"\n", b"\r\n"))


def _other_notebook(folder: Path) -> None:
    edit(folder, "notebooks/03_blue_green.ipynb", lambda data: data.replace(b"hello", b"hallo"))


def _more_notebooks(folder: Path) -> None:
    (folder / "notebooks" / "99.ipynb").write_bytes(b"{}")


def _lose_notebook(folder: Path) -> None:
    (folder / "notebooks" / "03_blue_green.ipynb").unlink()


def _lose_role(folder: Path) -> None:
    edit(folder, "settings.toml", lambda data: data.replace(b"roles = ['approver']", b"roles = []", 1))


def _no_settings(folder: Path) -> None:
    edit(folder, "settings.toml", lambda _: b"[people")


def _empty_journal(folder: Path) -> None:
    edit(folder, "journal.jsonl", lambda _: b"")


def _torn_journal(folder: Path) -> None:
    edit(folder, "journal.jsonl", lambda data: data[:-1])


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_drop_decision, "journal, line"),
        (_cut_journal, "has 0 events that seal the run"),
        (_other_plan, "is not the plan that the run was opened with"),
        (_spaced_plan, "not in canonical form"),
        (_other_head, "HEAD: is not the end of the journal"),
        (_lose_evidence, "is missing"),
        (_other_evidence, "is not what its name says"),
        (_lose_statement, "signed statement is missing"),
        (_swap_signatures, "decision on plan: signature: "),
        (_widen_armour, "armour is not canonical"),
        (_other_notebook, "is not the one that the journal names"),
        (_more_notebooks, "the journal does not name it"),
        (_lose_notebook, "notebooks/03_blue_green.ipynb: is missing"),
        (_lose_role, "does not have the role approver"),
        (_no_settings, "cannot be read"),
        (_empty_journal, "the journal is empty"),
        (_torn_journal, "journal"),
    ],
)
def test_what_was_altered_is_found_though_the_operator_sealed_it_again(
    folder: Path, team: Team, spoil: Callable[[Path], None], why: str
) -> None:
    spoil(folder)
    reseal(folder, team)
    found = verify(folder, team.signers)
    assert not [line for line in found.wrong if line.startswith("files: ")]
    assert why in "\n".join(found.wrong)
    assert all("\n" not in line for line in found.findings)


def forge(team: Team, tamper: Callable[[Store, str, Path], None]) -> tuple[str, ...]:
    """A run whose journal was written by somebody with the store in their hands, closed as usual."""
    with team.run() as run:
        tamper(run.store, run.id, run.folder)
        go_through(run, team)
        archive.close(run)
        return verify(run.folder, team.signers).wrong


def test_a_witness_who_saw_another_journal_is_believed(tmp_path: Path) -> None:
    def tamper(store: Store, run: str, folder: Path) -> None:
        actor = Actor(kind="service", id="chat")
        store.append(Draft(run=run, actor=actor, type=Type.WITNESS_GIVEN, data={"seq": 1, "hash": "0" * 64}))

    assert "a witness saw another journal" in "\n".join(forge(Team(tmp_path), tamper))


def test_events_after_the_seal_are_found(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with team.run() as run:
        go_through(run, team)
        run.append(Type.RUN_SEALED)
        settle(run, "watch.latency", Outcome.PASS, summary="after all")
        archive.close(run)
        assert "item.settled after the seal" in "\n".join(verify(run.folder, team.signers).wrong)


def test_a_decision_made_for_another_run_is_found(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with team.run() as other, team.run() as run:
        decide(other, "plan", DecisionKind.SIGNED, key=team.key("ann"))
        for name in ("statements", "signatures"):
            shutil.copytree(other.folder / name, run.folder / name, dirs_exist_ok=True)
        shutil.copy(other.folder / "signatures" / "plan.sig", other.folder / "kept")
        event = other.events()[-1]
        run.append(Type.DECISION_MADE, item="plan", data=event.data)
        run.append(Type.RUN_ENDED, data={"status": "failed"})
        with past_the_product():
            archive.close(run)
        assert "decision on plan: sign-off: signed for another run" in "\n".join(verify(run.folder, team.signers).wrong)


def test_an_open_runs_folder_is_said_to_be_unsealed_and_its_chain_is_checked(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with team.run() as run:
        archive.export(run)
        assert verify(run.folder, team.signers).wrong == ("seal: the run is not sealed",)
        edit(run.folder, "journal.jsonl", lambda data: data.replace(b"run.opened", b"note.written"))
        assert len(verify(run.folder, team.signers).wrong) > 1


def test_a_folder_that_is_no_run_is_not_ok(tmp_path: Path) -> None:
    found = verify(tmp_path)
    assert not found.ok
    assert not found.sealed


def test_production_touched_without_an_approved_plan_is_named(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with team.run() as run:
        run.intend(item="prepare.announced", step="prepare.announced", op="o", data={})
        run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
        archive.export(run)
        warnings = verify(run.folder, team.signers).warnings
        assert "blue-green.deploy: began at event 4 without an approved plan" in warnings
        assert not [warning for warning in warnings if warning.startswith("prepare")]


def test_a_plan_that_nobody_signed_is_named(tmp_path: Path) -> None:
    team = Team(tmp_path)
    with team.run() as run:
        archive.export(run)
        (run.folder / "signatures" / "plan.sig").unlink()
        assert "plan.json: not signed by its operator" in verify(run.folder, team.signers).warnings


# --- those outside


def head_of(folder: Path, seq: int) -> str:
    lines = (folder / "journal.jsonl").read_bytes().splitlines()
    return witness.sentence(Event.parse(lines[seq - 1]))


def count_of(folder: Path) -> int:
    return len((folder / "journal.jsonl").read_bytes().splitlines())


def test_a_witness_narrows_what_only_the_seal_has_seen(folder: Path, team: Team) -> None:
    count = count_of(folder)
    found = verify(folder, team.signers, (head_of(folder, 3), head_of(folder, count - 1)))
    assert (found.wrong, found.warnings) == (
        (),
        (f"journal.jsonl: no witness but the seal has seen events {count} to {count}",),
    )
    assert verify(folder, team.signers, (head_of(folder, count),)).warnings == ()


def test_a_tail_that_its_own_operator_cut_before_sealing_is_found_by_the_witness_alone(tmp_path: Path) -> None:
    """Everything inside agrees: journal, head and seal were made anew from the shorter journal."""
    team = Team(tmp_path)
    with team.run() as run:
        go_through(run, team)
        run.append(Type.NOTE_WRITTEN, data={"text": "what nobody was to know"})
        last = run.events()[-1]
        outside = tmp_path / "thread.txt"
        outside.write_text(f"posted at 12:00: {witness.sentence(last)}\n", "utf-8")
        with closing(sqlite3.connect(run.store.folder / FILE)) as connection, connection:
            connection.execute("DELETE FROM events WHERE seq = ?", (last.seq,))
        fresh = type(run).find(run.settings, run.id, run.actor)
        archive.close(fresh)
        fresh.store.close()
        folder = run.folder
    assert verify(folder, team.signers).ok
    found = verify(folder, team.signers, (str(outside),))
    assert not found.ok
    assert "a witness saw another journal" in "\n".join(found.wrong)


def test_a_journal_that_ends_before_what_a_witness_saw_is_found(folder: Path, team: Team) -> None:
    count = count_of(folder)
    outside = head_of(folder, count)
    _cut_journal(folder)
    found = "\n".join(verify(folder, team.signers, (outside,)).wrong)
    assert f"the journal ends at event {count - 1}, and a witness saw event {count}" in found


def test_a_witness_who_says_nothing_of_the_run_proves_nothing(folder: Path, team: Team) -> None:
    assert "says nothing of run" in "\n".join(verify(folder, team.signers, ("deploykit rules",)).wrong)


def test_without_a_seal_no_seal_is_named(folder: Path, team: Team) -> None:
    (folder / SEAL).unlink()
    assert any("no witness has seen events" in line for line in verify(folder, team.signers).warnings)


@pytest.mark.parametrize("place", [0, 3, 9])
@pytest.mark.parametrize("how", ["dropped", "doubled", "exchanged"])
def test_events_that_were_tampered_with_are_found_though_the_operator_sealed_it_again(
    folder: Path, team: Team, place: int, how: str
) -> None:
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    pair = lines[place : place + 2]
    lines[place : place + 2] = {"dropped": pair[1:], "doubled": [pair[0], *pair], "exchanged": pair[::-1]}[how]
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    reseal(folder, team)
    assert "journal: journal, line" in wrong(folder, team)
