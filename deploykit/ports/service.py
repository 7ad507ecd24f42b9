"""The service itself: what it answers, the certificate it shows, and its feature flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploykit.model import Json


@dataclass(frozen=True)
class Answered:
    """An HTTP answer: status, JSON body if it was one, text, and how long it took in seconds."""

    status: int
    body: Json | None
    text: str
    seconds: float
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Certificate:
    """The certificate that a host shows, and whether a browser would take it.

    Attributes:
        fault: Why chain or host name do not hold; empty where they do.
        names: The host names that it is good for.
        issuer: Who signed it.
        ends: Until when it is valid.
    """

    fault: str
    names: tuple[str, ...]
    issuer: str
    ends: datetime


class Http(Protocol):
    """Plain HTTP to the service itself."""

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:
        """Ask once, without following redirects. Any status is an answer."""
        ...

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float = 5.0) -> Answered:
        """The same with another method, and with headers."""
        ...


class Tls(Protocol):
    """Looks at certificates, as a browser would."""

    def certificate(self, name: str, *, address: str = "", port: int = 443) -> Certificate:
        """Shake hands with a host by its name; with an address, there instead of where the name leads."""
        ...


class Flags(Protocol):
    """The service's feature flags."""

    def enabled(self, name: str) -> bool | None:
        """Whether the flag can be on for anybody in this environment; None where there is no such flag."""
        ...
