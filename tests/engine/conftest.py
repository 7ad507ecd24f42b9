"""Tiny notebooks made in code, and the things that tests of the engine look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar

import nbformat
import pytest

from deploykit import redact

ROOT = Path(__file__).parents[2]
KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass(frozen=True)
class Bench:
    """A folder with a notebook to execute and a place for the executed one."""

    folder: Path
    #: A program that executes the bench's notebook.
    RUN: ClassVar[str] = """
from pathlib import Path
from deploykit.engine import execute
execute(Path("in.ipynb"), Path("out/out.ipynb"), {}, mode="run")
"""

    @property
    def source(self) -> Path:
        return self.folder / "in.ipynb"

    @property
    def target(self) -> Path:
        return self.folder / "out" / "out.ipynb"

    def write(self, *sources: str, tags: dict[int, str] | None = None) -> None:
        """Write the notebook; a cell whose source begins with `#:` is tagged `parameters`."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        for cell in cells:
            if cell.source.startswith("#:"):
                cell.metadata["tags"] = ["parameters"]
        for index, tag in (tags or {}).items():
            cells[index].metadata["tags"] = [tag]
        metadata = {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), self.source)
        self.target.parent.mkdir(exist_ok=True)

    def read(self) -> Any:
        """The executed notebook, as JSON."""
        return json.loads(self.target.read_bytes())

    def code(self) -> list[Any]:
        """Its code cells."""
        return [cell for cell in self.read()["cells"] if cell["cell_type"] == "code"]

    def ours(self) -> list[str]:
        """What we say of each code cell."""
        return [cell["metadata"]["deploykit"]["status"] for cell in self.code()]

    def theirs(self) -> list[str]:
        """What papermill's own word on each code cell is."""
        return [cell["metadata"]["papermill"]["status"] for cell in self.code()]

    def shown(self, index: int) -> str:
        """Everything that a reader sees under a code cell."""
        return json.dumps(self.code()[index]["outputs"])

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start Python on the bench with these arguments."""
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(self.entry_point())])}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True
        )

    def entry_point(self) -> Path:
        """A folder that makes papermill find the engine, as installing the distribution would."""
        info = self.folder / "site" / "deploykit_runbooks-0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deploykit-runbooks\nVersion: 0\n")
        (info / "entry_points.txt").write_text("[papermill.engine]\ndeploykit = deploykit.engine:DeploykitEngine\n")
        return info.parent

    def running(self, index: int, text: str = "") -> bool:
        """Whether the file says that the cell runs, and shows the text."""
        if not self.target.exists():
            return False
        try:
            cell = self.code()[index]
        except json.JSONDecodeError:  # only bare papermill leaves one
            return False
        return cell["metadata"]["papermill"]["status"] == "running" and text in json.dumps(cell["outputs"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    yield
    redact.forget()


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for a condition, for half a minute at most."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = monotonic() + 30
        while not condition():
            assert monotonic() < deadline, "it never happened"
            sleep(0.02)

    return wait
