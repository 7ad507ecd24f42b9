"""What is added to a sealed run: accepted where somebody of the team signed it, found out where nobody did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import deploykit.archive
from deploykit import addenda, redact
from deploykit.errors import RefusedError, UsageError
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Outcome, canonical, sha256
from deploykit.seal import SEAL, SUMS, sums_of, write_sums
from deploykit.signoff import ssh
from deploykit.signoff.policy import decide
from deploykit.verify import verify
from tests.archive.archived import go_through
from tests.signoff.team import Team, settle

ADDENDUM = ssh.Namespace.ADDENDUM


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Team, Path]:
    """A sealed run with an override that is reviewed after the seal, and two notes around that."""
    team = Team(tmp_path_factory.mktemp("added"))
    with team.run() as run:
        settle(run, "watch.latency", Outcome.FAIL)
        decide(run, "watch.latency", DecisionKind.OVERRIDDEN, key=team.key("ann"), comment="one slow page")
        go_through(run, team)
        deploykit.archive.close(run)
        addenda.add(run, "the disk was full", team.key("dev"), {"graph.txt": b"0 1 2"})
        decide(run, "watch.latency", DecisionKind.REVIEWED, key=team.key("dev"), comment="it was")
        addenda.add(run, "and is not any more", team.key("olga"))
        return team, run.folder


@pytest.fixture
def team(original: tuple[Team, Path]) -> Team:
    return original[0]


@pytest.fixture
def folder(original: tuple[Team, Path], tmp_path: Path) -> Iterator[Path]:
    shutil.copytree(original[1], tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield tmp_path / "copy"
    redact.forget()


def again(folder: Path, number: int, team: Team, who: str = "dev", namespace: str = ADDENDUM) -> None:
    """What somebody does who alters an addendum and has a key."""
    path = folder / "addenda" / str(number)
    named, digest = addenda.before(folder, number)
    sums = write_sums({**sums_of(path), named: digest})
    (path / SUMS).write_bytes(sums)
    (path / SEAL).write_bytes(ssh.sign(sums, team.key(who), namespace))


def edited(path: Path, **said: object) -> None:
    path.write_bytes(canonical({**json.loads(path.read_bytes()), **said}) + b"\n")


def test_good_addenda_leave_the_seal_whole_and_nothing_open(folder: Path, team: Team) -> None:
    found = verify(folder, team.signers)
    assert found.wrong == ()
    assert not [line for line in found.warnings if "reviewed" in line or "addenda" in line]


def test_a_byte_changed_in_any_file_of_an_addendum_is_found(folder: Path, team: Team) -> None:
    files = [path for path in (folder / "addenda").rglob("*") if path.is_file()]
    assert len(files) == 12
    for path in files:
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        found = verify(folder, team.signers)
        assert not found.ok, path
        assert found.wrong[0].startswith(f"addenda/{path.parent.name}"), (path, found.wrong)
        path.write_bytes(before)
    assert verify(folder, team.signers).ok


def _first_removed(folder: Path, team: Team) -> None:
    shutil.rmtree(folder / "addenda" / "1")


def _renumbered(folder: Path, team: Team) -> None:
    shutil.rmtree(folder / "addenda" / "1")
    (folder / "addenda" / "2").rename(folder / "addenda" / "1")


def _copied(folder: Path, team: Team) -> None:
    shutil.copytree(folder / "addenda" / "3", folder / "addenda" / "4")


def _beside(folder: Path, team: Team) -> None:
    (folder / "addenda" / "note.txt").write_text("later", "utf-8")


def _hidden(folder: Path, team: Team) -> None:
    (folder / "addenda" / ".4").mkdir()
    (folder / "addenda" / ".4" / "note.json").write_text("{}", "utf-8")


def _another_file(folder: Path, team: Team) -> None:
    (folder / "addenda" / "1" / "more.txt").write_text("more", "utf-8")


def _unsigned(folder: Path, team: Team) -> None:
    (folder / "addenda" / "3" / SEAL).unlink()


def _swapped(folder: Path, team: Team) -> None:
    one, three = (folder / "addenda" / number / SEAL for number in "13")
    signatures = one.read_bytes(), three.read_bytes()
    one.write_bytes(signatures[1])
    three.write_bytes(signatures[0])


def _by_a_stranger(folder: Path, team: Team) -> None:
    again(folder, 3, team, "stranger")


def _for_something_else(folder: Path, team: Team) -> None:
    again(folder, 3, team, "olga", ssh.Namespace.SEAL)


def _in_anothers_name(folder: Path, team: Team) -> None:
    edited(folder / "addenda" / "3" / "note.json", text="all was well")
    again(folder, 3, team, "dev")


def _dated_back(folder: Path, team: Team) -> None:
    edited(folder / "addenda" / "3" / "note.json", at="2001-01-01T00:00:00Z")
    again(folder, 3, team, "olga")


def _of_another_run(folder: Path, team: Team) -> None:
    edited(folder / "addenda" / "3" / "note.json", run="another")
    again(folder, 3, team, "olga")


def _resealed_before_it(folder: Path, team: Team) -> None:
    """Whoever seals the archive anew has to have every addendum signed anew."""
    (folder / "report.html").write_bytes(b"<p>all was well</p>")
    sums = write_sums({name: digest for name, digest in sums_of(folder).items() if not name.startswith("addenda/")})
    (folder / SUMS).write_bytes(sums)
    (folder / SEAL).write_bytes(ssh.sign(sums, team.key("olga"), ssh.Namespace.SEAL))


def _review_of_something_else(folder: Path, team: Team) -> None:
    """A true statement of the run, put where a review is."""
    two = folder / "addenda" / "2"
    statement = next(path for path in (folder / "statements").iterdir() if b'"item":"plan"' in path.read_bytes())
    (two / "statement.json").write_bytes(statement.read_bytes())
    (two / "statement.sig").write_bytes((folder / "signatures" / f"{statement.stem}.sig").read_bytes())
    again(folder, 2, team, "olga")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_first_removed, "belongs to no addendum, or one before it is missing"),
        (_renumbered, "addenda/1: SHA256SUMS: does not name the list before it"),
        (_copied, "addenda/4: SHA256SUMS: does not name the list before it"),
        (_beside, "files: addenda/note.txt: belongs to no addendum"),
        (_hidden, "files: addenda/.4/note.json: belongs to no addendum"),
        (_another_file, "addenda/1: more.txt: was changed, added or removed since it was signed"),
        (_unsigned, "addenda/3: cannot be read"),
        (_swapped, "addenda/1: signature: "),
        (_by_a_stranger, "addenda/3: sign-off: stranger@example.com is not on the team"),
        (_for_something_else, "addenda/3: signature: signed for 'deploykit-seal', not for 'deploykit-addendum'"),
        (_in_anothers_name, "says another run, number or signer than its place and signature"),
        (_dated_back, "addenda/3: note.json: says that it is older than what is before it"),
        (_of_another_run, "says another run, number or signer than its place and signature"),
        (_resealed_before_it, "addenda/1: SHA256SUMS: does not name the list before it"),
        (_review_of_something_else, "addenda/2: statement.json: signed after the seal"),
    ],
)
def test_what_was_forged_is_found(folder: Path, team: Team, spoil: Callable[[Path, Team], None], why: str) -> None:
    spoil(folder, team)
    found = verify(folder, team.signers)
    assert not found.ok
    assert why in "\n".join(found.wrong)


def test_an_addendum_is_for_a_sealed_run_says_something_and_keeps_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = Team(tmp_path)
    with team.run() as run:
        with pytest.raises(UsageError, match="not sealed") as caught:
            addenda.add(run, "too early", team.key("olga"))
        assert caught.value.mend == f"deploykit close {run.plan.number}"
        run.append(Type.RUN_ENDED, data={"status": "failed"})
        deploykit.archive.close(run)
        monkeypatch.setenv("GITHUB_TOKEN", "hunter2-and-more")
        with pytest.raises(UsageError, match="nothing to write down"):
            addenda.add(run, " ", team.key("olga"))
        with pytest.raises(RefusedError, match="a secret stands in this file"):
            addenda.add(run, "see the log", team.key("olga"), {"log.txt": b"token=hunter2-and-more"})
        with pytest.raises(UsageError, match="not in the file of allowed signers"):
            addenda.add(run, "see the log", team.make_key("new"))
        assert addenda.folders(run.folder) == ()
        assert verify(run.folder, team.signers).ok
        target = addenda.add(run, "the token is hunter2-and-more", team.key("olga"))
        assert b"hunter2" not in (target / "note.json").read_bytes()
        said = run.events()[-1]
        assert (said.type, said.data["addendum"]) == (Type.NOTE_WRITTEN, 1)
        assert said.data["sums"] == sha256((target / SUMS).read_bytes())
    redact.forget()


def test_two_files_of_one_name_are_not_kept(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "graph.txt").write_text(folder, "ascii")
    (tmp_path / "note.json").write_text("{}", "ascii")
    with pytest.raises(UsageError, match=r"there is a graph\.txt already"):
        addenda.attached((tmp_path / "a" / "graph.txt", tmp_path / "b" / "graph.txt"))
    with pytest.raises(UsageError, match=r"there is a note\.json already"):
        addenda.attached((tmp_path / "note.json",))
