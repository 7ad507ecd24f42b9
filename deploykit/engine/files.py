"""How a notebook becomes bytes in a file: redacted, without places on this machine, and never in part."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from papermill.iorw import LocalHandler, papermill_io

from deploykit import executed, redact
from deploykit.executed import CellStatus
from deploykit.files import write_atomically


@cache
def _places() -> tuple[str, ...]:
    """Folders of this machine that a traceback names, the innermost first."""
    installed = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    others = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), str(Path.home())}
    return tuple(f"{place}/" for place in sorted(installed | others, key=len, reverse=True) if place != "/")


def placeless(text: str) -> str:
    """A traceback or warning without the folders in which Python and its packages lie here."""
    for place in _places():
        text = text.replace(place, "")
    return text


def render(notebook: Any, *, saved: int = 0) -> str:
    """The notebook as it is written; while it is under way, with how many changes of its log it holds."""
    tree = redact.tree(notebook)
    if saved:
        tree["metadata"][executed.OURS][executed.SAVED] = saved
    told = tree["metadata"].get("papermill", {})
    for place in ("input_path", "output_path"):
        if isinstance(told.get(place), str):
            told[place] = Path(told[place]).name
    return str(nbformat.v4.writes(nbformat.from_dict(tree))) + "\n"


class AtomicFiles(LocalHandler):  # type: ignore[misc]  # papermill publishes no types
    """papermill's way to local files for one notebook; its own last writes pass here too.

    Args:
        local: papermill's own handler, which knows the folder that relative names start from.
    """

    def __init__(self, local: Any) -> None:
        super().__init__()
        self.local = local

    def write(self, buf: str, path: str) -> None:
        """Write what papermill rendered."""
        self.put(render(nbformat.reads(buf, as_version=4)), path)

    def put(self, text: str, path: str) -> None:
        """Write what `render` made."""
        write_atomically(self.local_path(path), text.encode())

    def local_path(self, path: str) -> Path:
        """Where that is, from papermill's own idea of the working directory."""
        base = self.local.cwd(None)
        self.local.cwd(base)
        return Path(base or "") / path


class Target:
    """Where papermill was told to write a notebook.

    A local file has a log beside it, and is written whole only when that has grown as large as it.

    Args:
        path: As papermill has it: a local path, an address, or None.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.name = Path(path or "").name
        self._log: executed.Log | None = None
        self._size = 0
        handler = papermill_io.get_handler(path)
        if type(handler) is LocalHandler:
            # papermill asks for the newest handler whose name the path begins with: ours is for this path alone.
            handler = AtomicFiles(handler)
            papermill_io.register(path, handler)
        self._handler = handler

    @property
    def due(self) -> bool:
        """Whether it is time to write the whole file."""
        return self._log is None or self._log.size >= self._size

    def write(self, notebook: Any) -> None:
        """Write the notebook now."""
        if self.path is None:
            return
        if not isinstance(self._handler, AtomicFiles):
            self._handler.write(render(notebook), self.path)
            return
        if self._log is None:
            self._log = executed.Log(self._handler.local_path(self.path))
        log, still = self._log, executed.status(notebook) is CellStatus.RUNNING
        text = render(notebook, saved=log.changes if still else 0)
        self._handler.put(text, self.path)
        self._size = len(text)
        log.clear()

    def add(self, cells: Mapping[int, Any]) -> None:
        """Write what became of some cells behind the log."""
        if self._log is not None:
            self._log.add({index: redact.tree(cell) for index, cell in cells.items()})

    def close(self, *, written: bool) -> None:
        """Nothing follows; the log stays where the file does not hold what it holds."""
        if self._log is not None:
            self._log.close(keep=not written)
