"""Runs a notebook's cells in a kernel, and finds out how they ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient

from deploykit import redact
from deploykit.engine.files import placeless
from deploykit.engine.kernel import Kernel
from deploykit.engine.record import Record
from deploykit.engine.stop import Stop
from deploykit.engine.words import MODE
from deploykit.errors import DeploykitError, StoreError
from deploykit.executed import CellStatus, Ending

#: Seconds that a cell has, once interrupted, to put its things in order.
GRACE = 5.0
#: Seconds between two saves while a cell runs and says something.
AUTOSAVE = 2.0
#: Of two neighbouring pieces of a stream, how much of the first is looked at again for a secret that spans both.
SEAM = 4096


class _EndedError(Exception):
    """The notebook ends here."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        super().__init__(ending.reason)


class Client(PapermillNotebookClient):  # type: ignore[misc]  # papermill publishes no types
    """papermill's client with our kernel, our ends and our way to stop.

    Args:
        record: The notebook under way.
        stop: Who may ask us to stop.
        start_timeout: Seconds that the kernel may take to answer for the first time.
        options: For papermill's client.
    """

    def __init__(self, record: Record, stop: Stop, *, start_timeout: int, **options: Any) -> None:
        self.kernel = Kernel()
        # The tags `raises-exception` and `skip-execution` are no part of what was approved, so neither has a say.
        super().__init__(
            record,
            km=self.kernel.manager,
            force_raise_errors=True,
            skip_cells_with_tag="",
            startup_timeout=start_timeout,
            iopub_timeout=30,
            **options,
        )
        self.record, self.stop = record, stop
        self._reply: dict[str, Any] = {}
        self._deaf = False
        self._begun = asyncio.Event()
        self.on_cell_executed = self._replied

    async def perform(self) -> None:
        """Run everything; how it ended is in the record. Only what is not an `Exception` comes out."""
        saving = asyncio.create_task(self._autosave())
        running: int | None = None
        try:
            with self.stop.waking():
                await self._bounded(self._start(), limit=None, grace=0)
                for running, cell in enumerate(self.nb.cells):
                    await self._cell(running, cell)
                running = None
                self.set_widgets_metadata()
        except BaseException as error:
            self.record.stopped(await self._ending(error), self._underway(running))
            if not isinstance(error, Exception):
                raise
        finally:
            saving.cancel()
            await self._end()

    async def _start(self) -> None:
        orders = self.record.orders
        env = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", **os.environ, **orders.env, MODE: orders.mode}
        await self.kernel.start(env, orders.cwd)
        if orders.on_start is not None:
            orders.on_start(self.kernel.pid)
        self.kc = self.kernel.manager.client()
        # No heartbeat: the process itself is watched, and the heartbeat's thread cannot be stopped while it starts.
        self.kc.start_channels(hb=False)
        try:
            await self.kc.wait_for_ready(timeout=self.startup_timeout)
        except RuntimeError as error:
            raise DeadKernelError(str(error)) from error
        self.kc.allow_stdin = False
        told = await self.async_wait_for_reply(self.kc.kernel_info())
        if told is not None:
            self.nb.metadata["language_info"] = told["content"]["language_info"]

    async def _cell(self, index: int, cell: Any) -> None:
        self._require_going()
        self.record.cell_start(cell, index)
        self._reply = {}
        self._begun.clear()
        await self._bounded(self.async_execute_cell(cell, index), limit=self.record.orders.timeout, grace=GRACE)
        payload = self._reply.get("content", {}).get("payload", [])
        if any(item.get("source") == "ask_exit" for item in payload):
            raise _EndedError(Ending(CellStatus.EXITED, "the cell called exit()"))
        self.record.cell_complete(cell, index, children=self.kernel.new_children())

    def _require_going(self) -> None:
        if self.stop.asked.is_set():
            raise _EndedError(self._interrupted())

    async def _bounded(self, work: Coroutine[Any, Any, Any], *, limit: float | None, grace: float) -> None:
        """Do the work; when it takes too long or a stop is asked, interrupt it, and in the end leave it.

        Raises:
            _EndedError: It had to be interrupted, whatever it made of that.
        """
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self.stop.asked.wait())
        try:
            await asyncio.wait({task, asked}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                ending = self._interrupted() if limit is None or asked.done() else _late(limit)
                await self._interrupt(task, grace)
                raise _EndedError(ending)
            await task
        finally:
            asked.cancel()
            await _leave(task)

    async def _interrupt(self, task: asyncio.Future[Any], grace: float) -> None:
        if grace:
            interrupting = asyncio.ensure_future(self._interrupt_once_begun())
            hurry = asyncio.ensure_future(self.stop.hurry.wait())
            await asyncio.wait({task, hurry}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
            await _leave(interrupting)
            await _leave(hurry)
        self._deaf = not task.done()

    async def _interrupt_once_begun(self) -> None:
        """Interrupt the cell, but not before it runs: the kernel would miss the interrupt and then run the cell."""
        await self._begun.wait()
        await self.kernel.interrupt()

    def _interrupted(self) -> Ending:
        return Ending(CellStatus.INTERRUPTED, f"{self.stop.name} came")

    async def _ending(self, error: BaseException) -> Ending:
        if isinstance(error, _EndedError):
            return error.ending
        if isinstance(error, DeadKernelError):
            ending = await self.kernel.epitaph()
            return replace(ending, detail=tuple(map(placeless, ending.detail)))
        if not isinstance(error, Exception):
            return Ending(CellStatus.INTERRUPTED, self.stop.name or type(error).__name__)
        if isinstance(error, CellExecutionError) and error.ename == "SystemExit":
            return Ending(CellStatus.EXITED, f"the cell called sys.exit({error.evalue})")
        if isinstance(error, CellExecutionError) and error.ename == "MemoryError":
            return Ending(CellStatus.OUT_OF_MEMORY, _why(error))
        return Ending(CellStatus.FAILED, _why(error))

    def _underway(self, index: int | None) -> int | None:
        """The cell that really ran when it ended, if there was one."""
        if index is None or self.nb.cells[index].metadata.papermill["status"] != self.record.RUNNING:
            return None
        return index

    async def _end(self) -> None:
        if self.kc is not None:
            self.kc.stop_channels()
        self.record.terminated, self.record.left = await self.kernel.stop(at_once=self._deaf)

    async def _autosave(self) -> None:
        pause = AUTOSAVE
        while True:
            await asyncio.sleep(pause)
            before = monotonic()
            # What cannot be written now is tried again, and the next cell does not start without it.
            with suppress(StoreError):
                self.record.flush(whole=True)
            # A notebook that takes long to write is written less often.
            pause = max(AUTOSAVE, 10 * (monotonic() - before))

    def _replied(self, *, execute_reply: dict[str, Any], **_: Any) -> None:
        self._reply = execute_reply

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Take one message from the kernel, redacted before anything keeps it."""
        if msg["msg_type"] == "execute_input":
            self._begun.set()
        content = redact.tree(msg["content"])
        if "traceback" in content:
            content["traceback"] = [placeless(line) for line in content["traceback"]]
        if content.get("name") == "stderr":
            content["text"] = placeless(content["text"])
        self.record.touch([cell_index, *self._showing(content)])
        output = super().process_message({**msg, "content": content}, cell, cell_index)
        _join(cell.outputs)
        return output

    def _showing(self, content: dict[str, Any]) -> Iterable[int]:
        """The cells that show the display that a message updates."""
        display = (content.get("transient") or {}).get("display_id")
        return tuple(self._display_id_map.get(display, ()))


def _late(limit: float) -> Ending:
    return Ending(CellStatus.TIMED_OUT, f"the cell ran longer than {limit:g} s")


async def _leave(task: asyncio.Future[Any]) -> None:
    """Give a task up. What an interrupted cell raised is the interrupt's echo, and in its outputs already."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _why(error: Exception) -> str:
    match error:
        case CellExecutionError():
            return f"{error.ename}: {error.evalue}"
        case CellTimeoutError():
            return "the cell ended, but its outputs did not arrive"
        case DeploykitError():
            return error.what
    return f"{type(error).__name__}: {error}"


def _join(outputs: list[Any]) -> None:
    """Join a stream's newest piece with the one before, as a secret may span both."""
    if len(outputs) < 2 or any(output.output_type != "stream" for output in outputs[-2:]):
        return
    before, newest = outputs[-2:]
    if before.name == newest.name:
        before.text = before.text[:-SEAM] + redact.text(before.text[-SEAM:] + newest.text)
        outputs.pop()
