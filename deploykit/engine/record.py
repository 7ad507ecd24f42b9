"""The notebook while it runs: what each cell's status is, and when the file is written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import nbformat
from papermill.engines import NotebookExecutionManager

from deploykit import executed, redact
from deploykit.engine.files import Target
from deploykit.engine.words import CellRan, Executed, Orders
from deploykit.errors import StoreError
from deploykit.executed import OURS, CellStatus, Ending


class Record(NotebookExecutionManager):  # type: ignore[misc]  # papermill publishes no types
    """papermill's bookkeeping, made to tell apart what papermill calls completed.

    papermill's own words (pending, running, completed, failed) stay valid for its readers; ours stand beside them, in
    `metadata.deploykit` of the notebook and of each code cell.

    What changed goes to the log beside the file at each cell's start. The file is written whole when the log has grown
    as large as it, so that all writes together stay in proportion to what is new; and while a cell runs long.

    Args:
        notebook: The notebook, with its parameters in place.
        orders: What was asked for, and where the answer goes.
        target: Where the notebook is written.
        progress_bar: As papermill has it.
        log_output: As papermill has it.
    """

    def __init__(self, notebook: Any, orders: Orders, target: Target, *, progress_bar: Any, log_output: bool) -> None:
        super().__init__(notebook, target.path, log_output=log_output, progress_bar=progress_bar)
        self.orders, self.target = orders, target
        self.ending: Ending | None = None
        self.terminated: tuple[str, ...] = ()
        self.left: tuple[str, ...] = ()
        self._changed: set[int] = set()

    def save(self, **_: Any) -> None:
        """Nothing: papermill calls this more often than a file needs."""

    def autosave_cell(self, **_: Any) -> None:
        """Nothing: who takes the message says which cells it changed."""

    def touch(self, indexes: Iterable[int]) -> None:
        """Note that these cells changed."""
        self._changed.update(indexes)

    def flush(self, *, whole: bool = False) -> None:
        """Bring what changed to the disk.

        Args:
            whole: Write the file itself, even where its log would do.

        Raises:
            StoreError: It cannot be written.
        """
        if not self._changed:
            return
        try:
            if whole or self.target.due:
                self.target.write(self._snapshot())
            else:
                self.target.add({index: self.nb.cells[index] for index in sorted(self._changed)})
        except OSError as error:
            raise StoreError(f"the notebook cannot be written: {error.strerror}", where=self.target.name) from error
        self._changed.clear()

    def notebook_start(self, **_: Any) -> None:
        """Nothing ran yet."""
        super().notebook_start()
        self.nb.metadata[OURS] = {"mode": self.orders.mode}
        executed.tell(self.nb, CellStatus.RUNNING)
        for index, cell in executed.code(self.nb):
            executed.tell(cell, CellStatus.NEVER_RUN)
            self.touch([index])
        self.flush(whole=True)

    def cell_start(self, cell: Any, cell_index: int | None = None, **_: Any) -> None:
        """The cell runs from here on, and the disk says so first."""
        super().cell_start(cell, cell_index)
        if cell.cell_type == "code":
            executed.tell(cell, CellStatus.RUNNING)
            self.touch([cell_index or 0])
            try:
                self.flush()
            except StoreError:
                cell.metadata.papermill["status"] = self.PENDING
                executed.tell(cell, CellStatus.NEVER_RUN)
                raise

    def cell_complete(self, cell: Any, cell_index: int | None = None, **more: Any) -> None:
        """The cell ended well. The next cell's start, or the notebook's end, writes it.

        Args:
            cell: The cell.
            cell_index: Its place.
            more: `children`, the processes that it started and left running.
        """
        super().cell_complete(cell, cell_index)
        if cell.cell_type == "code":
            executed.tell(cell, CellStatus.COMPLETED, children=list(more.get("children", ())))
            self.touch([cell_index or 0])

    def stopped(self, ending: Ending, index: int | None) -> None:
        """The notebook ends here: say which cell ended how, and which never ran.

        Args:
            ending: How and why.
            index: The cell that ran, or None between cells.
        """
        self.ending = Ending(ending.status, redact.text(ending.reason), tuple(map(redact.text, ending.detail)))
        self.nb.metadata.papermill["exception"] = True
        if index is not None:
            self.cell_exception(self.nb.cells[index], index)
            super().cell_complete(self.nb.cells[index], index)
        executed.stop(self.nb, self.ending, index)
        self.touch(index for index, _ in executed.code(self.nb))
        self._flush_if_possible()

    def notebook_complete(self, **_: Any) -> None:
        """Write the end. What is pending stays pending."""
        self.end_time = self.now()
        told = self.nb.metadata.papermill
        told["end_time"] = self.end_time.isoformat()
        told["duration"] = (self.end_time - self.start_time).total_seconds()
        status, reason = (self.ending.status, self.ending.reason) if self.ending else (CellStatus.COMPLETED, "")
        executed.tell(self.nb, status, reason, terminated=list(self.terminated), left=list(self.left))
        self.complete_pbar()
        self.cleanup_pbar()
        self.touch(range(len(self.nb.cells)))
        self.target.close(written=self._flush_if_possible())

    def _flush_if_possible(self) -> bool:
        """Write at the end. papermill writes once more after us, and its error then reaches the caller."""
        with suppress(StoreError):
            self.flush(whole=True)
        return not self._changed

    def answer(self, signal: int) -> Executed:
        """What the caller is told."""
        cells = tuple(
            CellRan(
                index,
                cell.get("id", ""),
                executed.status(cell) or CellStatus.NEVER_RUN,
                cell.metadata.papermill["duration"] or 0.0,
            )
            for index, cell in executed.code(self.nb)
        )
        status, reason = (self.ending.status, self.ending.reason) if self.ending else (CellStatus.COMPLETED, "")
        return Executed(status, cells, reason, self.terminated, self.left, signal)

    def _snapshot(self) -> Any:
        """The notebook with a visible word on the cell that runs, since this may be the last that is ever written."""
        shown = nbformat.NotebookNode(self.nb)
        index = executed.running(self.nb)
        if index is not None:
            shown.cells = list(self.nb.cells)
            shown.cells[index] = _running(self.nb.cells[index])
        return shown


def _running(cell: Any) -> Any:
    since = cell.metadata.papermill["start_time"]
    text = f"running since {since}; if nothing follows, the process that executed this notebook was killed"
    return nbformat.NotebookNode({**cell, "outputs": [*cell.outputs, nbformat.from_dict(executed.note(text))]})
