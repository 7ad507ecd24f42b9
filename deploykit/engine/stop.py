"""Signals that ask to stop, heard by the event loop and never in the middle of a write."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: A closed terminal stops a run as a termination does, unless `nohup` says otherwise.
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """A wish to stop: the first signal asks, the second one hurries."""

    def __init__(self) -> None:
        self.signal = 0
        self.count = 0
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def name(self) -> str:
        """The last signal's name."""
        return signal.Signals(self.signal).name if self.signal else ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals; the handlers before are put back. Only a main thread can; elsewhere nothing is heard."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # What is ignored stays ignored: `nohup`, or a shell that put us into the background, wants it so.
        before = {heard: signal.getsignal(heard) for heard in HEARD if signal.getsignal(heard) != signal.SIG_IGN}
        for heard in before:
            signal.signal(heard, self._hear)
        try:
            yield
        finally:
            for heard, handler in before.items():
                signal.signal(heard, handler if handler is not None else signal.SIG_DFL)

    @contextmanager
    def waking(self) -> Iterator[None]:
        """Let signals wake the running event loop, also those that came before it ran."""
        self._loop = asyncio.get_running_loop()
        self._tell()
        try:
            yield
        finally:
            self._loop = None

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self.count += 1
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self.count:
            self.asked.set()
        if self.count > 1:
            self.hurry.set()
