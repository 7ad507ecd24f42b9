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


def children(pid: int) -> tuple[Process, ...]:
    """The processes that this one started itself, cheap enough to ask after every cell; none without /proc."""
    found: set[int] = set()
    for listed in (_PROC / str(pid) / "task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            found.update(map(int, listed.read_text().split()))
    return tuple(process for child in sorted(found) if (process := _process(_PROC / str(child))))


def marked(mark: str) -> tuple[Process, ...]:
    """The living processes that inherited a mark `NAME=VALUE`, in whatever session they are; none without /proc.

    Our own guard and rollback are meant to outlive a kernel; the journal tells of them.
    """
    return tuple(process for process in _living() if _bears(_PROC / str(process.pid), mark.encode()))


def _bears(folder: Path, mark: bytes) -> bool:
    with suppress(OSError):  # it ended meanwhile, or is not ours to look into
        ours = b"\0-m\0deploykit" in (folder / "cmdline").read_bytes()
        return not ours and mark in (folder / "environ").read_bytes().split(b"\0")
    return False


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
        if folder.name.isdecimal() and (process := _process(folder)):
            yield process


def _process(folder: Path) -> Process | None:
    """The process of a folder in /proc, if it is alive."""
    with suppress(OSError):
        stat = (folder / "stat").read_text(errors="replace")
        name, rest = stat.split("(", 1)[1].rsplit(")", 1)
        if rest.split()[0] not in {"Z", "X"}:
            return Process(int(folder.name), name)
    return None


def _by_ps() -> Iterator[Process]:
    command = ["/bin/ps", "-A", "-o", "pid=,stat=,comm="]
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        pid, stat, name = line.split(None, 2)
        if not stat.startswith("Z"):
            yield Process(int(pid), Path(name).name)
