"""A real HTTP server on loopback that answers as it is told: well, badly, late, half, or not at all."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deploykit.errors import ProviderError


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Reply:
    """What to do with one request.

    `act` is `answer`, or one of: `hang` (say nothing until the test is over), `drop` (take the request, close without a
    word), `reset` (the same with a TCP reset), `cut` (close in the middle of the body), `drip` (a byte now and then).
    """

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    act: str = "answer"

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Faults:
    """The server. Replies are used in order, the last one for good, or made by `script`; `asked` holds what came.

    `always` answers what a test is not about, by method and end of the path; that is not noted.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self.script: Callable[[Asked], Reply] | None = None
        self.always: dict[str, Any] = {}
        self._replies: deque[Reply] = deque([Reply({})])
        self._lock = threading.Lock()
        self.url = ""

    def reply(self, *replies: Reply) -> None:
        self._replies = deque(replies)
        self.asked.clear()

    def take(self, asked: Asked) -> Reply:
        for place, body in self.always.items():
            method, _, end = place.partition(" ")
            if asked.method == method and asked.path.endswith(end):
                return Reply(body)
        with self._lock:
            self.asked.append(asked)
            if self.script is not None:
                return self.script(asked)
            return self._replies.popleft() if len(self._replies) > 1 else self._replies[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet, or each answer takes 40 ms
    faults: Faults

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        query = parse_qs(url.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.faults.take(Asked(self.command, url.path, query, headers, body))
        if reply.act == "hang":
            self.faults.over.wait(30)
        elif reply.act in {"answer", "cut", "drip"}:
            self._answer(reply)
        if reply.act != "answer":
            self._hang_up(abruptly=reply.act == "reset")

    do_POST = do_OPTIONS = do_GET  # noqa: N815 - the names that http.server calls

    def _answer(self, reply: Reply) -> None:
        raw = reply.raw
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if reply.act == "drip":
            self._drip(raw)
        else:
            self.wfile.write(raw[: len(raw) // 2] if reply.act == "cut" else raw)

    def _drip(self, raw: bytes) -> None:
        for byte in raw:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.faults.over.wait(0.05):
                return

    def _hang_up(self, *, abruptly: bool) -> None:
        self.wfile.flush()
        if abruptly:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
        self.connection.close()

    def log_message(self, *args: object) -> None:
        """Say nothing: what came is in `asked`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what half of the tests are about."""


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[Faults]:
    """A server on a free port for as long as the block lasts; with TLS where there is a file with chain and key."""
    faults = Faults()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"faults": faults}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake belongs to the thread of its request: a client that breaks it off must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    faults.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        faults.over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def mangled(value: Any) -> Iterator[tuple[str, Any]]:
    """An answer with one thing wrong: each value in it, however deep, absent, null, or of another type."""
    for wrong in (None, "", "x", 0, -1.5, 10**400, True, [], {}, [None], {"a": None}):
        yield repr(wrong)[:20], wrong
    if isinstance(value, dict):
        for key, inner in value.items():
            rest = {other: held for other, held in value.items() if other != key}
            yield f"no {key}", rest
            yield from ((f"{key}.{place}", {**value, key: broken}) for place, broken in mangled(inner))
    elif isinstance(value, list) and value:
        yield from ((f"0.{place}", [broken, *value[1:]]) for place, broken in mangled(value[0]))
        yield "twice", value + value


def refused(call: Callable[[], object]) -> ProviderError | None:
    """The error of a call, or None; any other exception goes on."""
    try:
        call()
    except ProviderError as error:
        return error
    return None
