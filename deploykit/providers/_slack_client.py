"""Slack's own client, but one that sends the token nowhere else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from slack_sdk import WebClient

_log = logging.getLogger("deploykit.slack")
# What goes wrong is raised; without a handler the client would print it to stderr as well.
_log.addHandler(logging.NullHandler())


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: the token would go along, to wherever the answer says."""

    def redirect_request(self, *_: Any) -> None:
        """A redirect is an answer like any other that is not a success."""


def web_client(url: str, token: str, timeout: int) -> WebClient:
    """A client without retries and redirects.

    Args:
        url: The API's address, such as `https://slack.com/api/`.
        token: A bot's token.
        timeout: Seconds for the connection, and for each read.
    """
    from slack_sdk import WebClient  # noqa: PLC0415 - an extra, and slow to import

    class Direct(WebClient):
        # The one place where the client opens an address, and it has no setting for redirects. A test sends one.
        def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:  # noqa: ARG002 - theirs
            proxies = [ProxyHandler({"http": self.proxy, "https": self.proxy})] if self.proxy else []
            opener = build_opener(_Stay, HTTPSHandler(context=self.ssl), *proxies)
            with opener.open(req, timeout=self.timeout) as answer:
                charset = answer.headers.get_content_charset() or "utf-8"
                return {"status": answer.status, "headers": answer.headers, "body": answer.read().decode(charset)}

    # No retry of its own: that one waits as long as it is told; `attempt` is the one that asks again.
    base = url.rstrip("/") + "/"
    return Direct(token=token, base_url=base, timeout=timeout, retry_handlers=[], logger=_log)
