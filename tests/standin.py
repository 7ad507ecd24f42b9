"""One stand-in of the sandbox inside the test's own process, for what needs no service, proxy or database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors.tap import Tap
from tests.providers.faults import closed_port


@contextmanager
def serving(tap: Tap) -> Iterator[str]:
    """The stand-in's address for as long as the block lasts."""
    port, up = closed_port(), threading.Event()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        listener = Listener(tap, port)
        await listener.start()
        up.set()
        await over.wait()
        await listener.stop()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert up.wait(20)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
