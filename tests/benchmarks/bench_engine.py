"""What the engine costs beside bare papermill: the same notebooks, each in a fresh process, alternating; medians.

Time is that of the whole execution with its kernel. CPU and bytes are those of the executing process alone: what it
computed, and what it wrote into files.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import nbformat
import papermill

from deploykit.engine import CellStatus, execute

ROUNDS = 3
NOTEBOOKS = {
    "one empty cell": ["1"],
    "10 small cells": ["print('x' * 200)"] * 10,
    "100 small cells": ["print('x' * 200)"] * 100,
    "400 small cells": ["print('x' * 200)"] * 400,
    "20 cells of 200 kB output": ["print('x' * 199 + '\\n', end='') or [print('x' * 199) for _ in range(999)] and None"]
    * 20,
}
#: Seconds, CPU seconds, megabytes.
Cost = tuple[float, float, float]


def bare(source: Path, target: Path) -> None:
    """papermill alone."""
    papermill.execute_notebook(str(source), str(target), kernel_name="python3", progress_bar=False)


def ours(source: Path, target: Path) -> None:
    """papermill with the engine."""
    if execute(source, target, {}, mode="run").status is not CellStatus.COMPLETED:
        raise SystemExit("the notebook did not complete")


def written() -> int:
    """Bytes that this process has written, where the system counts them."""
    io = Path("/proc/self/io")
    return int(io.read_text().split("wchar: ")[1].split()[0]) if io.exists() else 0


def cost(work: Callable[[Path, Path], None], source: Path, target: Path) -> Cost:
    """What it costs once, in a copy of this process."""
    answer = target.with_name("cost.json")
    pid = os.fork()
    if pid == 0:
        before = perf_counter(), resource.getrusage(resource.RUSAGE_SELF), written()
        work(source, target)
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime - before[1].ru_utime - before[1].ru_stime
        answer.write_text(json.dumps((perf_counter() - before[0], cpu, (written() - before[2]) / 1e6)))
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("it did not end well")
    seconds, cpu, megabytes = json.loads(answer.read_text())
    return seconds, cpu, megabytes


def test_the_engine_beside_papermill(tmp_path: Path) -> None:
    say(f"\n{'papermill, engine and ratio':27} {'seconds':>22} {'CPU seconds':>22} {'MB written':>24}")
    ratios = {}
    for name, cells in NOTEBOOKS.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, tmp_path / "in.ipynb")
        pairs = [
            [cost(work, tmp_path / "in.ipynb", tmp_path / "out.ipynb") for work in (bare, ours)] for _ in range(ROUNDS)
        ]
        theirs, own = ([median(column) for column in zip(*costs, strict=True)] for costs in zip(*pairs, strict=True))
        ratios[name] = [mine / their for mine, their in zip(own, theirs, strict=True)]
        columns = zip(theirs, own, ratios[name], strict=True)
        say(f"{name:27} " + "  ".join(f"{their:7.2f} {mine:7.2f} {ratio:6.2f}" for their, mine, ratio in columns))
    assert ratios["400 small cells"][2] < 0.2, "what is written no longer grows with what is new"


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
