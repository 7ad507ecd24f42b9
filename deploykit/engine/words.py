"""What is said of an executed notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deploykit import settings
from deploykit.executed import CellStatus

#: The environment variable by which the kernel knows whether effects are wanted.
MODE = settings.MODE
Mode = Literal["run", "replay"]


@dataclass(frozen=True)
class CellRan:
    """One code cell.

    Attributes:
        index: Its place in the notebook that ran. papermill puts two cells into a notebook that failed, so look a cell
            up in the file by its id.
        id: Its id.
        status: How it ended.
        seconds: How long it ran.
    """

    index: int
    id: str
    status: CellStatus
    seconds: float


@dataclass(frozen=True)
class Executed:
    """How the execution of a notebook ended.

    Attributes:
        status: `COMPLETED` only when every code cell completed and the notebook was written.
        cells: The code cells, in order.
        error: One line of why it stopped, redacted; empty when it completed.
        terminated: Processes that cells left behind and that were ended with the kernel.
        left: Processes that cells started in a session of their own, and that live on: named, and left alone.
        signal: The number of the last signal that came meanwhile, even when it came too late to stop anything, else 0.
    """

    status: CellStatus
    cells: tuple[CellRan, ...] = ()
    error: str = ""
    terminated: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    signal: int = 0


@dataclass
class Orders:
    """What `execute` asks of the engine beyond papermill's arguments, and the engine's answer.

    Attributes:
        mode: What the kernel is told in `DEPLOYKIT_MODE`.
        env: More for the kernel's environment.
        cwd: The kernel's working directory, or None for ours.
        timeout: Seconds that one cell may take, or None.
        on_start: Called with the kernel's process id.
        answer: How it ended, once it has.
    """

    mode: Mode = "run"
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    timeout: float | None = None
    on_start: Callable[[int], None] | None = None
    answer: Executed | None = None
