"""HTTP servers that share one event loop, can be closed and reopened, and can break a connection."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from deploykit.sandbox.processes import listen


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


class TrackedProtocol(H11Protocol):
    """Remembers each connection by the client's address, which is all that an application sees of it."""

    open_connections: dict[tuple[str, int], asyncio.Transport] = {}  # noqa: RUF012  # one register for the process

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Registers the connection."""
        super().connection_made(transport)
        if self.client:
            self.open_connections[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        if self.client:
            self.open_connections.pop(self.client, None)


def reset_connection(client: tuple[str, int]) -> None:
    """Ends a client's connection with a TCP reset."""
    transport = TrackedProtocol.open_connections[client]
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def make_server(app: ASGIApp, *, keep_alive: int = 30, tls: Path | None = None) -> QuietServer:
    """A server without logging and lifespan, not started; with TLS where there is a file with chain and key."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        http=TrackedProtocol,
        ws="none",
        server_header=False,
        timeout_keep_alive=keep_alive,
        timeout_graceful_shutdown=3,
        ssl_certfile=tls,
    )
    return QuietServer(config)


class Listener:
    """An application on a port, which can be closed and opened again; with TLS where there is a file for it."""

    def __init__(self, app: ASGIApp, port: int, tls: Path | None = None) -> None:
        self.app, self.port, self.tls = app, port, tls
        self._server: QuietServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the port; does nothing when it is open."""
        if self._server:
            return
        self._server = make_server(self.app, tls=self.tls)
        self._task = asyncio.create_task(self._server.serve(sockets=[listen(self.port)]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Closes the port and the connections, so that the next one is refused."""
        if self._server and self._task:
            self._server.should_exit = self._server.force_exit = True
            await self._task
        self._server = self._task = None
