"""How a notebook becomes bytes in a file: redacted, without places on this machine, and never in part."""

from __future__ import annotations

import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from papermill.iorw import LocalHandler, papermill_io

from deploykit import redact
from deploykit.run import write_atomically


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


def render(notebook: Any) -> str:
    """The notebook as it is written."""
    tree = redact.tree(notebook)
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
        base = self.local.cwd(None)
        self.local.cwd(base)
        write_atomically(Path(base or "") / path, text.encode())


class Target:
    """Where papermill was told to write a notebook.

    Args:
        path: As papermill has it: a local path, an address, or None.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.name = Path(path or "").name
        handler = papermill_io.get_handler(path)
        if type(handler) is LocalHandler:
            # papermill asks for the newest handler whose name the path begins with: ours is for this path alone.
            handler = AtomicFiles(handler)
            papermill_io.register(path, handler)
        self._handler = handler

    def write(self, notebook: Any) -> None:
        """Write the notebook now."""
        if self.path is None:
            return
        put = self._handler.put if isinstance(self._handler, AtomicFiles) else self._handler.write
        put(render(notebook), self.path)
