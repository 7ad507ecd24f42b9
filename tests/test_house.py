"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import deploykit
from deploykit.checklist import checklist

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "deploykit").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "runbooks").glob("*.ipynb"))

MODULE_LINES = 350
FUNCTION_LINES = 50
CELL_LINES = 10

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What is imported, and what is public


HEAVY = {"pandas", "matplotlib", "papermill", "sqlalchemy", "pydantic", "httpx"}
EXTRAS = {
    "pandas",
    "matplotlib",
    "papermill",
    "nbclient",
    "ipywidgets",
    "IPython",
    "datadog_api_client",
    "github",
    "gql",
}


@pytest.mark.parametrize(
    ("module", "without"),
    [("deploykit", HEAVY), *([("deploykit.cli", EXTRAS)] if find_spec("deploykit.cli") else [])],
)
def test_importing_loads_nothing_that_is_not_needed_yet(module: str, without: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not without & set(said.stdout.split())


def test_the_public_surface_is_pinned() -> None:
    assert deploykit.__all__ == ["__version__", "runs_frame"]


# Code


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{relative(path)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_module_is_too_long() -> None:
    lengths = {relative(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = dict(pair for path in MODULES for pair in _functions(path))
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_no_exception_is_swallowed() -> None:
    swallowed = [
        f"{relative(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler) and all(isinstance(part, ast.Pass | ast.Continue) for part in node.body)
    ]
    assert swallowed == []


# Notebooks


def test_every_phase_has_its_notebook_once_there_are_notebooks() -> None:
    """They may come later than the code; a folder without them, or a phase without one, may not."""
    assert bool(NOTEBOOKS) == (ROOT / "runbooks").is_dir()
    if NOTEBOOKS:
        assert {phase.notebook for phase in checklist().phase} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin_and_stripped(path: Path) -> None:
    notebook = json.loads(path.read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in cells) == 1
    for cell in cells:
        source = "".join(cell["source"])
        assert cell["outputs"] == [], source
        assert cell["execution_count"] is None, source
        assert len(source.splitlines()) <= CELL_LINES, source
        refused = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.Try | ast.TryStar
        assert not any(isinstance(node, refused) for node in ast.walk(ast.parse(source))), source


# Files


def _kept_files() -> list[Path]:
    """What git keeps; in an export without git, everything but what tools make."""
    if (ROOT / ".git").exists():
        # Named safe, because CI may check out as one user and test as another.
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return [path for name in said.split("\0") if name and (path := ROOT / name).is_file()]
    made = re.compile(r"^(\.venv|\..*_cache|\.hypothesis|dist|reports)/|__pycache__|^\.coverage")
    return [path for path in ROOT.rglob("*") if path.is_file() and not made.search(relative(path))]


def test_no_file_names_a_machine_or_a_package_index() -> None:
    machine = re.compile(rb"(?<![\w.])/(?:root|work|tmp|home|Users|opt)/\w|(?:pypi|pythonhosted)\.org")
    found = {relative(path): hit[0] for path in _kept_files() if (hit := machine.search(path.read_bytes()))}
    assert found == {}


def test_the_changelog_and_the_package_name_the_version() -> None:
    version = PROJECT["version"]
    assert deploykit.__version__ == version
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert version in headings


# The lock


def _locked() -> dict[str, tuple[str, int]]:
    """Name to version and number of hashes; a line of another kind is an error."""
    found: dict[str, tuple[str, int]] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if pinned := re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+?)(?: ; [^\\]+)? \\", line):
            name = pinned[1]
            found[name] = (pinned[2], 0)
        elif re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line):
            found[name] = (found[name][0], found[name][1] + 1)
        else:
            assert re.fullmatch(r"    #( .*)?", line), line
    return found


def test_everything_in_the_lock_has_a_hash() -> None:
    locked = _locked()
    assert len(locked) > 50
    assert [name for name, (_, hashes) in locked.items() if not hashes] == []


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    locked = _locked()
    wanted = [
        *PROJECT["dependencies"],
        *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
    ]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != PROJECT["name"]:
            assert name in locked, f"{name}: `make lock`"
            assert requirement.specifier.contains(locked[name][0]), f"{name} {locked[name][0]}: `make lock`"


# The policy on browser tests


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_a_browser_test_without_a_browser_is_skipped_or_fails_where_one_is_required(
    tmp_path: Path, required: str, outcome: str
) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text("import pytest\n\n@pytest.mark.browser\ndef test_it():\n    pass\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rsE", "-p", "no:cacheprovider", "-p", "no:cov"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(tmp_path)]
    environment = {**os.environ, "PATH": str(tmp_path), "DEPLOYKIT_REQUIRE_BROWSER": required, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert outcome in said.stdout
    assert "no chromium, chromium-browser or google-chrome on PATH" in said.stdout
    assert said.returncode == (1 if required else 0)
