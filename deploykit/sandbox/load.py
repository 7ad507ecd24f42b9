"""Users of the shop: a steady, bounded stream of requests through the proxy, counted by who answered.

It speaks HTTP/1.1 on plain streams, because a full client would take most of a core at this rate.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import time
from dataclasses import asdict
from pathlib import Path

from deploykit.sandbox.tally import Tally

TIMEOUT = 15.0
MOST_AT_ONCE = 400
#: Requests a second to the staging copy, which a team of a few people uses.
STAGING_RATE = 5.0
NEW_CONNECTION_SHARE = 0.05
WRITE_SECONDS = 0.25
NOBODY = ("none", "none")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
VERSION = re.compile(rb"\r\nx-version: *([^\r]+)", re.IGNORECASE)
COLOUR = re.compile(rb"\r\nx-colour: *([^\r]+)", re.IGNORECASE)
ORDER = b'{"product_id": 7, "quantity": 1}'


class Users:
    """Sends the requests.

    Args:
        port: The proxy's port.
        folder: Where `load.json` (totals) and `load-seconds.jsonl` (a line a second) are written.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.second: dict[tuple[str, str], Tally] = {}
        self.busy: set[asyncio.Task[None]] = set()

    async def send_all(self, rate: float, seconds: float) -> None:
        """Sends requests at random moments, on average at the rate, until the time is over."""
        began = time.monotonic()
        following = began
        for _ in range(int(rate * seconds * 1.1) + 1):
            following += random.expovariate(rate)
            if following - began > seconds:
                break
            await asyncio.sleep(max(0.0, following - time.monotonic()))
            if len(self.busy) >= MOST_AT_ONCE:
                self.count(NOBODY, failed=True)
                continue
            task = asyncio.create_task(self.one())
            self.busy.add(task)
            task.add_done_callback(self.busy.discard)
        await asyncio.gather(*self.busy)

    async def one(self) -> None:
        """Sends one request and counts who answered."""
        try:
            async with asyncio.timeout(TIMEOUT):
                who, status = await self.exchange(request())
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            who, status = NOBODY, 0
        self.count(who, failed=not 0 < status < 500)

    async def exchange(self, sent: bytes) -> tuple[tuple[str, str], int]:
        """Sends bytes on a connection and reads the answer: who it is from and its status."""
        fresh = not self.idle or random.random() < NEW_CONNECTION_SHARE
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port) if fresh else self.idle.pop()
        try:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
        except BaseException:
            writer.close()
            raise
        if (fresh and self.idle) or b"\r\nconnection: close" in head.lower():
            writer.close()
        else:
            self.idle.append((reader, writer))
        colour, version = COLOUR.search(head), VERSION.search(head)
        who = (colour[1].decode(), version[1].decode()) if colour and version else NOBODY
        return who, int(head[9:12])

    def count(self, who: tuple[str, str], *, failed: bool) -> None:
        """Counts an answer in the totals and in the current second."""
        now = time.time()
        for tallies in (self.tallies, self.second):
            tallies.setdefault(who, Tally()).count(now, failed=failed)

    async def write_for_ever(self) -> None:
        """Writes the totals again and again, and a line when a second is over."""
        second = int(time.time())
        with (self.folder / "load-seconds.jsonl").open("a", buffering=1) as lines:
            while True:
                await asyncio.sleep(WRITE_SECONDS)
                self.write()
                if int(time.time()) > second:
                    lines.write(json.dumps({"second": second, "served": nested(self.second)}) + "\n")
                    second, self.second = int(time.time()), {}

    def write(self) -> None:
        """Writes the totals in one stroke."""
        file = self.folder / "load.json"
        beside = file.with_suffix(".tmp")
        beside.write_text(json.dumps(nested(self.tallies)))
        beside.replace(file)


def nested(tallies: dict[tuple[str, str], Tally]) -> dict[str, dict[str, dict[str, float]]]:
    """Tallies by colour, then version."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (colour, version), tally in tallies.items():
        found.setdefault(colour, {})[version] = asdict(tally)
    return found


def request() -> bytes:
    """One request of a user: mostly looking at a product."""
    chance = random.random()
    if chance < 0.05:
        head = b"POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        return head % len(ORDER) + ORDER
    path = b"/products" if chance < 0.2 else b"/products/%d" % random.randint(1, 50)
    return b"GET " + path + b" HTTP/1.1\r\nhost: shop\r\n\r\n"


async def run(arguments: argparse.Namespace) -> None:
    """Sends until the time is over or SIGTERM comes."""
    users = Users(arguments.port, arguments.folder)
    users.write()
    writing = asyncio.create_task(users.write_for_ever())
    sending = asyncio.create_task(users.send_all(arguments.rate, arguments.seconds))
    # The team that tries things on staging; its requests are counted nowhere here.
    team = Users(arguments.staging_port, arguments.folder)
    trying = asyncio.create_task(team.send_all(min(arguments.rate, STAGING_RATE), arguments.seconds))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sending.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    trying.cancel()
    writing.cancel()
    users.write()


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(prog="python -m deploykit.sandbox.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--staging-port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
