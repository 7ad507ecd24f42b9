"""Shifts under load, with new and kept connections, through each real proxy that is here.

`DEPLOYKIT_SHIFTS` is how many. A request is on the wrong side when it was sent after `set_weights` had returned, and
served by the colour that had no weight by then.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deploykit.analysis.share import holds
from deploykit.model import Colour
from deploykit.ports import Router
from tests.providers.adapters import envoy
from tests.providers.routers import haproxy, real_envoy, real_haproxy

SHIFTS = int(os.environ.get("DEPLOYKIT_SHIFTS", "200"))
#: Blue's share: a shift in steps, a rollback out of each of them, and from one side to the other.
SCHEDULE = (10, 50, 100, 0, 10, 0, 50, 0, 100, 10)
#: Requests a second, how many of them on a new connection, and seconds between two shifts.
RATE, FRESH, STAYS = 300.0, 0.2, 0.4
PROXIES: dict[str, tuple[Callable[..., AbstractContextManager[tuple[str, str]]], Callable[[str], Router]]] = {
    "Envoy": (real_envoy, lambda place: envoy(place, 2)),
    "HAProxy": (real_haproxy, haproxy),
}


@dataclass
class Traffic:
    """Both copies, and their users, on one loop of a thread of its own.

    Attributes:
        seen: Sent at, answered by and status of each request; nobody and 0 where no answer came.
    """

    seen: list[tuple[float, str, int]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    door: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        servers = [await asyncio.start_server(self._copy(colour), "127.0.0.1", 0) for colour in (b"blue", b"green")]
        self.ports = [server.sockets[0].getsockname()[1] for server in servers]
        self.ready.set()
        await asyncio.to_thread(self.open.wait)
        users: set[asyncio.Task[None]] = set()
        following = time.monotonic()
        while not self.over.is_set():
            following += random.expovariate(RATE)
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            users.add(asyncio.create_task(self._one()))
            users = {user for user in users if not user.done()}
        await asyncio.gather(*users)
        for server in servers:
            server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.1)  # until their connections are gone

    def _copy(self, colour: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    await asyncio.sleep(random.uniform(0, 0.03))
                    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(colour)
                    writer.write(head + colour)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                self._writers.discard(writer)

        return serve

    async def _one(self) -> None:
        sent = time.monotonic()
        try:
            async with asyncio.timeout(10):
                self.seen.append((sent, *await self._exchange()))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.seen.append((sent, "", 0))

    async def _exchange(self) -> tuple[str, int]:
        kept = self._idle.pop() if self._idle and random.random() > FRESH else None
        reader, writer = kept or await asyncio.open_connection("127.0.0.1", self.door)
        self._writers.add(writer)
        writer.write(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if len(self._idle) < 20:
            self._idle.append((reader, writer))
        else:
            writer.close()
            self._writers.discard(writer)
        return body.decode(), int(head[9:12])


def shifts(router: Router) -> list[tuple[int, float, float]]:
    """Blue's share, when the call began and when it returned, for each shift."""
    done = []
    for blue in islice(cycle(SCHEDULE), SHIFTS):
        began = time.monotonic()
        router.set_weights({"blue": blue, "green": 100 - blue})
        done.append((blue, began, time.monotonic()))
        time.sleep(STAYS)
    return done


@pytest.mark.parametrize("proxy", PROXIES)
def test_no_request_fails_and_none_is_on_the_wrong_side(proxy: str, tmp_path: Path) -> None:
    start, connect = PROXIES[proxy]
    traffic = Traffic()
    thread = threading.Thread(target=traffic.run)
    thread.start()
    traffic.ready.wait(10)
    try:
        with start(tmp_path, tuple(traffic.ports)) as (place, door):
            traffic.door = urlsplit(door).port or 0
            router = connect(place)
            traffic.open.set()
            time.sleep(1)
            done = shifts(router)
            traffic.over.set()
            thread.join(30)
    finally:
        traffic.open.set()
        traffic.over.set()
        thread.join(30)
    sys.stdout.write("\n" + told(proxy, traffic, done) + "\n")


def told(proxy: str, traffic: Traffic, done: list[tuple[int, float, float]]) -> str:
    """The figures, once they are what they have to be."""
    failed = [one for one in traffic.seen if one[2] != 200]
    ends = [began for _, began, _ in done[1:]] + [done[-1][2] + STAYS]
    wrong, unlikely, hits, total = 0, 0, {10: 0, 50: 0}, {10: 0, 50: 0}
    for (blue, _, returned), end in zip(done, ends, strict=True):
        served = [by for sent, by, _ in traffic.seen if returned <= sent < end]
        if blue in {0, 100}:
            loser: Colour = "blue" if blue == 0 else "green"
            wrong += served.count(loser)
        else:
            hits[blue] += served.count("blue")
            total[blue] += len(served)
            unlikely += not holds(served.count("blue"), len(served), blue / 100)
    assert (len(failed), wrong, unlikely) == (0, 0, 0)
    assert all(holds(hits[blue], total[blue], blue / 100) for blue in hits)
    calls = sorted((returned - began) * 1000 for _, began, returned in done)
    shares = ", ".join(f"{blue} %: {hits[blue] / total[blue]:.2%} of {total[blue]:,}" for blue in hits)
    return (
        f"{proxy}: {len(done)} shifts under {len(traffic.seen):,} requests ({RATE:.0f}/s, {FRESH:.0%} on new ones): "
        f"0 failed, 0 on the wrong side; {shares}, each split within its bound; "
        f"a call took {statistics.median(calls):.1f} ms (median), {calls[int(len(calls) * 0.9)]:.1f} (p90), "
        f"{calls[-1]:.1f} (longest)"
    )
