"""The set-up that `make` does, with a Python that only writes down what it was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Knows as much as the Makefile asks; fails at a part where a file `fails-PART` lies.
PYTHON = r"""#!/bin/sh
fails() { [ -e "fails-$1" ] && exit 1; }
case "$*" in
--version) echo "Python 3.11.0" ;;
*version_info*) fails old ;;
*ensurepip*) fails ensurepip ;;
"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo venv >> log ;;
"-m pip install"*requirements.lock) echo locked >> log; fails locked ;;
"-m pip install"*) echo project >> log; fails project ;;
esac
exit 0
"""

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / "python").write_text(PYTHON, "utf-8")
    (folder / "python").chmod(0o755)
    return folder


@pytest.fixture
def make(folder: Path) -> Make:
    def _make(*arguments: str, where: Path = folder) -> subprocess.CompletedProcess[str]:
        inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "ARGS"}
        environment = {name: value for name, value in os.environ.items() if name not in inherited}
        command = ["make", *(arguments or ("setup", "PYTHON=./python"))]
        return subprocess.run(command, cwd=where, env=environment, check=False, capture_output=True, text=True)

    return _make


def log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text("utf-8").split() if path.exists() else []


def test_set_up_is_done_once_and_a_second_time_at_once(make: Make, folder: Path) -> None:
    assert make().returncode == 0
    assert make().returncode == 0
    assert log(folder) == ["venv", "locked", "project"]


@pytest.mark.parametrize(("part", "then"), [("locked", ["venv", "locked", "project"]), ("project", ["project"])])
def test_an_interrupted_set_up_is_begun_again_where_it_must(
    make: Make, folder: Path, part: str, then: list[str]
) -> None:
    (folder / f"fails-{part}").touch()
    assert make().returncode != 0
    before = log(folder)
    (folder / f"fails-{part}").unlink()
    assert make().returncode == 0
    assert log(folder)[len(before) :] == then


def test_another_lock_makes_everything_anew_and_another_pyproject_only_the_project(make: Make, folder: Path) -> None:
    make()
    later = (folder / ".venv" / ".ready").stat().st_mtime + 10
    os.utime(folder / "pyproject.toml", (later, later))
    make()
    assert log(folder)[3:] == ["project"]
    os.utime(folder / "requirements.lock", (later, later))
    make()
    assert log(folder)[4:] == ["venv", "locked", "project"]


def test_a_folder_that_moved_is_set_up_again(make: Make, folder: Path) -> None:
    make()
    moved = folder.rename(folder.with_name("moved"))
    assert make(where=moved).returncode == 0
    assert log(moved) == ["venv", "locked", "project"] * 2


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("old", "make PYTHON=/path/to/python3.11 setup"), ("ensurepip", "apt-get install python3-venv")],
)
def test_a_python_that_will_not_do_is_refused_with_the_mend(make: Make, folder: Path, lacks: str, said: str) -> None:
    (folder / f"fails-{lacks}").touch()
    answer = make()
    assert answer.returncode == 2
    assert said in answer.stderr
    assert log(folder) == []


def test_help_is_the_default_and_lists_every_target_for_people(make: Make) -> None:
    listed = {line.split()[1] for line in make("help").stdout.splitlines()}
    assert listed == {
        "help",
        "setup",
        "demo",
        "test",
        "long",
        "cover",
        "example",
        "lint",
        "check",
        "lock",
        "bench",
        "clean",
    }
    assert make("--no-print-directory").stdout == make("help").stdout
