"""What the engine costs beside bare papermill: the same notebooks, median of five, alternating.

Run it as a script: `python tests/benchmarks/bench_engine.py`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import nbformat
import papermill

from deploykit.engine import CellStatus, execute

ROUNDS = 5
NOTEBOOKS = {
    "one empty cell": ["1"],
    "40 small cells": ["print('x')"] * 40,
    "20 cells of 200 kB output": ["print('x' * 199 + '\\n', end='') or [print('x' * 199) for _ in range(999)] and None"]
    * 20,
}


def bare(source: Path, target: Path) -> None:
    """papermill alone."""
    papermill.execute_notebook(str(source), str(target), kernel_name="python3", progress_bar=False)


def ours(source: Path, target: Path) -> None:
    """papermill with the engine."""
    if execute(source, target, {}, mode="run").status is not CellStatus.COMPLETED:
        raise SystemExit("the notebook did not complete")


def seconds(work: Callable[[Path, Path], None], source: Path, target: Path) -> float:
    """How long it takes once."""
    before = perf_counter()
    work(source, target)
    return perf_counter() - before


def main() -> None:
    """Print the table."""
    sys.stdout.write(f"{'notebook':28} {'papermill':>10} {'engine':>10} {'ratio':>7}   (median of {ROUNDS})\n")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.ipynb"), Path(folder, "out.ipynb")
        for name, cells in NOTEBOOKS.items():
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, source)
            pairs = [(seconds(bare, source, target), seconds(ours, source, target)) for _ in range(ROUNDS)]
            theirs, own = (median(column) for column in zip(*pairs, strict=True))
            sys.stdout.write(f"{name:28} {theirs:8.2f} s {own:8.2f} s {own / theirs:7.2f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
