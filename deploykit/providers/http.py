"""Plain HTTP to the service itself, with httpx."""

from __future__ import annotations

import logging
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploykit.providers._answers import parse
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client
from deploykit.providers._trust import trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from deploykit.model import Json
    from deploykit.ports import Answered
    from deploykit.settings import EnvironmentSettings, Settings

#: Bytes of a body that are kept; the rest is not read.
LARGEST = 64 * 1024


class HttpxHttp:
    """A `ports.Http`: one question, one answer, nothing followed and nothing asked again."""

    def __init__(self) -> None:
        import httpx  # noqa: PLC0415 - a fifth of a second that a rollback does not need

        # It would write whole addresses into the log, with what a query may hold.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # No cookie of one answer in the next question: a router may hold on to a colour by it.
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        # A connection each: an idle one may die just now, and connecting belongs to what a user waits for.
        self._client = httpx.Client(
            verify=trusted(),
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            cookies=cookies,
            headers={"Accept-Encoding": "identity", "User-Agent": "deploykit"},
        )

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:
        """Ask once, without following redirects. Any status is an answer; a body is cut at 64 KiB.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: What answered does not speak HTTP, or the address is none.
        """
        return self.ask("GET", url, headers={}, timeout=timeout)

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float = 5.0) -> Answered:
        """The same with another method, and with headers.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: What answered does not speak HTTP, or the address or a header is none.
        """
        shown = _shown(url)
        call = Call("HTTP", f"{method} {shown}", address=shown, timeout=timeout, again=False, patience=0.0)
        return attempt(call, lambda: self._ask(method, url, headers, timeout))

    def _ask(self, method: str, url: str, headers: Mapping[str, str], timeout: float) -> Answered:
        from deploykit.ports import Answered  # noqa: PLC0415 - what it draws in is not needed to import this module

        start = time.perf_counter()
        try:
            with self._client.stream(method, url, headers=headers, timeout=timeout) as response:
                raw = _body(response, start + timeout)
        except Fault:
            raise
        except Exception as error:
            raise of_client(error) from error
        taken = time.perf_counter() - start
        # A session's cookie is a secret, and nothing needs it.
        kept = {name: value for name, value in response.headers.items() if name != "set-cookie"}
        text = raw.decode(response.encoding or "utf-8", "replace")
        return Answered(response.status_code, _object(raw), text, taken, kept)


def connect(settings: Settings, environment: EnvironmentSettings) -> HttpxHttp:  # noqa: ARG001 - all take both
    """Plain HTTP, which needs no settings."""
    return HttpxHttp()


def _shown(url: str) -> str:
    """An address without its user and its query, which may hold secrets."""
    try:
        place = urlsplit(url)
        port = f":{place.port}" if place.port else ""
    except ValueError:
        # The client says what is wrong with it.
        return "an address that cannot be read"
    return f"{place.scheme}://{place.hostname}{port}{place.path}"


def _body(response: httpx.Response, deadline: float) -> bytes:
    """The body up to the limit. httpx times each read alone, so a body that drips is stopped here."""
    raw = b""
    for chunk in response.iter_bytes():
        raw += chunk
        if len(raw) >= LARGEST:
            break
        if time.perf_counter() > deadline:
            raise Fault(Why.LATE)
    return raw[:LARGEST]


def _object(raw: bytes) -> Json | None:
    try:
        body = parse(raw)
    except Fault:
        # No JSON is an answer too: the text is there, and the caller sees that the body is not.
        return None
    return body if isinstance(body, dict) else None
