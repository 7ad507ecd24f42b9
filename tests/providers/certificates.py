"""Hosts with certificates of every kind, good and bad, each on a real TLS socket on loopback."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

HOST = "shop.example.com"


def days(number: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=number, hours=1)


class Authority:
    """An authority, and what it and others signed for one host; `files` holds each as certificate chain and key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, trustme.CA(organization_name="Example authority")
        self.file = folder / "ca.pem"
        self.root.cert_pem.write_to_path(self.file)
        between = self.root.create_child_ca()
        self.files = {
            "good": self._save("good", self.root.issue_cert(HOST, "127.0.0.1", not_after=days(60))),
            "thirty-one days": self._save("thirty-one days", self.root.issue_cert(HOST, not_after=days(31))),
            "thirty days": self._save("thirty days", self.root.issue_cert(HOST, not_after=days(30))),
            "expired": self._save("expired", self.root.issue_cert(HOST, not_before=days(-90), not_after=days(-1))),
            "not yet valid": self._save(
                "not yet valid", self.root.issue_cert(HOST, not_before=days(1), not_after=days(60))
            ),
            "other host": self._save("other host", self.root.issue_cert("other.example.com", not_after=days(60))),
            "wildcard": self._save("wildcard", self.root.issue_cert("*.example.com", not_after=days(60))),
            "whole chain": self._save("whole chain", between.issue_cert(HOST, not_after=days(60))),
            "incomplete chain": self._save("incomplete chain", between.issue_cert(HOST, not_after=days(60)), leaf=True),
            "unknown authority": self._save(
                "unknown authority", trustme.CA(organization_name="Somebody").issue_cert(HOST, not_after=days(60))
            ),
        }
        alone = trustme.CA(organization_name="Alone")
        file = folder / "self-signed.pem"
        file.write_bytes(alone.cert_pem.bytes() + alone.private_key_pem.bytes())
        self.files["self-signed"] = file

    def _save(self, name: str, issued: trustme.LeafCert, *, leaf: bool = False) -> Path:
        file = self.folder / f"{name}.pem"
        chain = issued.cert_chain_pems[:1] if leaf else issued.cert_chain_pems
        file.write_bytes(b"".join(part.bytes() for part in (*chain, issued.private_key_pem)))
        return file


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on loopback where each connection is given to `serve`, one after the other."""
    door = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        # It ends with the door, and with a client that hangs up one connection ends.
        with suppress(OSError):
            while True:
                connection, _ = door.accept()
                with connection, suppress(OSError):
                    serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(door.getsockname()[1])
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join(5)


@contextmanager
def showing(certificate: Path) -> Iterator[int]:
    """A port where TLS is spoken with this certificate; says nothing beyond the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(connection: socket.socket) -> None:
        connection.settimeout(5)
        with context.wrap_socket(connection, server_side=True) as shaken:
            shaken.recv(1)

    with listening(serve) as port:
        yield port
