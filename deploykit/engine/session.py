"""The processes of a session: what a kernel's cells started and left running."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

#: Seconds between SIGTERM and SIGKILL, and again until the last one must be gone.
PATIENCE = 3.0
_PROC = Path("/proc")


class Process(NamedTuple):
    """A living process."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def members(session: int) -> tuple[Process, ...]:
    """The living processes of a session, without its leader."""
    return tuple(process for process in _living() if process.pid != session and _session(process.pid) == session)


async def end_all(session: int) -> None:
    """End every process of a session whose leader has ended: politely, then for certain."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        deadline = monotonic() + PATIENCE
        for process in members(session):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signum)
        while members(session) and monotonic() < deadline:  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.05)


def _session(pid: int) -> int:
    with suppress(ProcessLookupError, PermissionError):
        return os.getsid(pid)
    return -1


def _living() -> Iterator[Process]:
    """Every process that is not a zombie, which nobody can end."""
    if not (_PROC / "self" / "stat").exists():
        yield from _by_ps()
        return
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                stat = (folder / "stat").read_text(errors="replace")
                name, rest = stat.split("(", 1)[1].rsplit(")", 1)
                if rest.split()[0] not in {"Z", "X"}:
                    yield Process(int(folder.name), name)


def _by_ps() -> Iterator[Process]:
    command = ["/bin/ps", "-A", "-o", "pid=,stat=,comm="]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        pid, stat, name = line.split(None, 2)
        if not stat.startswith("Z"):
            yield Process(int(pid), Path(name).name)
