"""What every Datadog adapter shares: the client, one call of it, and what went wrong in it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deploykit import redact
from deploykit.providers._answers import parse, said
from deploykit.providers._deadline import within
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploykit.settings import Settings

#: Seconds for the connection, and for each whole answer.
CONNECT, READ = 3.0, 10.0
#: Pages that are looked through before it is said that there are too many.
PAGES = 50


class Datadog:
    """Datadog's own client, asked for raw answers.

    Args:
        url: The API's address, such as `https://api.datadoghq.eu`.
        api_key: The organisation's key.
        app_key: A key with the rights that the adapter names.
        timeout: Seconds for each whole answer.
    """

    def __init__(self, url: str, api_key: str, app_key: str, *, timeout: float = READ) -> None:
        from datadog_api_client import ApiClient, Configuration  # noqa: PLC0415 - an extra, and slow to import

        configuration = Configuration(  # type: ignore[no-untyped-call]  # the client leaves it untyped
            host=url.rstrip("/"),
            api_key={"apiKeyAuth": api_key, "appKeyAuth": app_key},
            # Its own retry sleeps as long as the server says, up to an hour; `attempt` is the one that asks again.
            enable_retry=True,
            max_retries=0,
            # The raw answer: its models take an error, a null and a wrong type each in a way of their own.
            preload_content=False,
            request_timeout=(CONNECT, timeout),
        )
        # Setting `server_index` after `host` would ask the real Datadog; debugging would log the keys.
        self.client = ApiClient(configuration)
        tokens = "metrics.api_key and metrics.app_key"
        self._call = Call("Datadog", "", address="metrics.url", token=tokens, timeout=timeout)

    def call(self, what: str, *, changes: bool = False) -> Call:
        """A call in words, for the reader of its failure."""
        return replace(self._call, what=what, changes=changes)

    def ask(self, call: Call, method: Callable[[], object], *, absent: bool = False) -> Any:
        """The JSON of an answer.

        Args:
            call: What it is, in words.
            method: Calls the client's method.
            absent: Whether "not found" is an answer too: None.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Datadog refused, or an answer of no use.
        """

        def once() -> Any:
            try:
                # preload_content makes this urllib3's answer, whatever the annotation says; `data` reads its body.
                body = within(call.timeout, lambda: getattr(method(), "data", b""))
            except Fault:
                raise
            except Exception as error:
                fault = _fault(error)
                if absent and fault.status == 404:
                    return None
                raise fault from error
            return parse(body)

        return attempt(call, once)


def connected(settings: Settings) -> Datadog:
    """The client with the keys of `[metrics]`, which serve all that is asked of Datadog.

    Raises:
        UsageError: A key is not there.
    """
    metrics = settings.metrics
    keys = (redact.learn(settings.resolve(reference)) for reference in (metrics.api_key, metrics.app_key))
    return Datadog(metrics.url, *keys)


def _fault(error: Exception) -> Fault:
    """The fault behind the client's exception."""
    status, body = getattr(error, "status", None), getattr(error, "body", None)
    if not isinstance(status, int) or status == 0:
        return of_client(error)
    headers = {str(key).lower(): str(value) for key, value in dict(getattr(error, "headers", None) or {}).items()}
    # The client has read the body already, where it is JSON.
    fault = Fault.of_status(status, said(body if isinstance(body, str | bytes) else json.dumps(body)), headers)
    if fault.wait is None and fault.why is Why.THROTTLED:
        # Datadog tells it in a header of its own, as seconds to wait.
        fault.wait = seconds(headers.get("x-ratelimit-reset"))
    return fault


def moment(value: Any, place: str) -> datetime:
    """A time in an answer: ISO 8601, taken for UTC where it does not say.

    Raises:
        Fault: It is something else.
    """
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Fault(Why.GARBLED, f"{place} is not a time but {str(value)[:80]!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
