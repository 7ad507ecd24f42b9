"""Certificates as a browser meets them: Python's own `ssl` shakes hands and judges, `cryptography` reads.

Why OpenSSL refuses is in its own words (`X509_V_ERR_*`), but what it refused it keeps to itself; so a second handshake,
which verifies nothing and is never spoken over, fetches the certificate. Source: RFC 5280, RFC 6125 and
https://docs.openssl.org/master/man1/openssl-verification-options/
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

from deploykit.errors import UsageError
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, words

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509 as _x509

    from deploykit.ports import Certificate
    from deploykit.settings import EnvironmentSettings, Settings

#: Seconds for the connection, and again for the handshake.
TIMEOUT = 5.0
#: OpenSSL's codes, where its words alone do not say what to do.
REASONS = {
    10: "it has expired",
    18: "it is signed by itself",
    19: "its chain ends in an authority that is not trusted",
    20: "its chain is incomplete, or its authority is not trusted",
    62: "it is not for this host name",
}


class HandshakeTls:
    """A `ports.Tls`.

    Args:
        ca: An authority of one's own, as a PEM file; else those that this machine trusts.
        timeout: Seconds for the connection, and again for the handshake.

    Raises:
        UsageError: The file is not there or holds no certificate.
    """

    def __init__(self, ca: Path | None = None, *, timeout: float = TIMEOUT) -> None:
        import cryptography.x509  # noqa: F401, PLC0415 - an extra; missing, it is to be missed here

        self._strict = _strict(ca)
        self._blind = ssl.create_default_context()
        self._blind.check_hostname = False
        self._blind.verify_mode = ssl.CERT_NONE
        self._call = Call("TLS", "", address="tls.hosts", timeout=timeout)

    def certificate(self, name: str, *, address: str = "", port: int = 443) -> Certificate:
        """Shake hands with a host by its name; with an address, there instead of where the name leads.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: What answers there does not speak TLS, or its certificate cannot be read.
        """
        place = (address or name, port)
        call = replace(self._call, what=f"handshake with {words(name)} at {words(place[0])}:{port}")
        return attempt(call, lambda: self._certificate(name, place))

    def _certificate(self, name: str, place: tuple[str, int]) -> Certificate:
        try:
            return _read(self._shake(self._strict, name, place), "")
        except ssl.SSLCertVerificationError as error:
            reason = REASONS.get(error.verify_code, "")
            said = words(error.verify_message)
            fault = f"{reason} ({said})" if reason else said
        return _read(self._shake(self._blind, name, place), fault)

    def _shake(self, context: ssl.SSLContext, name: str, place: tuple[str, int]) -> bytes:
        """The leaf that the host shows, as DER."""
        try:
            with (
                socket.create_connection(place, timeout=self._call.timeout) as plain,
                context.wrap_socket(plain, server_hostname=name) as shaken,
            ):
                return shaken.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError:
            raise
        except ssl.SSLEOFError as error:
            raise Fault(Why.LOST, str(error)) from error
        except ssl.SSLError as error:
            raise Fault(Why.GARBLED, f"no TLS is spoken there: {error.reason}") from error
        except (OSError, ValueError) as error:
            raise of_client(error) from error


def connect(settings: Settings, environment: EnvironmentSettings) -> HandshakeTls:
    """The certificates of an environment.

    Raises:
        UsageError: Its authority's file cannot be used.
    """
    ca = environment.tls.ca if environment.tls else None
    return HandshakeTls(settings.path(ca) if ca else None)


def _strict(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{ca} cannot be used as an authority: {error}", where="tls.ca", mend="name a PEM file, or leave it out"
        ) from error


def _read(der: bytes, fault: str) -> Certificate:
    from cryptography import x509  # noqa: PLC0415 - an extra

    from deploykit.ports import Certificate  # noqa: PLC0415 - what it draws in is not needed to import this module

    try:
        leaf = x509.load_der_x509_certificate(der)
        return Certificate(fault, _names(leaf), words(leaf.issuer.rfc4514_string()), leaf.not_valid_after_utc)
    except (ValueError, TypeError) as error:
        raise Fault(Why.GARBLED, f"its certificate cannot be read: {error}") from error


def _names(leaf: _x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415 - an extra

    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts, places = found.get_values_for_type(x509.DNSName), found.get_values_for_type(x509.IPAddress)
    return tuple(map(words, (*hosts, *places)))
