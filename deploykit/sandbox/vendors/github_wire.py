"""What all of GitHub's answers have in common: who may ask, how often, in which version, and how lists are paged."""

import hashlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.addresses import GITHUB_TOKEN
from deploykit.sandbox.vendors.github_shapes import View, Views
from deploykit.sandbox.vendors.github_world import World

DOCUMENTATION = "https://docs.github.com/rest"
VERSIONS = ("2022-11-28", "2026-03-10")
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
WINDOW = 3600.0

Handler = Callable[[Views, Request], Awaitable[Response]]


class Limits:
    """Counts requests, and refuses those over a limit, as `limits` in the world says.

    `primary` requests an hour, `secondary` points a minute (five for a change). What is over is refused with `status`
    (403 or 429), over the secondary one with `retry_after` seconds, or without where that is None.
    """

    def __init__(self, world: World) -> None:
        self.world, self.used, self.since = world, 0, time.time()
        self.lately: deque[float] = deque()

    def take(self, request: Request) -> Response | None:
        """Counts a request; the refusal, if it is one too many."""
        known, now = self.world["limits"], time.time()
        if now - self.since >= WINDOW:
            self.used, self.since = 0, now
        while self.lately and now - self.lately[0] > 60:
            self.lately.popleft()
        if self.used >= known["primary"]:
            return failed(known["status"], "API rate limit exceeded for user ID 17.", self.headers())
        points = 1 if request.method == "GET" or request.url.path.endswith("/graphql") else 5
        if len(self.lately) + points > known["secondary"]:
            wait = known["retry_after"]
            told = {} if wait is None else {"retry-after": str(wait)}
            return failed(known["status"], SECONDARY, self.headers() | told)
        self.used += 1
        self.lately.extend([now] * points)
        return None

    def headers(self) -> dict[str, str]:
        """The headers in which the primary limit is told."""
        limit = self.world["limits"]["primary"]
        numbers = {"limit": limit, "remaining": max(limit - self.used, 0), "used": min(self.used, limit)}
        told = {f"x-ratelimit-{name}": str(value) for name, value in numbers.items()}
        return told | {"x-ratelimit-reset": str(int(self.since + WINDOW)), "x-ratelimit-resource": "core"}

    def give_back(self) -> None:
        """A request that changed nothing since the last one is not counted."""
        self.used -= 1


def guarded(world: World, limits: Limits, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A handler behind what GitHub asks of every request."""

    async def answer(request: Request) -> Response:
        version = require_version(request)
        require_token(request)
        refusal = limits.take(request)
        if refusal is not None:
            return refusal
        require_repository(world, request)
        response = refused(world, request) or await handler(Views(world, own_address(request)), request)
        response = conditional(request, response)
        if response.status_code == 304:
            limits.give_back()
        response.headers.update(limits.headers() | {"x-github-api-version-selected": version})
        return response

    return answer


def require_token(request: Request) -> None:
    """Refuses a wrong token."""
    sent = request.headers.get("authorization", "").split(" ", 1)
    if sent[0].lower() not in ("bearer", "token") or sent[-1] != GITHUB_TOKEN:
        raise HTTPException(401, "Bad credentials" if sent[0] else "Requires authentication")


def require_version(request: Request) -> str:
    """The version of the API that the answer is of; one that there is not is refused."""
    asked = request.headers.get("x-github-api-version", VERSIONS[0])
    if asked not in VERSIONS:
        raise HTTPException(400, f"The API version {asked} is not supported.")
    return asked


def require_repository(world: World, request: Request) -> None:
    """Refuses any repository but the one."""
    known = world["repository"]
    asked = [request.path_params.get(part, "").lower() for part in ("owner", "repo")]
    if any(asked) and asked != [known["owner"], known["name"]]:
        raise HTTPException(404, "Not Found")


def refused(world: World, request: Request) -> Response | None:
    """What the world says is to be refused: by the end of a path, such as `code-scanning/alerts`."""
    for end, (status, message) in world["refused"].items():
        if request.url.path.endswith(f"/{end}"):
            return failed(status, message)
    return None


def conditional(request: Request, response: Response) -> Response:
    """With an entity tag; without a body for a client that has it already."""
    if request.method != "GET" or response.status_code != 200:
        return response
    tag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return response


def failed(status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """An error in GitHub's words."""
    body = {"message": message, **more, "documentation_url": DOCUMENTATION, "status": str(status)}
    return JSONResponse(body, status, dict(headers or {}))


def invalid(resource: str, field: str, code: str) -> Response:
    """What GitHub says of a field that cannot be so."""
    return failed(422, "Validation Failed", errors=[{"resource": resource, "field": field, "code": code}])


async def refuse(_: Request, error: Exception) -> Response:
    """Words an exception as GitHub does."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return failed(status, error.detail if isinstance(error, HTTPException) else "Server Error")


def own_address(request: Request) -> str:
    """The address that the client used."""
    return str(request.base_url).rstrip("/")


def paged(
    request: Request,
    keys: Sequence[Any],
    view: Callable[[Any], View],
    wrap: Callable[[list[View]], Any] = lambda views: views,
    size: int = 30,
) -> Response:
    """One page of a list, with the links to the others.

    Args:
        request: What was asked.
        keys: What the whole list is of.
        view: Shows one of them.
        wrap: What is around the page.
        size: How many a page has when nothing is asked.
    """
    page = max(number(request, "page", 1), 1)
    size = min(max(number(request, "per_page", size), 1), 250)
    size = min(size, 100) if "per_page" in request.query_params else size
    last = max((len(keys) + size - 1) // size, 1)
    places = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    shut = {"prev", "first"} if page == 1 else set()
    shut |= {"next", "last"} if page >= last else set()
    links = {name: {"page": place} for name, place in places.items() if name not in shut}
    body = wrap([view(key) for key in keys[(page - 1) * size : page * size]])
    return JSONResponse(body, headers=link(request, links))


def by_cursor(request: Request, keys: Sequence[Any], view: Callable[[Any], View]) -> Response:
    """The same where GitHub pages by a cursor, and knows no page's number."""
    if "page" in request.query_params:
        return failed(400, "Pagination using the `page` parameter is not supported.")
    size = min(max(number(request, "per_page", 30), 1), 100)
    after = request.query_params.get("after", "0")
    if not after.isdecimal():
        return failed(400, "The cursor is not valid.")
    end = int(after) + size
    links = {"next": {"after": end}} if end < len(keys) else {}
    return JSONResponse([view(key) for key in keys[int(after) : end]], headers=link(request, links))


def link(request: Request, links: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The header with the links to other pages."""
    asked = dict(request.query_params)
    base = f"{own_address(request)}{request.url.path}"
    told = [f'<{base}?{urlencode({**asked, **there})}>; rel="{name}"' for name, there in links.items()]
    return {"link": ", ".join(told)} if told else {}


def number(request: Request, name: str, otherwise: int) -> int:
    """A number in the query; what is none is as if it were not there."""
    asked = request.query_params.get(name, "")
    return int(asked) if asked.isdecimal() else otherwise


async def sent(request: Request) -> View:
    """The body's object.

    Raises:
        HTTPException: It is none.
    """
    try:
        found = json.loads(await request.body())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "Problems parsing JSON")
    return found
