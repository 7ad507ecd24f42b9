"""The shop: a small HTTP service on PostgreSQL, of which the sandbox runs a green and a blue copy.

It serves its private socket at once, where the platform asks for its health, and the public one from SIGUSR1 on. Both
sockets are handed to it, so a new version takes over a port while the old one still finishes its requests there.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from deploykit.sandbox.edge import QUERIES, RateLimited, with_cors
from deploykit.sandbox.releases import Release, find_release
from deploykit.sandbox.serving import QuietServer, make_server
from deploykit.sandbox.telling import Teller

# Before it closes idle connections it asks the proxy, in its answers, to close them: a request could meet the closing.
DRAIN_SECONDS = 0.4
SPARED = ("/health", "/version")
#: A leak ends here, so that it does not take the machine with it.
MOST_LEAKED = 300 * 1024 * 1024
Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


class Shop:
    """The routes of the shop on a pool of connections."""

    def __init__(self, release: Release, colour: str, pool: Pool) -> None:
        self.release, self.colour, self.pool = release, colour, pool
        self.asked, self.seconds = 0, 0.0

    async def version(self, _: Request) -> JSONResponse:
        """Says which release this is."""
        return JSONResponse({"version": self.release.tag, "commit": self.release.commit, "colour": self.colour})

    async def health(self, _: Request) -> JSONResponse:
        """Says whether it can do its work."""
        try:
            await self.rows("SELECT 1 AS one")
            database = "ok"
        except (psycopg.Error, PoolTimeout):
            database = "failed"
        good = database == "ok" and self.release.healthy
        if not good:
            say(f"health: failed, database {database}, settings {'ok' if self.release.healthy else 'not found'}")
        checks = {"database": database} if self.release.healthy else {"database": database, "settings": "failed"}
        return JSONResponse({"status": "ok" if good else "failed", "checks": checks}, 200 if good else 503)

    async def products(self, _: Request) -> JSONResponse:
        """Lists products."""
        return JSONResponse(await self.rows("SELECT id, name, price_cents FROM products ORDER BY id LIMIT 20"))

    async def product(self, request: Request) -> JSONResponse:
        """Shows one product."""
        query = "SELECT id, name, price_cents FROM products WHERE id = %s"
        found = await self.rows(query, request.path_params["id"])
        return JSONResponse(found[0]) if found else JSONResponse({"error": "no such product"}, 404)

    async def order(self, request: Request) -> JSONResponse:
        """Takes an order."""
        try:
            wanted = await request.json()
            values = int(wanted["product_id"]), int(wanted["quantity"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "product_id and quantity are needed"}, 400)
        query = "INSERT INTO orders (product_id, quantity) SELECT id, %s FROM products WHERE id = %s RETURNING id"
        made = await self.rows(query, values[1], values[0])
        return JSONResponse(made[0], 201) if made else JSONResponse({"error": "no such product"}, 404)

    async def rows(self, query: str, *values: object) -> list[DictRow]:
        """Runs a query on a connection of the pool."""
        async with self.pool.connection() as connection:
            began = time.perf_counter()
            cursor = await connection.execute(query.encode(), values)
            found = await cursor.fetchall()
        self.asked, self.seconds = self.asked + 1, self.seconds + time.perf_counter() - began
        return found

    async def queries(self, _: Request) -> JSONResponse:
        """Says how many queries it made since it started, and how long they took."""
        return JSONResponse({"queries": self.asked, "milliseconds": self.seconds * 1000})

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/version", self.version),
            Route("/health", self.health),
            Route("/products", self.products),
            Route("/products/{id:int}", self.product),
            Route("/orders", self.order, methods=["POST"]),
            Route(QUERIES, self.queries),
        ]
        return Starlette(routes=routes)


class Behaviour:
    """Around the routes: what the release does wrong, the headers that name it, and a log line a request."""

    def __init__(self, shop: Shop, log: TextIO) -> None:
        self.inner, self.release, self.colour, self.log = shop.app(), shop.release, shop.colour, log
        self.app = RateLimited(with_cors(self.inner))
        self.leaked: list[bytes] = []
        environment = os.environ.get("RAILWAY_ENVIRONMENT_NAME", "production")
        self.teller = Teller(os.environ.get("SENTRY_DSN", ""), self.release.tag, environment)
        self.leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["path"] == QUERIES:
            await self.inner(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({"x-version": self.release.tag, "x-colour": self.colour})
                if self.leaving:
                    headers["connection"] = "close"
            await send(message)

        try:
            await self.misbehave(scope, receive, send_named)
        finally:
            self.write(scope, status, time.perf_counter() - began)

    async def misbehave(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fails or dawdles as often as the release does.

        Only for users, who come through the proxy, and never for health and version: what a team tries by hand on the
        idle copy works, and the fault shows under real traffic alone. That is the kind that a smoke test lets pass.
        """
        through_proxy = any(name == b"x-request-id" for name, _ in scope["headers"])
        if through_proxy and scope["path"] not in SPARED:
            self.leak()
            if random.random() < self.release.error_share:
                await JSONResponse({"error": "internal error"}, 500)(scope, receive, send)
                return
            if random.random() < self.release.slow_share:
                await asyncio.sleep(self.release.slow_seconds)
        await self.app(scope, receive, send)

    def leak(self) -> None:
        """Allocates what the release never lets go; written to, so that it is really there."""
        if len(self.leaked) * self.release.leak_bytes < MOST_LEAKED and self.release.leak_bytes:
            self.leaked.append(b"\x01" * self.release.leak_bytes)

    def write(self, scope: Scope, status: int, seconds: float) -> None:
        """Writes the log line."""
        query = scope["query_string"].decode("ascii", "replace")
        line = {
            "message": f"{scope['method']} {scope['path']}{'?' if query else ''}{query} {status}",
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "error" if status >= 500 else "info",
            "version": self.release.tag,
            "colour": self.colour,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1000, 2),
        }
        self.log.write(json.dumps(line) + "\n")
        if scope["path"] not in SPARED:
            self.teller.count(f"{scope['method']} {scope['path']}", status)


def say(line: str) -> None:
    """Writes a line to standard error, which the platform keeps as the deployment's log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


async def serve(shop: Shop, log: TextIO, private: socket.socket, public: socket.socket) -> None:
    """Serves the private socket, and the public one from SIGUSR1 on, until SIGTERM."""
    app = Behaviour(shop, log)
    inner, outer = make_server(app), make_server(app, keep_alive=120)
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        app.leaving = True
        loop.call_later(DRAIN_SECONDS if signalled.is_set() else 0, finish, inner, outer)
        signalled.set()

    loop.add_signal_handler(signal.SIGUSR1, signalled.set)
    loop.add_signal_handler(signal.SIGTERM, stop)
    telling = asyncio.create_task(app.teller.run())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(inner.serve(sockets=[private]))
        await signalled.wait()
        if not app.leaving:
            tasks.create_task(outer.serve(sockets=[public]))
    telling.cancel()


def finish(*servers: QuietServer) -> None:
    """Lets the servers finish what they have and end."""
    for server in servers:
        server.should_exit = True


async def run(release: Release, colour: str, log: TextIO, fds: list[int]) -> None:
    """Opens the pool and serves."""
    sockets = [socket.socket(fileno=fd) for fd in fds]
    say(f"shop {release.tag} ({release.commit[:9]}) starts as {colour}")
    options = {"autocommit": True, "row_factory": dict_row}
    async with AsyncConnectionPool(
        os.environ["DATABASE_URL"],
        connection_class=Connection,
        kwargs=options,
        min_size=2,
        max_size=10,
        timeout=2.0,
        open=False,
    ) as pool:
        await serve(Shop(release, colour, pool), log, *sockets)


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(prog="python -m deploykit.sandbox.service", description=__doc__)
    for name in ("version", "colour", "log"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("private-fd", "public-fd"):
        parser.add_argument(f"--{name}", required=True, type=int)
    given = parser.parse_args()
    release = find_release(given.version)
    if release is None:
        parser.error(f"no release {given.version}")
    with Path(given.log).open("a", buffering=1) as log:
        asyncio.run(run(release, given.colour, log, [given.private_fd, given.public_fd]))


if __name__ == "__main__":
    main()
