"""An executed notebook on the disk: killed at any moment, it is read and mended to the truth."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.iorw import load_notebook_node

from deploykit import executed
from deploykit.engine.files import Target
from deploykit.engine.record import Record
from deploykit.engine.words import Orders
from deploykit.errors import BrokenRecordError, LockedError
from deploykit.executed import CellStatus
from tests.kills.filed import fork, was_killed

CELLS = 6
#: Where the process enters the kernel to change a file; it is killed at each of them in turn.
CHANGES = {"open", "os.rename", "os.remove", "os.truncate"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    cells = [nbformat.v4.new_code_cell(f"print({index})") for index in range(CELLS)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    return tmp_path / "in.ipynb"


def record(source: Path, target: Path) -> Record:
    return Record(load_notebook_node(str(source)), Orders(), Target(str(target)), progress_bar=False, log_output=False)


def execute(source: Path, target: Path, acknowledge: Callable[[str], object]) -> None:
    """What the engine does, without a kernel."""
    record_ = record(source, target)
    record_.notebook_start()
    for index, cell in enumerate(record_.nb.cells):
        record_.cell_start(cell, index)
        acknowledge("started")
        cell.outputs.append(nbformat.v4.new_output("stream", text=f"out {index}\n" * 40))
        record_.touch([index])
        if index == 3:
            record_.flush(whole=True)
        record_.cell_complete(cell, index)
    record_.notebook_complete()
    acknowledge("ended")


def kill_at(number: int) -> None:
    """Be killed at the change of a file of this number, or at the sync of one."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, _arguments: Any) -> None:
        if event in CHANGES:
            count()

    fsync = os.fsync

    def counted(descriptor: Any) -> None:
        count()
        fsync(descriptor)
        count()

    os.fsync = counted  # type: ignore[assignment]  # it takes more than we are given
    sys.addaudithook(hook)


def test_a_kill_at_any_change_of_a_file_leaves_a_notebook_that_is_mended_to_the_truth(
    source: Path, tmp_path: Path
) -> None:
    kills = 0
    while True:
        kills += 1
        target, said = tmp_path / f"{kills}" / "out.ipynb", tmp_path / f"{kills}.said"
        target.parent.mkdir()
        said.touch()

        def work(target: Path = target, said: Path = said, kills: int = kills) -> None:
            with said.open("ab", buffering=0) as stream:
                kill_at(kills)
                execute(source, target, lambda word: stream.write(f"{word}\n".encode()))

        if not was_killed(fork(work)):
            break
        if target.exists():
            tells_the_truth(target, said.read_text().split())
    assert kills > 30


def tells_the_truth(target: Path, said: list[str]) -> None:
    started, mended = said.count("started"), executed.mend(target)
    notebook = json.loads(target.read_bytes())
    nbformat.validate(notebook)
    statuses = [executed.status(cell) for _, cell in executed.code(notebook)]
    done = statuses.count(CellStatus.COMPLETED)
    if mended is None:
        assert statuses == [CellStatus.COMPLETED] * CELLS == [executed.status(notebook)] * CELLS
    else:
        # One more may have begun, whose beginning reached the disk and not us.
        died = statuses.count(CellStatus.DIED)
        assert statuses == [CellStatus.COMPLETED] * done + [CellStatus.DIED] * died + [CellStatus.NEVER_RUN] * (
            CELLS - done - died
        )
        assert done + died in {started, started + 1}
        assert died == min(started, 1) or done + died > started
        assert executed.status(notebook) is CellStatus.DIED
    for index in range(done):
        assert f"out {index}" in json.dumps(notebook["cells"][index]["outputs"])
    assert [path.name for path in target.parent.iterdir()] == ["out.ipynb"]
    assert executed.mend(target) is None


# --- somebody still executes


def test_what_is_under_way_is_read_and_left_alone(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ipynb"
    under_way = record(source, target)
    under_way.notebook_start()
    under_way.cell_start(under_way.nb.cells[0], 0)
    under_way.cell_complete(under_way.nb.cells[0], 0)
    under_way.cell_start(under_way.nb.cells[1], 1)
    before = target.read_bytes()
    notebook, alive = executed.read(target)
    assert (executed.running(notebook), alive) == (1, True)
    assert executed.mend(target) is None
    assert target.read_bytes() == before
    under_way.notebook_complete()


def test_a_second_process_does_not_execute_into_the_same_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executed, "PATIENCE", 0.05)
    target = tmp_path / "out.ipynb"
    first = record(source, target)
    first.notebook_start()
    with pytest.raises(LockedError, match="another process executes into this file") as caught:
        record(source, target).notebook_start()
    assert caught.value.where == "out.ipynb"
    first.notebook_complete()
    again = record(source, target)
    again.notebook_start()
    again.notebook_complete()


# --- what a log may look like


def test_half_a_line_was_never_acted_on(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.ipynb"
    under_way = record(source, target)
    under_way.notebook_start()
    under_way.cell_start(under_way.nb.cells[0], 0)
    under_way.target.close(written=False)
    log = tmp_path / ".out.ipynb.log"
    log.write_bytes(log.read_bytes() + b'\n{"n": 2, "index": 1, "cell": {"cell_ty')
    mended = executed.mend(target)
    assert mended is not None
    assert [executed.status(cell) for _, cell in executed.code(mended)][:2] == [CellStatus.DIED, CellStatus.NEVER_RUN]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metadata": {}, "cells": 1'])
def test_what_is_no_notebook_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "out.ipynb").write_text(content, "utf-8")
    with pytest.raises(BrokenRecordError, match="not a notebook"):
        executed.read(tmp_path / "out.ipynb")


def test_a_notebook_of_another_engine_is_not_touched(source: Path) -> None:
    before = source.read_bytes()
    assert executed.mend(source) is None
    assert source.read_bytes() == before
