"""The same world in a kernel: under papermill with our engine, and stepped through as in JupyterLab."""

from __future__ import annotations

import json
import os
import queue
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from deploykit.checklist import Item, checklist
from deploykit.errors import LockedError
from deploykit.planning import FROZEN
from deploykit.runner import execute
from tests.kills.filed import Aim, Filed, environment, fork, was_killed

#: Waits in a kernel until the work that a cell began has ended.
IDLE = "import time\nwhile phase.work._worker is not None and phase.work._worker.busy:\n    time.sleep(0.02)"


def under_papermill(filed: Filed, item: Item, aim: Aim) -> bool:
    """Execute the item's notebook; whether kernel and runner were both killed."""

    def work() -> None:
        os.environ.update(environment(filed.home, aim))
        tempfile.tempdir = folder
        execute(filed.run(), checklist().find_phase(item.phase), "run", lambda _line: None)

    # Nobody is left to clear this away.
    with tempfile.TemporaryDirectory(prefix="dk-") as folder:
        return was_killed(fork(work)) and let_go(filed)


def let_go(filed: Filed) -> bool:
    """Wait until the last thread of a kernel that dies a moment after its runner has let its files go."""
    run = filed.run()
    for purpose in ("", "rollback"):
        while True:
            try:
                with run.alone(purpose):
                    break
            except LockedError:
                time.sleep(0.01)
    run.store.close()
    return True


def in_jupyter(filed: Filed, item: Item, aim: Aim) -> bool:
    """Run the cells of the item's notebook as a person would; whether the kernel was killed."""
    with kernel(filed, aim) as stepped:
        return not all(stepped.runs(source) for source in [*cells(filed, item), IDLE])


def cells(filed: Filed, item: Item) -> list[str]:
    """The code of the item's notebook up to the item, with the run's id as its parameter."""
    run = filed.run()
    path = run.folder / FROZEN / f"{checklist().find_phase(item.phase).notebook}.ipynb"
    run.store.close()
    sources = ["".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    (place,) = (number for number, source in enumerate(sources) if f'"{item.id}"' in source)
    return [f"run = {filed.id!r}", *sources[1 : place + 1]]


class Stepped:
    """A kernel of a person."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def runs(self, source: str) -> bool:
        """Run a cell to its end; false where the kernel is gone."""
        return self.ends(self.begin(source))

    def begin(self, source: str) -> str:
        """Begin to run a cell."""
        return str(self.client.execute(source, store_history=False))

    def ends(self, asked: str) -> bool:
        """Wait for the end of a cell that was begun."""
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=0.1)
            except queue.Empty:
                if not self.manager.is_alive():
                    return False
                continue
            if reply["parent_header"].get("msg_id") == asked:
                assert reply["content"]["status"] == "ok", reply["content"]
                return True


@contextmanager
def kernel(filed: Filed, aim: Aim | None) -> Iterator[Stepped]:
    """A kernel as JupyterLab starts it, in the world of files."""
    with tempfile.TemporaryDirectory(prefix="dk-") as folder, pytest.MonkeyPatch.context() as patch:
        file = str(Path(folder, "k.json"))
        manager: Any = KernelManager(transport="ipc", ip=str(Path(folder, "k")), connection_file=file)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        manager._kernel_spec = KernelSpec(argv=argv, display_name="Python 3", language="python")
        patch.delenv("DEPLOYKIT_MODE", raising=False)
        manager.start_kernel(env={**os.environ, **environment(filed.home, aim)}, cwd=str(filed.home))
        client = manager.client()
        client.start_channels(hb=False)
        try:
            client.wait_for_ready(timeout=60)
            yield Stepped(manager, client)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
