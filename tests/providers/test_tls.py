"""The handshake with real hosts on loopback: what is trusted, what is not, and why."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploykit.errors import Rejected, Unreachable, UsageError
from deploykit.providers.tls import HandshakeTls
from tests.providers.certificates import HOST, Authority, listening, showing
from tests.providers.faults import Faults, Reply, closed_port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusting(authority: Authority) -> HandshakeTls:
    return HandshakeTls(authority.file, timeout=2)


@pytest.mark.parametrize("kind", ["good", "thirty days", "wildcard", "whole chain"])
def test_what_a_browser_would_take_has_no_fault(kind: str, authority: Authority, trusting: HandshakeTls) -> None:
    with showing(authority.files[kind]) as port:
        assert trusting.certificate(HOST, address="127.0.0.1", port=port).fault == ""


def test_a_certificate_is_read_with_names_issuer_and_end(authority: Authority, trusting: HandshakeTls) -> None:
    with showing(authority.files["good"]) as port:
        seen = trusting.certificate(HOST, address="127.0.0.1", port=port)
        by_address = trusting.certificate("127.0.0.1", port=port)
    assert seen.names == (HOST, "127.0.0.1")
    assert "O=Example authority" in seen.issuer
    assert abs(seen.ends - datetime.now(UTC) - timedelta(days=60, hours=1)) < timedelta(hours=1)
    assert by_address == seen


FAULTS = {
    "expired": "it has expired",
    "not yet valid": "not yet valid",
    "other host": "not for this host name",
    "incomplete chain": "its chain is incomplete, or its authority is not trusted",
    "unknown authority": "its chain is incomplete, or its authority is not trusted",
    "self-signed": "it is signed by itself",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_a_browser_would_refuse_is_still_read_and_the_reason_is_said(
    kind: str, authority: Authority, trusting: HandshakeTls
) -> None:
    with showing(authority.files[kind]) as port:
        seen = trusting.certificate(HOST, address="127.0.0.1", port=port)
    assert FAULTS[kind] in seen.fault
    assert seen.issuer
    assert (seen.ends < datetime.now(UTC)) is (kind == "expired")
    assert seen.names == {"other host": ("other.example.com",), "self-signed": ()}.get(kind, (HOST,))


def test_an_own_authority_is_trusted_only_where_it_is_named(authority: Authority) -> None:
    with showing(authority.files["good"]) as port:
        assert HandshakeTls(timeout=2).certificate(HOST, address="127.0.0.1", port=port).fault


def test_where_nobody_listens_nothing_is_known(trusting: HandshakeTls) -> None:
    with pytest.raises(Unreachable, match="nothing was sent") as caught:
        trusting.certificate(HOST, address="127.0.0.1", port=closed_port())
    assert f"handshake with {HOST} at 127.0.0.1" in caught.value.where
    assert "tls.hosts" in caught.value.mend


def test_a_name_that_leads_nowhere_is_unreachable(trusting: HandshakeTls) -> None:
    with pytest.raises(Unreachable):
        trusting.certificate("nowhere.invalid")


def test_a_host_that_stays_silent_is_given_up(authority: Authority, server: Faults) -> None:
    server.reply(Reply(act="hang"))
    held: list[socket.socket] = []
    with (
        listening(lambda connection: held.append(connection.dup())) as port,
        pytest.raises(Unreachable, match=r"no answer within 0\.3 s"),
    ):
        HandshakeTls(authority.file, timeout=0.3).certificate(HOST, address="127.0.0.1", port=port)
    for connection in held:
        connection.close()


def test_a_host_that_hangs_up_is_unreachable(trusting: HandshakeTls) -> None:
    with listening(socket.socket.close) as port, pytest.raises(Unreachable):
        trusting.certificate(HOST, address="127.0.0.1", port=port)


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\xff\xff"]
)
def test_a_host_that_speaks_something_else_is_no_certificate(trusting: HandshakeTls, said: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(said)

    with listening(answer) as port, pytest.raises((Rejected, Unreachable)):
        trusting.certificate(HOST, address="127.0.0.1", port=port)


def test_a_certificate_that_cannot_be_read_is_rejected(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    looking = HandshakeTls(authority.file, timeout=2)
    with showing(authority.files["good"]) as port:
        monkeypatch.setattr(ssl.SSLSocket, "getpeercert", lambda *_, **__: b"rubbish")
        with pytest.raises(Rejected, match="cannot be read"):
            looking.certificate(HOST, address="127.0.0.1", port=port)


def test_an_authority_that_is_none_is_found_before_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(UsageError, match="cannot be used as an authority") as caught:
            HandshakeTls(tmp_path / name)
        assert caught.value.where == "tls.ca"


def test_a_host_name_from_the_settings_cannot_break_a_line(trusting: HandshakeTls) -> None:
    with pytest.raises((Rejected, Unreachable)) as caught:
        trusting.certificate("evil\n\x1b[31mname", address="127.0.0.1", port=closed_port())
    assert "\x1b" not in str(caught.value)
