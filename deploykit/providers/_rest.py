"""JSON over HTTP with httpx, for vendors without a client of their own: one question, one whole answer in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import Any

from deploykit.providers._answers import parse, said
from deploykit.providers._deadline import within
from deploykit.providers._faults import Fault, Why, of_client
from deploykit.providers._trust import trusted


@dataclass(frozen=True)
class Reply:
    """What a vendor answered: its JSON, and headers with their names in lower case."""

    body: Any
    headers: Mapping[str, str]


class Rest:
    """Asks one vendor.

    Args:
        url: Where its addresses begin.
        headers: What goes with every question.
        timeout: Seconds for each whole answer.
        mends: What helps against a status, where that is known better than in general.
        wait: How long the vendor asks to wait, where it does not say so in `Retry-After`; from an answer's headers.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: float,
        mends: Mapping[int, str] = MappingProxyType({}),
        wait: Callable[[Mapping[str, str]], float | None] = lambda _: None,
    ) -> None:
        import httpx  # noqa: PLC0415 - a fifth of a second that a rollback does not need

        # A connection each, since an idle one may die just now; and no cookie of one answer in the next question.
        self._client = httpx.Client(
            base_url=url.rstrip("/"),
            verify=trusted(),
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={"User-Agent": "deploykit", **headers},
            timeout=timeout,
        )
        self._timeout, self._mends, self._wait = timeout, mends, wait

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        absent: bool = False,
    ) -> Reply | None:
        """One question. The path's variable parts are quoted by the caller.

        Args:
            method: `GET` or `POST`.
            path: Below the address.
            params: The query; a list stands for several of a name.
            json: The body.
            absent: Whether 404 is an answer: None.

        Raises:
            Fault: No answer, not in time, a status other than success, or no JSON.
        """
        try:
            response = within(self._timeout, lambda: self._client.request(method, path, params=params, json=json))
        except Fault:
            raise
        except Exception as error:
            raise of_client(error) from error
        if absent and response.status_code == 404:
            return None
        headers = {name.lower(): value for name, value in response.headers.items()}
        if not response.is_success:
            fault = Fault.of_status(response.status_code, said(response.content), headers)
            fault.mend = self._mends.get(fault.status, "")
            if fault.wait is None and fault.why is Why.THROTTLED:
                fault.wait = self._wait(headers)
            raise fault
        return Reply(parse(response.content), headers)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a question that must have an answer.

        Raises:
            Fault: As `ask`.
        """
        reply = self.ask("GET", path, params=params)
        return reply and reply.body
