"""What is written, and that a reader never sees a part of it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploykit import executed, redact
from deploykit.engine import CellStatus, Executed, execute, files
from deploykit.errors import StoreError
from deploykit.files import write_atomically
from tests.test_secrets import CANARY, EVERY_WAY, leaks

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

SECRET = "hunter2-and-more"


def test_a_reader_never_sees_a_part(bench: Bench) -> None:
    bench.write(*["print('x' * 200_000)"] * 8)
    torn, seen, done = 0, 0, threading.Event()

    def read() -> None:
        nonlocal torn, seen
        while not done.is_set():
            if bench.target.exists():
                seen += 1
                try:
                    json.loads(bench.target.read_bytes())
                except ValueError:
                    torn += 1

    reader = threading.Thread(target=read)
    reader.start()
    execute(bench.source, bench.target, {}, mode="run")
    done.set()
    reader.join()
    assert seen > 20
    assert torn == 0


def test_what_is_written_stays_in_proportion_to_what_is_new(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    lines: list[int] = []

    def count(path: Path, data: bytes) -> None:
        writes.append(data)
        write_atomically(path, data)

    def count_lines(log: executed.Log, cells: Mapping[int, Any]) -> None:
        before = log.size
        add(log, cells)
        lines.append(log.size - before)

    add = executed.Log.add
    monkeypatch.setattr(files, "write_atomically", count)
    monkeypatch.setattr(executed.Log, "add", count_lines)
    bench.write(*["print('x' * 100)"] * 60)
    execute(bench.source, bench.target, {}, mode="run")
    assert len(lines) + len(writes) >= 60  # each cell's start is on the disk before it runs
    assert sum(lines) < 6 * len(writes[-1])
    assert len(writes) < 10
    assert writes[-1] == writes[-2]  # papermill's own last one changes nothing
    assert [path.name for path in bench.target.parent.iterdir()] == ["out.ipynb"]


def test_no_place_on_this_machine_is_written(bench: Bench) -> None:
    bench.write("#:\nrun: str = ''", "import json; json.loads('{')")
    execute(bench.source, bench.target, {"run": "x"}, mode="run")
    text = bench.target.read_text()
    assert not [place for place in (str(bench.folder), sys.prefix, sys.base_prefix) if place in text]
    assert "json/decoder.py" in text
    told = bench.read()["metadata"]["papermill"]
    assert (told["input_path"], told["output_path"]) == ("in.ipynb", "out.ipynb")
    assert told["environment_variables"] == {}


def test_a_learned_secret_is_nowhere_in_the_file(bench: Bench) -> None:
    for secret in (SECRET, CANARY):
        redact.learn(secret)
    display = "from IPython.display import HTML, display\n"
    says = [
        f"print({SECRET!r})",
        f"import sys\nfor c in {SECRET!r}:\n    sys.stdout.write(c); sys.stdout.flush()",
        f"exec({f'{display}display(HTML({SECRET!r}))'!r})",
        f"exec({f'{display}h = display(1, display_id=True); h.update({SECRET!r})'!r})",
        f"import base64; base64.b64encode({SECRET.encode()!r}).decode()",
        f"raise ValueError({SECRET!r})",
    ]
    bench.write("#:\nrun: str = ''", *says)
    answer = execute(bench.source, bench.target, {"run": " ".join(EVERY_WAY.values())}, mode="run")
    text = bench.target.read_text()
    assert SECRET not in answer.error
    assert not [form for form in redact._known if form in text]
    # What was given as a parameter stands in papermill's own cell, and in the metadata.
    assert leaks(bench.target.read_bytes()) == []
    for index, said in enumerate(says, start=2):
        assert redact.MASK in bench.shown(index), said


def test_braces_in_a_folder_are_no_template(bench: Bench) -> None:
    bench.write("1")
    target = bench.folder / "{pm.run_uuid}" / "{x}.ipynb"
    execute(bench.source, target, {}, mode="run")
    assert json.loads(target.read_bytes())["nbformat"] == 4


def test_a_disk_that_fills_up_stops_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []

    def full(kind: Callable[..., None], *what: Any) -> None:
        writes.append(what)
        if len(writes) > 2:
            raise OSError(28, "No space left on device")
        kind(*what)

    add = executed.Log.add
    monkeypatch.setattr(files, "write_atomically", partial(full, write_atomically))
    monkeypatch.setattr(executed.Log, "add", lambda log, cells: full(add, log, cells))
    bench.write("1", "open('ran', 'w')", "3")
    answer = execute(bench.source, bench.target, {}, mode="run")
    assert answer.status is CellStatus.FAILED
    assert "No space left on device" in answer.error
    assert [cell.status.value for cell in answer.cells] == ["completed", "never-run", "never-run"]
    assert not (bench.folder / "ran").exists()
    folded, held = executed.read(bench.target)
    assert (executed.running(folded), held) == (0, False)


def test_works_where_an_event_loop_already_runs(bench: Bench) -> None:
    bench.write("1")

    async def inside() -> Executed:
        return execute(bench.source, bench.target, {}, mode="replay")

    assert asyncio.run(inside()).status is CellStatus.COMPLETED


def test_a_target_that_cannot_be_written_starts_nothing(bench: Bench) -> None:
    bench.write("1")
    (bench.folder / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        execute(
            bench.source, bench.folder / "file" / "out.ipynb", {}, mode="run", on_start=lambda _: pytest.fail("started")
        )
