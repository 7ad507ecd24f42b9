"""The engine that papermill calls, and the call that goes through papermill."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import nbformat
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger

from deploykit.engine import parameters as declared
from deploykit.engine.client import Client
from deploykit.engine.files import Target
from deploykit.engine.record import Record
from deploykit.engine.stop import Stop
from deploykit.engine.words import Executed, Mode, Orders
from deploykit.errors import UsageError
from deploykit.executed import CellStatus, Ending

NAME = "deploykit"


class DeploykitEngine(Engine):  # type: ignore[misc]  # papermill publishes no types
    """papermill's engine `deploykit`: the archived notebook tells what happened, also when that was a kill.

    It runs Python with the interpreter that papermill runs with; a kernel's name is not looked at.
    """

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:  # noqa: ARG003 - papermill's signature
        """Always this interpreter."""
        return "python3"

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:  # noqa: ARG003 - papermill's signature
        """Always Python."""
        return "python"

    @classmethod
    def execute_notebook(  # noqa: PLR0913 - papermill's own arguments
        cls,
        nb: Any,
        kernel_name: str,  # noqa: ARG003 - it is this interpreter
        output_path: str | None = None,
        *,
        input_path: Any = None,  # noqa: ARG003 - it is in the metadata
        progress_bar: Any = True,
        log_output: bool = False,
        autosave_cell_every: int = 0,  # noqa: ARG003 - said below
        start_timeout: int = 60,
        execution_timeout: float | None = None,
        stdout_file: Any = None,
        stderr_file: Any = None,
        orders: Orders | None = None,
    ) -> Any:
        """Execute a notebook that papermill read and parameterized.

        An argument that is not known is an error here, where papermill's own engine drops it. `autosave_cell_every` is
        not looked at: the notebook is saved when it changed.

        Raises:
            UsageError: The notebook or its parameters are wrong; nothing was started or written.
        """
        told = _usage_for_papermill if orders is None else nullcontext
        orders = orders or Orders(timeout=execution_timeout)
        name = Path(str(nb.metadata.papermill.get("input_path") or "notebook")).name
        with told():
            _require_python(nb, name)
            declared.check(nb, nb.metadata.papermill.get("parameters", {}), name)
        target = Target(output_path)
        record = Record(nb, orders, target, progress_bar=progress_bar, log_output=log_output)
        options = {"log": logger, "log_output": log_output, "stdout_file": stdout_file, "stderr_file": stderr_file}
        client = Client(record, Stop(), start_timeout=start_timeout, **options)
        try:
            _conduct(client)
        finally:
            client.kernel.discard()
        return nb


class PapermillUsageError(UsageError, click.ClickException):  # type: ignore[misc]  # an IntEnum is the int it wants
    """A wrong use that papermill's own command line ends with, in one line and with exit code 2."""

    def format_message(self) -> str:
        """What is shown behind `Error:`."""
        return str(self)


@contextmanager
def _usage_for_papermill() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise PapermillUsageError(error.what, where=error.where, mend=error.mend) from error


def execute(  # noqa: PLR0913 - the keywords of one call
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    *,
    mode: Mode,
    env: Mapping[str, str] | None = None,
    cell_timeout: float | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Executed:
    """Execute a notebook into another file, through papermill.

    Args:
        source: The notebook to execute; its folder is the kernel's working directory.
        target: The file to write, whole at any moment.
        parameters: Its parameters.
        mode: What `DEPLOYKIT_MODE` says in the kernel.
        env: More for the kernel's environment.
        cell_timeout: Seconds that one cell may take.
        on_start: Called with the kernel's process id.

    Returns:
        How it ended. A cell that raised, a kernel that died and a signal that came are answers, not exceptions.

    Raises:
        UsageError: The notebook, its parameters or the environment are wrong; nothing was started or written.
    """
    _require_runnable(source)
    from papermill.execute import execute_notebook  # noqa: PLC0415 - papermill is still loading when it loads us

    papermill_engines.register(NAME, DeploykitEngine)
    orders = Orders(mode, dict(env or {}), source.resolve().parent, cell_timeout, on_start)
    error: Exception | None = None
    with _quiet():
        try:
            # The kernel's name and language are for papermill's look at the parameters, before it asks the engine.
            asked = {"engine_name": NAME, "kernel_name": "python3", "language": "python", "progress_bar": False}
            execute_notebook(_plain(source), _plain(target), dict(parameters), **asked, orders=orders)
        except (PapermillExecutionError, OSError) as raised:
            error = raised
    if orders.answer is None:
        raise error or UsageError("papermill did not execute it", where=source.name)
    if isinstance(error, OSError):
        return replace(orders.answer, status=CellStatus.FAILED, error=f"cannot write {target.name}: {error.strerror}")
    return orders.answer


def _conduct(client: Client) -> None:
    """Start the record, run the cells, and close the record, whatever happens between."""
    record, stop = client.record, client.stop
    with stop.listening():
        record.notebook_start()
        try:
            _run(client.perform)
        except BaseException as error:
            # Nobody saw the end, so it is not a good one, even where each cell completed.
            if record.ending is None:
                record.stopped(Ending(CellStatus.FAILED, f"{type(error).__name__}: {error}"), None)
            raise
        finally:
            record.notebook_complete()
            record.orders.answer = record.answer(stop.signal)


def _run(perform: Callable[[], Any]) -> None:
    """Run on an event loop of our own, on another thread where this one has its own already (in Jupyter)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(perform())
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(perform())).result()


def _plain(path: Path) -> str:
    """A path that papermill's templates leave as it is."""
    return str(path.resolve()).replace("{", "{{").replace("}", "}}")


def _require_runnable(source: Path) -> None:
    if importlib.util.find_spec("ipykernel") is None:
        raise UsageError(
            "there is no ipykernel in this interpreter",
            where="engine",
            mend="pip install 'deploykit-runbooks[notebooks]'",
        )
    try:
        tree = json.loads(source.read_bytes())
        if not isinstance(tree, dict) or tree.get("nbformat") != 4 or not isinstance(tree.get("cells"), list):
            raise UsageError("this is not a notebook of format 4", where=str(source))
        nbformat.validate(tree)
    except OSError as error:
        raise UsageError(f"cannot read the notebook: {error.strerror}", where=str(source)) from error
    except (ValueError, nbformat.ValidationError) as error:
        raise UsageError("this is not a notebook, or a damaged one", where=str(source)) from error


def _require_python(notebook: Any, name: str) -> None:
    said = notebook.metadata
    language = said.get("language_info", {}).get("name") or said.get("kernelspec", {}).get("language") or "python"
    if language != "python":
        raise UsageError(f"it is written in {language}", where=name, mend="this engine runs Python notebooks")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep papermill's log, which holds parameters, to those who debug."""
    level = logger.level
    if not logger.isEnabledFor(logging.DEBUG):
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
