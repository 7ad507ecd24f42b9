"""An executed notebook on the disk: how each cell ended, also when the process that executed it was killed.

The notebook file is written whole, and seldom; what changed since stands in a log beside it, a line a change, so that
the cost grows with what is new. Whoever executes holds the log's lock, which the system lets go however that ends: a
notebook that says `running`, with nobody behind its lock, was killed. `read` folds the log in, `mend` writes it down.
"""

from __future__ import annotations

import fcntl
import html
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from deploykit import redact
from deploykit.errors import BrokenRecordError, LockedError
from deploykit.files import write_atomically

#: Where our words stand in the metadata of a notebook, of a code cell, and of an output that is only a note.
OURS = "deploykit"
#: How many changes of the log the file already holds; only in a file that is still written.
SAVED = "saved"
#: Seconds to wait for a log that somebody looks at.
PATIENCE = 2.0


class CellStatus(StrEnum):
    """How a cell, or the whole notebook, ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    #: `MemoryError`, or a kernel that the system killed for want of memory.
    OUT_OF_MEMORY = "out-of-memory"
    #: The kernel was gone while the cell ran, or before the first one; or the process that executed the notebook was.
    DIED = "died"
    INTERRUPTED = "interrupted"
    #: `sys.exit()` or `exit()`, whatever its code.
    EXITED = "exited"
    NEVER_RUN = "never-run"
    #: Under way; in a file that nobody writes any more: the executing process was killed.
    RUNNING = "running"


@dataclass(frozen=True)
class Ending:
    """Why a notebook stopped early.

    Attributes:
        status: The word for it.
        reason: One line.
        detail: What the kernel said last, where that helps.
    """

    status: CellStatus
    reason: str
    detail: tuple[str, ...] = ()


KILLED = Ending(CellStatus.DIED, "no end was written: the process that executed it was killed, or the disk was full")


class Log:
    """The changes since the notebook was written whole, and the lock of the process that executes it.

    Args:
        notebook: The notebook beside which it lies.

    Raises:
        LockedError: Another process executes into the same file.
        OSError: It cannot be written.
    """

    def __init__(self, notebook: Path) -> None:
        self.path = _log(notebook)
        self.size = self.changes = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = _own(self.path)
        self._stream.truncate(0)

    def add(self, cells: Mapping[int, Any]) -> None:
        """Write cells as they are now, for good, or fail and have written none."""
        told = enumerate(cells.items(), start=self.changes + 1)
        lines = [json.dumps({"n": n, "index": index, "cell": cell}, ensure_ascii=False) for n, (index, cell) in told]
        # On lines of their own: a full disk may have left half of another before.
        self._stream.write(data := "".join(f"\n{line}\n" for line in lines).encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.changes += len(lines)
        self.size += len(data)

    def clear(self) -> None:
        """Forget what the file holds by now."""
        self._stream.truncate(0)
        self.size = 0

    def close(self, *, keep: bool) -> None:
        """Let go of the lock; and of the log, unless it knows what the file does not."""
        if not keep:
            self.path.unlink(missing_ok=True)
        self._stream.close()


def read(path: Path) -> tuple[dict[str, Any], bool]:
    """A notebook with what its log adds, and whether somebody executes it right now.

    Raises:
        BrokenRecordError: It is not a notebook.
    """
    with _held(path) as (_, free):
        return _folded(path), not free


def mend(path: Path) -> dict[str, Any] | None:
    """Say in a notebook that the process that executed it was killed.

    Returns:
        The notebook as it is written now; None where there was nothing to mend, or somebody executes it still.

    Raises:
        BrokenRecordError: It is not a notebook.
    """
    with _held(path) as (log, free):
        if not free:
            return None
        notebook = _folded(path)
        found = None
        if status(notebook) is CellStatus.RUNNING:
            index = running(notebook)
            stop(notebook, KILLED, index)
            notebook["metadata"][OURS].pop(SAVED, None)
            notebook["metadata"]["papermill"]["exception"] = True
            write_atomically(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())
            found = notebook
        for litter in [log, *path.parent.glob(f".{path.name}.*.tmp")]:
            litter.unlink(missing_ok=True)
        return found


def status(node: Any) -> CellStatus | None:
    """What we say of a notebook, or of a cell; None where it was not our engine that executed it."""
    word = node["metadata"].get(OURS, {}).get("status")
    return CellStatus(word) if word else None


def tell(node: Any, word: CellStatus, reason: str = "", **more: Any) -> None:
    """Say it of a notebook, or of a cell."""
    told = dict(node["metadata"].get(OURS, {}), status=word.value, reason=reason, **more)
    node["metadata"][OURS] = {key: value for key, value in told.items() if value}


def running(notebook: Any) -> int | None:
    """The cell that is under way."""
    return next((index for index, cell in code(notebook) if status(cell) is CellStatus.RUNNING), None)


def code(notebook: Any) -> Iterator[tuple[int, Any]]:
    """The code cells, each with its place."""
    return ((index, cell) for index, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")


def stop(notebook: Any, ending: Ending, index: int | None) -> None:
    """Say that the notebook ended early: in the cell that ran, and in those that never did.

    Args:
        notebook: As JSON or as nbformat has it.
        ending: How and why.
        index: The cell that ran, or None between cells; then the first that never ran shows why.
    """
    tell(notebook, ending.status, ending.reason)
    if index is not None:
        cell = notebook["cells"][index]
        cell["outputs"] = [output for output in cell["outputs"] if OURS not in output.get("metadata", {})]
        tell(cell, ending.status, ending.reason)
        cell["metadata"]["papermill"].update(status="failed", exception=True)
        if ending.status is not CellStatus.FAILED or not any(o["output_type"] == "error" for o in cell["outputs"]):
            cell["outputs"].append(type(cell)(_error(ending)))
    never = [cell for _, cell in code(notebook) if status(cell) is CellStatus.NEVER_RUN]
    for number, cell in enumerate(never):
        here = index is None and number == 0
        shown = _error(ending) if here else note("never run: the run stopped before this cell")
        cell["outputs"] = [type(cell)(shown)]


def note(text: str) -> dict[str, Any]:
    """An output that is only a word of ours on a cell."""
    data = {"text/plain": text, "text/html": f"<em>{html.escape(text)}</em>"}
    return {"output_type": "display_data", "data": data, "metadata": {OURS: "note"}}


def _error(ending: Ending) -> dict[str, Any]:
    """An output that every reader shows in red, and that papermill takes for a failure."""
    lines = [f"{ending.status.value}: {ending.reason}", *ending.detail]
    return {
        "output_type": "error",
        "ename": ending.status.value,
        "evalue": redact.visible(ending.reason),
        "traceback": [redact.visible(line) for line in lines],
    }


def _log(notebook: Path) -> Path:
    return notebook.with_name(f".{notebook.name}.log")


def _own(path: Path) -> BinaryIO:
    """The log, to oneself. Who only looks holds it for a moment; who mends takes it away."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        stream = path.open("ab")
        if _lock(stream) and path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
            return stream
        stream.close()
        time.sleep(0.02)
    raise LockedError("another process executes into this file", where=path.name[1:-4], mend="wait for it, or end it")


def _lock(stream: BinaryIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _held(path: Path) -> Iterator[tuple[Path, bool]]:
    """The log's path, and whether it is free; while it is, nobody else begins to execute."""
    log = _log(path)
    if not log.exists():
        yield log, True
        return
    with log.open("rb") as stream:
        yield log, _lock(stream)


def _folded(path: Path) -> dict[str, Any]:
    """The file with the log's changes, if it was still being written."""
    log = _log(path)
    # The log first: a file that is written whole meanwhile then knows more than it, and says so.
    lines = log.read_bytes().splitlines() if log.exists() else []
    try:
        notebook: dict[str, Any] = json.loads(path.read_bytes())
        saved = notebook["metadata"].get(OURS, {}).get(SAVED, 0)
        if status(notebook) is CellStatus.RUNNING:
            for change in filter(None, map(_parsed, lines)):
                if change["n"] > saved:
                    notebook["cells"][change["index"]] = change["cell"]
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise BrokenRecordError(f"not a notebook that can be read: {error}", where=path.name) from error
    return notebook


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One change; half of one, which a full disk or a power cut leaves, was never acted on."""
    try:
        change: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return change
