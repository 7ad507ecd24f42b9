"""What the shop says to strangers: which origins may ask from a browser, and how often a client may."""

import json

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploykit.sandbox.addresses import ORIGIN
from deploykit.sandbox.limits import Standing, Window

#: Asked by the monitoring every second; neither logged nor limited.
QUERIES = "/internal/queries"
#: A client that names itself in this header has a small limit of its own; all others share one that is never met.
CLIENT = "x-client-key"
WINDOW_SECONDS, FEW, MANY = 10.0, 20, 100_000


def with_cors(app: ASGIApp) -> ASGIApp:
    """The application, open to browsers that come from the shop's own pages."""
    return CORSMiddleware(
        app,
        allow_origins=[ORIGIN],
        allow_methods=["GET", "POST"],
        allow_headers=["content-type"],
        allow_credentials=True,
    )


class RateLimited:
    """The application, behind a limit a client."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.named, self.unnamed = Window(FEW, WINDOW_SECONDS), Window(MANY, WINDOW_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or says when to come back."""
        client = Headers(scope=scope).get(CLIENT, "")
        standing = self.named.take(client) if client else self.unnamed.take()

        async def send_standing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told(standing))
            await send(message)

        if standing.refused:
            await refuse(send_standing)
        else:
            await self.app(scope, receive, send_standing)


def told(standing: Standing) -> dict[str, str]:
    """A standing in headers (draft-ietf-httpapi-ratelimit-headers-07, and RFC 9110, 10.2.3)."""
    numbers = {"limit": standing.limit, "remaining": max(0, standing.remaining), "reset": standing.reset}
    headers = {f"ratelimit-{name}": str(value) for name, value in numbers.items()}
    return headers | ({"retry-after": str(standing.reset)} if standing.refused else {})


async def refuse(send: Send) -> None:
    """Answers 429."""
    body = json.dumps({"error": "too many requests"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
