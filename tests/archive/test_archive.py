from __future__ import annotations

import base64
import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploykit import archive, redact
from deploykit.archive import close, export
from deploykit.checklist import checklist
from deploykit.errors import BrokenRecordError, RefusedError, UsageError
from deploykit.files import write_atomically
from deploykit.journal.events import Type
from deploykit.model import Evidence, Outcome, sha256
from deploykit.run import Run
from deploykit.seal import HEAD, SEAL, SUMS, files
from deploykit.settings import load
from deploykit.signoff import ssh
from deploykit.verify import verify
from tests.archive.archived import go_through, keep_notebook, notebook, rich
from tests.signoff.team import Team, settle


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    with team.run() as run:
        yield run
    redact.forget()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(name): (folder / name).read_bytes() for name in files(folder)}


def sha256sum(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["sha256sum", "--strict", "-c", SUMS]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_views_are_written_as_often_as_one_likes(run: Run, team: Team) -> None:
    settle(run, "blue-green.traffic/10", Outcome.PASS, rich())
    export(run)
    once = tree(run.folder)
    export(run)
    assert tree(run.folder) == once
    assert once["journal.jsonl"] == b"".join(event.line + b"\n" for event in run.events())
    assert once["settings.toml"] == (team.home / "deploykit.toml").read_bytes()
    assert once["allowed_signers"] == team.signers.read_bytes()
    assert b"sum:errors{blue}" in once["data/blue-green.traffic.10.csv"]
    assert once["data/blue-green.traffic.10-2.csv"].startswith(b"# Again")
    assert {"checklist.toml", "report.html", "plan.json"} <= once.keys()


def test_a_closed_run_is_sealed_and_checked_with_common_tools_alone(run: Run, team: Team) -> None:
    go_through(run, team)
    close(run)
    done = sha256sum(run.folder)
    assert done.returncode == 0, done.stderr
    listed = [line[66:] for line in (run.folder / SUMS).read_text("utf-8").splitlines()]
    found = subprocess.run(
        ["/bin/sh", "-c", "find . -type f ! -path './SHA256SUMS*' | cut -c3- | LC_ALL=C sort"],
        cwd=run.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == listed
    ssh.verify(
        (run.folder / SUMS).read_bytes(),
        (run.folder / SEAL).read_bytes(),
        "olga@example.com",
        "deploykit-seal",
        team.signers,
    )
    last = (run.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)[-1]
    assert (run.folder / HEAD).read_text("ascii") == f"{len(run.events())} {sha256(last)}\n"


def test_a_sealed_folder_is_read_only_and_stays_as_it_is(run: Run, team: Team) -> None:
    go_through(run, team)
    close(run)
    sealed = tree(run.folder)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in run.folder.rglob("*") if path.is_file()}
    assert modes == {0o444}
    export(run)
    assert tree(run.folder) == sealed
    with pytest.raises(RefusedError, match="is sealed"):
        close(run)


def test_closing_lets_go_of_the_environment_first(run: Run, team: Team) -> None:
    go_through(run, team)
    close(run)
    assert [event.type for event in run.events()][-1] is Type.RUN_SEALED
    lock = run.store.lock(*run.place)
    assert lock is not None
    assert lock.run == ""


def test_an_open_run_is_not_closed_while_an_item_has_no_outcome(run: Run) -> None:
    settle(run, "blue-green.deploy", Outcome.PASS)
    run.intend(item="blue-green.traffic", step="blue-green.traffic/10", op="o", data={})
    with pytest.raises(RefusedError) as caught:
        close(run)
    assert caught.value.where == "rule.documented"
    assert "blue-green.health has no outcome" in caught.value.what
    assert "blue-green.deploy" not in caught.value.what
    assert "rollback." not in caught.value.what
    assert "blue-green.traffic/10 is unknown" in caught.value.what
    assert not run.state().sealed


def test_what_an_ended_run_left_behind_gets_its_word(run: Run) -> None:
    settle(run, "blue-green.deploy", Outcome.FAIL)
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    close(run)
    items = run.state().items
    assert items["blue-green.deploy"].outcome is Outcome.FAIL
    assert items["watch.errors"].outcome is Outcome.NOT_REACHED
    assert items["watch.errors"].summary == "the run ended (failed) before this item"
    spared = [item.id for item in checklist().item if item.when == "rolled-back"]
    assert {items[item].outcome for item in spared} == {Outcome.NOT_NEEDED}
    assert "no rollback.asked among its" in items[spared[0]].summary
    assert run.evidence(items[spared[0]].evidence).facts["rollback.asked events"] == 0


def test_after_a_rollback_its_items_were_needed(run: Run) -> None:
    run.append(Type.ROLLBACK_ASKED, data={"reason": "errors"})
    run.append(Type.RUN_ENDED, data={"status": "rolled-back"})
    close(run)
    settled = run.state().items
    assert settled.pop("rule.documented").outcome is Outcome.PASS
    assert {item.outcome for item in settled.values()} == {Outcome.NOT_REACHED}


def test_a_persons_own_notebook_is_kept_beside_the_archived_one(run: Run, team: Team) -> None:
    go_through(run, team)
    close(run)
    kept = {path.name: path.read_bytes() for path in (run.folder / "notebooks").iterdir()}
    assert kept == {"03_blue_green.ipynb": notebook(), "03_blue_green.interactive.ipynb": notebook("mine")}
    assert not (run.folder / "work").exists()


def test_a_torn_notebook_is_kept_as_it_is(run: Run, team: Team) -> None:
    go_through(run, team)
    write_atomically(run.folder / "work" / "05_finish.ipynb", b'{"cells": [')
    close(run)
    assert (run.folder / "notebooks" / "05_finish.interactive.ipynb").read_bytes() == b'{"cells": ['


SECRET = 'hunter2"\\pässword'


@pytest.mark.parametrize(
    "text", [SECRET, json.dumps(SECRET), f"a{SECRET}b", base64.b64encode(b"user:" + SECRET.encode()).decode()]
)
def test_a_secret_in_a_notebook_stops_the_seal_and_names_the_file(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", SECRET)
    go_through(run, team)
    keep_notebook(run, "00_readiness.ipynb", notebook(text))
    with pytest.raises(RefusedError) as caught:
        close(run)
    assert caught.value.where == "notebooks/00_readiness.ipynb"
    assert SECRET not in str(caught.value)
    assert not run.state().sealed
    keep_notebook(run, "00_readiness.ipynb", notebook("mended"))
    close(run)
    assert verify(run.folder, team.signers).ok


def test_a_secret_cut_in_two_lines_of_a_notebook_is_found(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "abcdef\nghijkl")
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    book = json.loads(notebook())
    book["cells"][0]["outputs"][0]["text"] = ["abcdef\n", "ghijkl"]
    keep_notebook(run, "00_readiness.ipynb", json.dumps(book).encode())
    with pytest.raises(RefusedError, match="a secret stands in this file"):
        close(run)


def test_without_a_key_nothing_is_closed(run: Run) -> None:
    signing = run.settings.signing.model_copy(update={"key": None})
    run.settings = run.settings.model_copy(update={"signing": signing})
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    with pytest.raises(UsageError, match="no key to seal with"):
        close(run)
    assert not run.state().items


def test_a_closing_that_was_cut_off_is_finished_by_the_next(
    run: Run, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_through(run, team)

    def power_cut(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(archive, "seal", power_cut)
        with pytest.raises(KeyboardInterrupt):
            close(run)
    assert run.state().sealed
    assert not verify(run.folder).sealed
    before = len(run.events())
    close(run)
    assert len(run.events()) == before
    assert verify(run.folder, team.signers).ok


def test_what_is_no_plain_file_is_not_sealed(run: Run, tmp_path: Path) -> None:
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    (run.folder / "link").symlink_to(tmp_path)
    with pytest.raises(BrokenRecordError, match="neither a plain file nor a folder"):
        close(run)


def test_a_name_that_the_list_cannot_hold_is_refused(run: Run) -> None:
    run.append(Type.RUN_ENDED, data={"status": "failed"})
    (run.folder / "two\nlines").write_text("x", "ascii")
    with pytest.raises(BrokenRecordError, match="cannot hold"):
        close(run)


def test_settings_under_another_name_are_archived_too(team: Team, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(team.home / "deploykit.toml", team.home / "production.toml")
    monkeypatch.setenv("DEPLOYKIT_SETTINGS", str(team.home / "production.toml"))
    run.settings = load()
    export(run)
    assert sha256((run.folder / "settings.toml").read_bytes()) == run.plan.settings


def test_settings_that_changed_since_do_not_replace_the_planned_ones(team: Team, run: Run) -> None:
    export(run)
    with (team.home / "deploykit.toml").open("a", encoding="utf-8") as file:
        file.write("# later\n")
    export(run)
    assert sha256((run.folder / "settings.toml").read_bytes()) == run.plan.settings
    (run.folder / "settings.toml").unlink()
    export(run)
    assert "settings.toml: not the bytes that the plan names" in "\n".join(verify(run.folder).warnings)


def test_settings_that_are_gone_are_named(team: Team, run: Run) -> None:
    (team.home / "deploykit.toml").unlink()
    with pytest.raises(UsageError, match=r"deploykit\.toml: cannot be read"):
        export(run)


def test_missing_evidence_is_not_papered_over(run: Run) -> None:
    settle(run, "watch.errors", Outcome.PASS, Evidence(text="x"))
    (run.folder / "evidence" / run.state().items["watch.errors"].evidence).unlink()
    with pytest.raises(BrokenRecordError, match="evidence is missing"):
        export(run)
