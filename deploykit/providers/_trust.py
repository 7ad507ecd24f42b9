"""The authorities that vouch for an address."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path


def trusted(ca: Path | None = None) -> ssl.SSLContext:
    """What checks a vendor's certificate.

    Args:
        ca: A file with the authority, where that is not a public one.

    Raises:
        OSError, ssl.SSLError: The file cannot be read, or holds no certificate.
    """
    return ssl.create_default_context(cafile=ca) if ca else _public()


@cache
def _public() -> ssl.SSLContext:
    """Read once: it takes 40 ms, which each client would spend again."""
    import httpx  # noqa: PLC0415 - a fifth of a second that a rollback does not need

    return httpx.create_ssl_context()
