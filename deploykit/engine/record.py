"""The notebook while it runs: what each cell's status is, and when the file is written."""

from __future__ import annotations

import html
from contextlib import suppress
from typing import Any

import nbformat
from papermill.engines import NotebookExecutionManager

from deploykit import redact
from deploykit.engine.files import Target
from deploykit.engine.words import CellRan, CellStatus, Ending, Executed, Orders
from deploykit.errors import StoreError

OURS = "deploykit"


class Record(NotebookExecutionManager):  # type: ignore[misc]  # papermill publishes no types
    """papermill's bookkeeping, made to tell apart what papermill calls completed.

    papermill's own words (pending, running, completed, failed) stay valid for its readers; ours stand beside them, in
    `metadata.deploykit` of the notebook and of each code cell.

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
        self._dirty = False

    def save(self, **_: Any) -> None:
        """Note that there is something to write; papermill calls this more often than a file needs."""
        self._dirty = True

    def autosave_cell(self, **_: Any) -> None:
        """Note that an output came."""
        self._dirty = True

    def flush(self) -> None:
        """Write the notebook, if it changed since.

        Raises:
            StoreError: It cannot be written.
        """
        if self._dirty:
            self._dirty = False
            try:
                self.target.write(self._snapshot())
            except OSError as error:
                self._dirty = True
                raise StoreError(f"the notebook cannot be written: {error.strerror}", where=self.target.name) from error

    def notebook_start(self, **_: Any) -> None:
        """Nothing ran yet."""
        super().notebook_start()
        _tell(self.nb, CellStatus.RUNNING, "")
        self.nb.metadata[OURS]["mode"] = self.orders.mode
        for cell in self._code():
            _tell(cell, CellStatus.NEVER_RUN, "")
        self.flush()

    def cell_start(self, cell: Any, cell_index: int | None = None, **_: Any) -> None:
        """The cell runs from here on, and the file says so first."""
        super().cell_start(cell, cell_index)
        if cell.cell_type == "code":
            _tell(cell, CellStatus.RUNNING, "")
            try:
                self.flush()
            except StoreError:
                cell.metadata.papermill["status"] = self.PENDING
                _tell(cell, CellStatus.NEVER_RUN, "")
                raise

    def cell_complete(self, cell: Any, cell_index: int | None = None, **_: Any) -> None:
        """The cell ended well. The next cell's start, or the notebook's end, writes it."""
        super().cell_complete(cell, cell_index)
        if cell.cell_type == "code":
            _tell(cell, CellStatus.COMPLETED, "")

    def stopped(self, ending: Ending, index: int | None) -> None:
        """The notebook ends here: say which cell ended how, and which never ran.

        Args:
            ending: How and why.
            index: The cell that ran, or None between cells.
        """
        self.ending = Ending(ending.status, redact.text(ending.reason), tuple(map(redact.text, ending.detail)))
        self.nb.metadata.papermill["exception"] = True
        if index is not None:
            cell = self.nb.cells[index]
            self.cell_exception(cell, index)
            super().cell_complete(cell, index)
            _tell(cell, ending.status, self.ending.reason)
            if ending.status is not CellStatus.FAILED or not _has_error(cell):
                cell.outputs.append(_error(self.ending))
        self._mark_never_run(here=index is None)
        self._flush_if_possible()

    def _mark_never_run(self, *, here: bool) -> None:
        """Mark the cells that never ran; papermill looks for an error, which the first carries if no cell did."""
        for number, cell in enumerate(cell for cell in self._code() if _status(cell) is CellStatus.NEVER_RUN):
            cell.outputs = [_error(self.ending)] if here and self.ending and number == 0 else [_never_run()]

    def notebook_complete(self, **_: Any) -> None:
        """Write the end. What is pending stays pending."""
        self.end_time = self.now()
        told = self.nb.metadata.papermill
        told["end_time"] = self.end_time.isoformat()
        told["duration"] = (self.end_time - self.start_time).total_seconds()
        status, reason = (self.ending.status, self.ending.reason) if self.ending else (CellStatus.COMPLETED, "")
        _tell(self.nb, status, reason)
        if self.terminated:
            self.nb.metadata[OURS]["terminated"] = list(self.terminated)
        self.complete_pbar()
        self.cleanup_pbar()
        self.save()
        self._flush_if_possible()

    def _flush_if_possible(self) -> None:
        """Write at the end. papermill writes once more after us, and its error then reaches the caller."""
        with suppress(StoreError):
            self.flush()

    def answer(self, signal: int) -> Executed:
        """What the caller is told."""
        cells = tuple(
            CellRan(index, cell.get("id", ""), _status(cell), cell.metadata.papermill["duration"] or 0.0)
            for index, cell in enumerate(self.nb.cells)
            if cell.cell_type == "code"
        )
        status, reason = (self.ending.status, self.ending.reason) if self.ending else (CellStatus.COMPLETED, "")
        return Executed(status, cells, reason, self.terminated, signal)

    def _code(self) -> list[Any]:
        return [cell for cell in self.nb.cells if cell.cell_type == "code"]

    def _snapshot(self) -> Any:
        """The notebook with a visible word on the cell that runs, since this may be the last that is ever written."""
        shown = nbformat.NotebookNode(self.nb)
        shown.cells = [_running(cell) if _is_running(cell) else cell for cell in self.nb.cells]
        return shown


def _is_running(cell: Any) -> bool:
    return cell.cell_type == "code" and _status(cell) is CellStatus.RUNNING


def _running(cell: Any) -> Any:
    since = cell.metadata.papermill["start_time"]
    text = f"running since {since}; if nothing follows, the process that executed this notebook was killed"
    return nbformat.NotebookNode({**cell, "outputs": [*cell.outputs, _shown(text)]})


def _tell(node: Any, status: CellStatus, reason: str) -> None:
    told = dict(node.metadata.get(OURS, {}), status=status.value, reason=reason)
    node.metadata[OURS] = {key: value for key, value in told.items() if value}


def _status(cell: Any) -> CellStatus:
    return CellStatus(cell.metadata[OURS]["status"])


def _has_error(cell: Any) -> bool:
    return any(output.output_type == "error" for output in cell.outputs)


def _error(ending: Ending) -> Any:
    """An output that every reader shows in red, and that papermill takes for a failure."""
    return nbformat.v4.new_output(
        "error",
        ename=ending.status.value,
        evalue=redact.visible(ending.reason),
        traceback=[redact.visible(line) for line in (f"{ending.status.value}: {ending.reason}", *ending.detail)],
    )


def _never_run() -> Any:
    return _shown("never run: the run stopped before this cell")


def _shown(text: str) -> Any:
    data = {"text/plain": text, "text/html": f"<em>{html.escape(text)}</em>"}
    return nbformat.v4.new_output("display_data", data=data)
