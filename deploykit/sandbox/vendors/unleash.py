"""A stand-in for Unleash: the client API that the SDKs poll, and the admin API's switch for each environment.

Source: https://docs.getunleash.io/reference/api/unleash
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.addresses import UNLEASH_ADMIN_TOKEN, UNLEASH_TOKEN
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

Fields = dict[str, Any]
Handler = Callable[["Unleash", Request], Awaitable[Response]]
PROJECT, ENVIRONMENT = "default", "production"
QUARTER = {
    "name": "flexibleRollout",
    "parameters": {"rollout": "25", "stickiness": "default", "groupId": "recommendations"},
    "constraints": [
        {
            "contextName": "country",
            "operator": "IN",
            "values": ["DE", "AT"],
            "inverted": False,
            "caseInsensitive": False,
        }
    ],
    "segments": [1],
    "variants": [],
}
#: Name, whether it is on in production, and its strategies.
FLAGS: tuple[tuple[str, bool, list[Fields]], ...] = (
    ("orders", True, [{"name": "default", "parameters": {}, "constraints": []}]),
    ("stock-reservation", False, [{"name": "default", "parameters": {}, "constraints": []}]),
    ("recommendations", True, [QUARTER]),
)
SEGMENTS = [
    {"id": 1, "name": "staff", "constraints": [{"contextName": "userId", "operator": "IN", "values": ["1", "2"]}]}
]


class Unleash:
    """What Unleash knows."""

    def __init__(self) -> None:
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences.

        Args:
            differences: `features`, each as Unleash shows it, instead of those at the start; or `enabled` by name.
        """
        shown = [feature(name, strategies, enabled=enabled) for name, enabled, strategies in FLAGS]
        self.features: list[Fields] = list(differences.get("features", shown))
        for name, enabled in differences.get("enabled", {}).items():
            self.switch(name, enabled=enabled)
        self.received: list[Fields] = []

    def switch(self, name: str, *, enabled: bool) -> bool:
        """Turns a flag on or off; whether there is such a flag."""
        found = [one for one in self.features if one["name"] == name]
        for one in found:
            one["enabled"] = enabled
        return bool(found)


def feature(name: str, strategies: list[Fields], *, enabled: bool) -> Fields:
    """A flag as Unleash shows it."""
    flags = {"enabled": enabled, "stale": False, "impressionData": False}
    return {"name": name, "type": "release", "project": PROJECT, **flags, "strategies": strategies, "variants": []}


async def list_features(unleash: Unleash, request: Request) -> Response:
    """All flags, or word that they are what the client has already."""
    asked = request.query_params
    prefix, projects = asked.get("namePrefix", ""), asked.getlist("project")
    kept = [f for f in unleash.features if f["name"].startswith(prefix)]
    kept = [f for f in kept if not projects or f.get("project", PROJECT) in projects]
    query = {"environment": ENVIRONMENT, "project": projects or ["*"], "inlineSegmentConstraints": False}
    body = {"version": 2, "features": kept, "segments": SEGMENTS, "query": query}
    tag = f'"{hashlib.sha256(json.dumps(body).encode()).hexdigest()[:8]}:{len(kept)}:v1"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return JSONResponse(body, headers={"ETag": tag})


async def show_feature(unleash: Unleash, request: Request) -> Response:
    """One flag."""
    name = request.path_params["name"]
    found = next((f for f in unleash.features if f["name"] == name), None)
    return JSONResponse(found) if found else error(404, "NotFoundError", f"Could not find feature toggle {name}")


async def receive(unleash: Unleash, request: Request) -> Response:
    """What an SDK says of itself."""
    sent = read_json(await request.body())
    if not isinstance(sent, dict) or not sent.get("appName"):
        return error(400, "BadDataError", 'Request validation failed: "appName" is required')
    unleash.received.append(sent)
    return Response(status_code=202)


async def switch(unleash: Unleash, request: Request) -> Response:
    """Turns a flag on or off in one environment."""
    place = request.path_params
    if (place["project"], place["environment"]) != (PROJECT, ENVIRONMENT):
        return error(404, "NotFoundError", "No such project or environment")
    if not unleash.switch(place["name"], enabled=place["verb"] == "on"):
        return error(404, "NotFoundError", f"Could not find feature with name {place['name']}")
    return Response(status_code=200)


def make_app(unleash: Unleash) -> Starlette:
    """The stand-in's application."""

    def route(path: str, handler: Handler, method: str = "GET", token: str = UNLEASH_TOKEN) -> Route:
        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != token:
                return error(401, "AuthenticationRequired", "You must log in to use Unleash.")
            return await handler(unleash, request)

        return Route(path, answer, methods=[method])

    toggle = "/api/admin/projects/{project}/features/{name}/environments/{environment}/{verb}"
    routes = [
        route("/api/client/features", list_features),
        route("/api/client/features/{name}", show_feature),
        route("/api/client/register", receive, "POST"),
        route("/api/client/metrics", receive, "POST"),
        route(toggle, switch, "POST", UNLEASH_ADMIN_TOKEN),
    ]
    return Starlette(routes=routes)


def error(status: int, name: str, message: str) -> Response:
    """An error as Unleash words it."""
    identifier = "00000000-0000-4000-8000-000000000000"
    details = [{"message": message}]
    return JSONResponse({"id": identifier, "name": name, "message": message, "details": details}, status)


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path; an SDK that registers or counts changes no flag."""
    changing = request.method != "GET" and request.url.path.startswith("/api/admin/")
    return Operation(f"{request.method} {request.url.path}", changing, request.url.query[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Unleash says with that status."""
    name = "RateLimitExceeded" if status == 429 else "InternalError"
    return {"name": name, "message": f"It answered {status}"}, {"retry-after": "1"} if status == 429 else {}


UNLEASH = Vendor("unleash", describe, failure)
