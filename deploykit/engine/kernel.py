"""The kernel: this interpreter in a session of its own, spoken to over private sockets, ended with all it started."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from deploykit.engine import session
from deploykit.errors import UsageError
from deploykit.executed import CellStatus, Ending

SIDE = Path(__file__).with_name("kernelside.py")
#: No history file; and a parameter's line `run: str = ""` is Python, not IPython's `%run`.
PLAIN = ("--HistoryManager.hist_file=:memory:", "--InteractiveShell.automagic=False")
#: How many lines of a dead kernel's last words are kept.
LAST = 30
#: Where Linux counts what it killed for want of memory.
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
#: The longest name of a unix socket that every supported system takes, less what is put behind the folder's name.
LONGEST = 103 - len("/k-9")


class _Manager(AsyncKernelManager):  # type: ignore[misc]  # jupyter_client is not followed
    """Starts the running interpreter, whatever kernelspecs are installed."""

    @property
    def kernel_spec(self) -> Any:
        """This interpreter, without the person's own IPython start-up files."""
        own = Path(self.connection_file).with_name("ipython")
        return KernelSpec(
            argv=[sys.executable, str(SIDE), "-f", "{connection_file}", f"--ipython-dir={own}"],
            display_name="Python 3",
            language="python",
        )


class Kernel:
    """One kernel process, from start to the end of what it started."""

    def __init__(self) -> None:
        self.folder = _short_folder()
        self.manager: Any = _Manager(
            kernel_name="python3",
            transport="ipc",
            ip=str(self.folder / "k"),
            connection_file=str(self.folder / "k.json"),
        )
        self.pid = 0
        self._mark = {"DEPLOYKIT_KERNEL": self.folder.name}
        self._known: set[session.Process] = set()
        self._oom = _killed_for_memory()

    async def start(self, env: Mapping[str, str], cwd: Path | None) -> None:
        """Start the process. What it says outside of a cell goes to a file in the private folder."""
        (self.folder / "ipython").mkdir()
        with (self.folder / "log").open("wb") as log:
            where = None if cwd is None else str(cwd)
            await self.manager.start_kernel(
                env={**env, **self._mark},
                cwd=where,
                stdout=log,
                stderr=log,
                extra_arguments=list(PLAIN),
            )
        self.pid = self.manager.provisioner.pid

    async def interrupt(self) -> None:
        """Interrupt what runs, if the kernel is there."""
        if await self.manager.is_alive():
            await self.manager.interrupt_kernel()

    def new_children(self) -> tuple[str, ...]:
        """The processes that the kernel has started since this was asked last, and that still run."""
        known = self._known
        self._known = set(session.children(self.pid))
        return tuple(str(process) for process in sorted(self._known - known))

    async def epitaph(self) -> Ending:
        """How the process ended, and the last it said."""
        code = await self.manager.provisioner.poll() if self.manager.has_kernel else None
        said = (self.folder / "log").read_text(errors="replace").splitlines()[-LAST:] if self.pid else []
        if code is None:
            return Ending(CellStatus.DIED, "the kernel did not answer", tuple(said))
        if code == -signal.SIGKILL and _killed_for_memory() > self._oom:
            return Ending(CellStatus.OUT_OF_MEMORY, "the kernel was killed, and the system was out of memory")
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Ending(CellStatus.DIED, f"the kernel is gone: {how}", tuple(said))

    async def stop(self, *, at_once: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """End the kernel and what its cells left running.

        Args:
            at_once: Kill it, since it was interrupted and did not listen.

        Returns:
            The processes that were ended with it, and those with a session of their own, which are left alone.
        """
        ended = [str(process) for process in session.members(self.pid)] if self.pid else []
        try:
            if self.manager.has_kernel and at_once:
                await self.manager.shutdown_kernel(now=True)
            elif self.manager.has_kernel:
                # Not `shutdown_kernel`: it interrupts an idle kernel first, which then may miss the request.
                await self.manager.request_shutdown()
                await self.manager.finish_shutdown()
        finally:
            await self.manager.cleanup_resources()
            if self.pid:
                await session.end_all(self.pid)
            self.discard()
        (mark,) = (f"{name}={value}" for name, value in self._mark.items())
        return tuple(ended), tuple(map(str, session.marked(mark))) if self.pid else ()

    def discard(self) -> None:
        """Remove the private folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _killed_for_memory() -> int:
    """How many processes the system has killed for want of memory, here and in our group; 0 where it does not count."""
    group = next((line[3:] for line in _lines(PROC / "self/cgroup") if line.startswith("0::")), "/")
    told = [*_lines(CGROUPS / group.lstrip("/") / "memory.events"), *_lines(PROC / "vmstat")]
    return sum(int(line.split()[1]) for line in told if line.startswith("oom_kill "))


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().splitlines()
    return []


def _short_folder() -> Path:
    """A private folder whose sockets' names fit.

    Raises:
        UsageError: No temporary folder has a name short enough, or none can be written.
    """
    for parent in _parents():
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="dk-", dir=parent))
            if len(os.fsencode(folder)) <= LONGEST:
                return folder
            folder.rmdir()
    raise UsageError(
        "no temporary folder is short enough for a socket", where=tempfile.gettempdir(), mend="set TMPDIR to /tmp"
    )


def _parents() -> Iterator[str]:
    yield tempfile.gettempdir()
    yield "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
