"""The check that the README shows: in a shell, with OpenSSH and the usual tools, and nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploykit.seal import SEAL, SUMS, files
from tests.archive.archived import sealed
from tests.signoff.team import Team

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Team, Path]:
    return sealed(tmp_path_factory.mktemp("read"))


@pytest.fixture(scope="module")
def script(original: tuple[Team, Path]) -> str:
    """The lines as they stand there, for this team and run."""
    lines = README.read_text("utf-8").split("## Check an archive without our software")[1].splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("    sha256sum"))
    end = next(number for number, line in enumerate(lines) if number > begin and not line.strip())
    shown = "\n".join(line.removeprefix("    ") for line in lines[begin:end])
    return shown.replace("TEAM/allowed_signers", str(original[0].signers)).replace("OPERATOR", "olga@example.com")


@pytest.fixture
def folder(original: tuple[Team, Path], tmp_path: Path) -> Path:
    shutil.copytree(original[1], tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "copy"


def holds(script: str, folder: Path) -> bool:
    command = ["bash", "-e", "-o", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 0


def test_a_good_archive_passes_with_addenda_too(script: str, folder: Path) -> None:
    assert script.count("\n") == 3
    assert holds(script, folder)
    (folder / "addenda" / "1").mkdir(parents=True)
    (folder / "addenda" / "1" / "note.json").write_text("{}", "utf-8")
    assert holds(script, folder)


def test_a_byte_changed_in_every_file_in_turn_is_found(script: str, folder: Path) -> None:
    names = [*files(folder), Path(SUMS), Path(SEAL)]
    assert len(names) > 20
    for name in names:
        path = folder / name
        before = path.read_bytes()
        middle = len(before) // 2
        path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        assert not holds(script, folder), name
        path.write_bytes(before)
    assert holds(script, folder)


def _removed(folder: Path) -> None:
    (folder / "report.html").unlink()


def _added(folder: Path) -> None:
    (folder / "evidence" / "SHA256SUMS.more").write_text("", "utf-8")


def _linked(folder: Path) -> None:
    (folder / "evidence" / "more").symlink_to("../plan.json")


def _renamed(folder: Path) -> None:
    (folder / "report.html").rename(folder / "report.htm")


def _decisions_swapped(folder: Path) -> None:
    one, other, *_ = sorted(path for path in (folder / "signatures").iterdir() if path.name != "plan.sig")
    one.rename(folder / "between")
    other.rename(one)
    (folder / "between").rename(other)


def _seal_swapped(folder: Path) -> None:
    shutil.copy(folder / "signatures" / "plan.sig", folder / SEAL)


@pytest.mark.parametrize("spoil", [_removed, _added, _linked, _renamed, _decisions_swapped, _seal_swapped])
def test_what_was_done_to_an_archive_is_found(script: str, folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder)
    assert not holds(script, folder)
