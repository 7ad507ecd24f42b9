"""What lies before each of Datadog's operations: keys, the rights of the application key, and limits of requests."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploykit.sandbox.addresses import DATADOG_API_KEY, DATADOG_APP_KEY
from deploykit.sandbox.vendors.limits import Limit

#: Requests and seconds by the name that Datadog gives a limit; wide enough for a demo, and a test may narrow them.
LIMITS: Mapping[str, tuple[int, float]] = {
    "query": (6000, 3600),
    "monitors": (3000, 3600),
    "logs": (3000, 3600),
    "events": (3000, 3600),
    "other": (3000, 3600),
}
RIGHTS = frozenset(
    {
        "timeseries_query", "monitors_read", "monitors_downtime", "logs_read_data", "events_read", "slos_read",
        "notebooks_write", "dora_deployment_write", "metrics_read",
    }
)  # fmt: skip

Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Lets requests through, or words the refusal."""

    def __init__(self) -> None:
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for `rights` of the application key, and `limits`: requests and seconds by name."""
        self.rights = frozenset(differences.get("rights", RIGHTS))
        numbers = {**LIMITS, **differences.get("limits", {})}
        self.limits = {name: Limit(int(requests), float(seconds)) for name, (requests, seconds) in numbers.items()}

    def route(self, path: str, endpoint: Endpoint, limit: str, right: str = "", methods: Sequence[str] = ()) -> Route:
        """A route behind the gate.

        Args:
            path: Its path.
            endpoint: What answers.
            limit: The name of the limit that it counts for.
            right: What the application key must be allowed; none is an operation that needs no such key.
            methods: Its methods; none is GET.
        """

        async def guarded(request: Request) -> Response:
            self.require(request, right)
            headers = self.count(limit)
            answer = await endpoint(request)
            answer.headers.update(headers)
            return answer

        return Route(path, guarded, methods=list(methods) or ["GET"])

    def require(self, request: Request, right: str) -> None:
        """Refuses missing keys with 401, wrong ones and those without the right with 403."""
        wanted = {"dd-api-key": DATADOG_API_KEY} | ({"dd-application-key": DATADOG_APP_KEY} if right else {})
        if any(name not in request.headers for name in wanted):
            raise HTTPException(401, "Unauthorized")
        if any(request.headers[name] != value for name, value in wanted.items()):
            raise HTTPException(403, "Forbidden")
        if right and right not in self.rights:
            raise HTTPException(403, "Failed permission authorization checks")

    def count(self, name: str) -> dict[str, str]:
        """The headers after one more request; 429 where it was one too many."""
        limit = self.limits[name]
        allowed = limit.take()
        numbers = {
            "limit": limit.requests,
            "period": round(limit.seconds),
            "remaining": limit.remaining,
            "reset": math.ceil(limit.wait),
            "name": name,
        }
        headers = {f"x-ratelimit-{key}": str(value) for key, value in numbers.items()}
        if not allowed:
            raise HTTPException(429, "Rate limit reached", headers)
        return headers
