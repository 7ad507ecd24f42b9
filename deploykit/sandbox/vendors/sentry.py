"""A stand-in for Sentry: its API for projects, keys, releases, deploys, issues and sessions, and its ingest.

Sources: https://docs.sentry.io/api/ and https://develop.sentry.dev/sdk/data-model/envelopes/
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.addresses import (
    SENTRY_ORGANIZATION,
    SENTRY_PROJECT,
    SENTRY_PROJECT_ID,
    SENTRY_PUBLIC_KEY,
    SENTRY_TOKEN,
)
from deploykit.sandbox.vendors import sentry_shapes as shapes
from deploykit.sandbox.vendors.sentry_ingest import read_envelope
from deploykit.sandbox.vendors.sentry_query import Found, matches
from deploykit.sandbox.vendors.sentry_state import SIZE, Sentry, Session, stamp
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

Fields = dict[str, Any]
Handler = Callable[[Sentry, Request], Awaitable[Any]]
FREQUENT = "You are attempting to use this endpoint too frequently. Try again in a second."


async def show_project(sentry: Sentry, request: Request) -> Any:
    """Shows the project."""
    require(sentry, request, "project:read")
    require_project(sentry, request)
    return {**shapes.project(), "status": sentry.status}


async def list_keys(sentry: Sentry, request: Request) -> Any:
    """Lists the client keys."""
    require(sentry, request, "project:read")
    require_project(sentry, request)
    keys = [shapes.key(request.url.netloc, n, active=active) for n, active in enumerate(sentry.keys)]
    wanted = request.query_params.get("status")
    kept = [key for key in keys if wanted is None or key["isActive"] is (wanted == "active")]
    return paged(sentry, request, kept)


async def list_releases(sentry: Sentry, request: Request) -> Any:
    """Lists the releases, newest first."""
    require(sentry, request, "org:read", "project:read", "project:releases")
    words = request.query_params.get("query", "")
    found = [sentry.show_release(version) for version in reversed(sentry.releases) if words in version]
    return paged(sentry, request, found)


async def show_release(sentry: Sentry, request: Request) -> Any:
    """Shows one release."""
    require(sentry, request, "org:read", "project:read", "project:releases")
    return sentry.show_release(known_version(sentry, request))


async def create_release(sentry: Sentry, request: Request) -> Any:
    """Registers a release; a known one is answered with 208."""
    require(sentry, request, "project:releases")
    sent = read_json(await request.body())
    wrong = {key: ["This field is required."] for key in ("version", "projects") if not (sent or {}).get(key)}
    if wrong:
        return JSONResponse(wrong, 400)
    if not {str(slug) for slug in sent["projects"]} <= {SENTRY_PROJECT, str(SENTRY_PROJECT_ID)}:
        return JSONResponse({"projects": ["Invalid project ids or slugs"]}, 400)
    fields = {key: sent.get(key) for key in ("ref", "url", "dateReleased", "projects")}
    new = sentry.register(sent["version"], **fields)
    return JSONResponse(sentry.show_release(sent["version"]), 201 if new else 208)


async def list_deploys(sentry: Sentry, request: Request) -> Any:
    """Lists a release's deploys, newest first."""
    require(sentry, request, "org:read", "project:read", "project:releases")
    return paged(sentry, request, list(reversed(sentry.deploys[known_version(sentry, request)])))


async def create_deploy(sentry: Sentry, request: Request) -> Any:
    """Records a deploy."""
    require(sentry, request, "project:releases")
    version, sent = known_version(sentry, request), read_json(await request.body()) or {}
    if not sent.get("environment"):
        return JSONResponse({"environment": ["This field is required."]}, 400)
    long = [key for key in ("environment", "name") if len(sent.get(key) or "") > 64]
    if long:
        return JSONResponse({key: ["Ensure this field has no more than 64 characters."] for key in long}, 400)
    number = sum(map(len, sentry.deploys.values())) + 1
    deploy = {key: sent.get(key) for key in ("environment", "name", "url", "dateStarted")}
    deploy |= {"id": str(number), "dateFinished": sent.get("dateFinished") or stamp()}
    sentry.deploys[version].append(deploy)
    return JSONResponse(deploy, 201)


async def list_issues(sentry: Sentry, request: Request) -> Any:
    """Lists the issues that a query finds, the last seen first."""
    require(sentry, request, "event:read")
    asked = request.query_params
    if not chosen(asked.getlist("project")):
        return paged(sentry, request, [])
    try:
        found = [
            (number, known)
            for number, known in enumerate(sentry.issues, 1)
            if matches(asked.get("query", "is:unresolved"), Found(known, asked.getlist("environment")))
        ]
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    found.sort(key=lambda pair: str(pair[1]["lastSeen"]), reverse=True)
    return paged(sentry, request, [shapes.issue(number, known) for number, known in found])


async def count_sessions(sentry: Sentry, request: Request) -> Any:
    """Counts sessions over a span of time, as one interval, by what `groupBy` says."""
    require(sentry, request, "org:read")
    asked = request.query_params
    fields, groups = asked.getlist("field"), asked.getlist("groupBy")
    if not fields or set(fields) - {"sum(session)", "crash_free_rate(session)"}:
        raise HTTPException(400, "Invalid field" if fields else 'Request is missing a "field"')
    places = {"release": 1, "environment": 2, "session.status": 3}
    if set(groups) - places.keys() - {"project"}:
        raise HTTPException(400, "Invalid groupBy")
    try:
        start, end = span(asked)
        kept = [s for s in sentry.sessions if start.timestamp() <= s[0] <= end.timestamp()]
        seen = {"release": 1, "environment": 2}
        words = asked.get("query", "")
        kept = [s for s in kept if matches(words, Found({key: s[place] for key, place in seen.items()}))]
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    kept = [s for s in kept if not asked.getlist("environment") or s[2] in asked.getlist("environment")]
    kept = kept if chosen(asked.getlist("project")) else []
    counted: dict[tuple[Any, ...], list[Session]] = {} if groups else {(): []}
    for session in kept:
        by = tuple(SENTRY_PROJECT_ID if group == "project" else session[places[group]] for group in groups)
        counted.setdefault(by, []).append(session)
    return {
        "start": stamp(start),
        "end": stamp(end),
        "intervals": [stamp(start)],
        "query": asked.get("query", ""),
        "groups": [
            {
                "by": dict(zip(groups, by, strict=True)),
                "totals": {field: measured(field, found) for field in fields},
                "series": {field: [measured(field, found)] for field in fields},
            }
            for by, found in counted.items()
        ],
    }


def measured(field: str, found: list[Session]) -> float | None:
    """One field of some sessions; the share of none is null."""
    number = sum(session[4] for session in found)
    if field == "sum(session)":
        return number
    return 1 - sum(session[4] for session in found if session[3] == "crashed") / number if number else None


async def ingest(sentry: Sentry, request: Request) -> Response:
    """Takes an envelope of the shop's copies."""
    number = int(request.path_params["project"])
    key = SENTRY_PUBLIC_KEY if sentry.keys and sentry.keys[0] else ""
    try:
        known = read_envelope(request, await request.body(), key)
    except PermissionError as error:
        return JSONResponse({"detail": str(error)}, 403)
    except ValueError as error:
        return JSONResponse({"detail": f"bad envelope: {error}"}, 400)
    if number != SENTRY_PROJECT_ID:
        return JSONResponse({"detail": "event submission rejected with_reason: ProjectId"}, 403)
    for event in known.events:
        sentry.seen(**event)
    for session in known.sessions:
        sentry.sessions.append(session)
    for version in {event["release"] for event in known.events} | {session[1] for session in known.sessions}:
        sentry.register(version)
    return JSONResponse({"id": known.id})


def span(asked: Any) -> tuple[datetime, datetime]:
    """The span that a request asks for, from the beginning of an interval; ninety days where it does not say."""
    if asked.get("start") and asked.get("end"):
        ends = [datetime.fromisoformat(asked[name]) for name in ("start", "end")]
        start, end = (at if at.tzinfo else at.replace(tzinfo=UTC) for at in ends)
    else:
        end = datetime.now(UTC)
        start = end - period(asked.get("statsPeriod") or "90d")
    width = period(asked.get("interval") or "1h")
    return start - (start - datetime.min.replace(tzinfo=UTC)) % width, end


def period(text: str) -> timedelta:
    """A length of time as Sentry takes it: `90d`, `1h`."""
    names = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or not int(number) or unit not in names:
        raise ValueError(f"Invalid period {text}")
    return timedelta(**{names[unit]: int(number)})


def chosen(projects: list[str]) -> bool:
    """Whether the one project is among those asked for; all are when none is named."""
    return not projects or bool({"-1", SENTRY_PROJECT, str(SENTRY_PROJECT_ID)} & set(projects))


def known_version(sentry: Sentry, request: Request) -> str:
    """The version in the address, if it is registered."""
    version = str(request.path_params["version"])
    if version not in sentry.releases:
        raise HTTPException(404, "The requested resource does not exist")
    return version


def require(sentry: Sentry, request: Request, *scopes: str) -> None:
    """Refuses a wrong token, one with none of the scopes, and another organisation, as Sentry does."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise HTTPException(401, "Authentication credentials were not provided.")
    if token != SENTRY_TOKEN:
        raise HTTPException(401, "Invalid token")
    if not sentry.limit.take():
        raise HTTPException(429, FREQUENT)
    if request.path_params["org"] != SENTRY_ORGANIZATION:
        raise HTTPException(404, "The requested resource does not exist")
    if not sentry.scopes & set(scopes):
        raise HTTPException(403, "You do not have permission to perform this action.")


def require_project(sentry: Sentry, request: Request) -> None:
    """Refuses another project, and one that is gone."""
    if request.path_params["project"] not in {SENTRY_PROJECT, str(SENTRY_PROJECT_ID)} or sentry.status is None:
        raise HTTPException(404, "The requested resource does not exist")


def paged(sentry: Sentry, request: Request, items: list[Fields]) -> JSONResponse:
    """One page, with the links to its neighbours in the header, which are there even where they lead to nothing."""
    try:
        start = int((request.query_params.get("cursor") or "0:0:0").split(":")[1])
        size = min(int(request.query_params.get("limit") or request.query_params.get("per_page") or SIZE), sentry.page)
    except (ValueError, IndexError):
        raise HTTPException(400, "Invalid cursor parameter.") from None
    links = []
    for word, offset, there in (
        ("previous", max(start - size, 0), start > 0),
        ("next", start + size, start + size < len(items)),
    ):
        cursor = f"0:{offset}:{int(word == 'previous')}"
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
        address = f"{request.url.replace(query='')}?{urlencode([*rest, ('cursor', cursor)])}"
        links.append(f'<{address}>; rel="{word}"; results="{str(there).lower()}"; cursor="{cursor}"')
    return JSONResponse(items[start : start + size], headers={"Link": ", ".join(links)})


def headers(sentry: Sentry) -> dict[str, str]:
    """The headers in which Sentry tells its limits."""
    numbers = {
        "Limit": sentry.limit.requests,
        "Remaining": sentry.limit.remaining,
        "Reset": int(sentry.limit.ends) + 1,
        "ConcurrentLimit": 25,
        "ConcurrentRemaining": 24,
    }
    return {f"X-Sentry-Rate-Limit-{name}": str(number) for name, number in numbers.items()}


async def refuse(_: Request, error: Exception) -> Response:
    """Words an error as Sentry does."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "Internal Error"
    return JSONResponse({"detail": detail}, status)


def make_app(sentry: Sentry) -> Starlette:
    """The stand-in's application."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def answer(request: Request) -> Response:
            try:
                made = await handler(sentry, request)
            except HTTPException as error:
                made = await refuse(request, error)
            response = made if isinstance(made, Response) else JSONResponse(made)
            response.headers.update(headers(sentry))
            return response

        return Route(path, answer, methods=[method])

    project, here = "/api/0/projects/{org}/{project}/", "/api/0/organizations/{org}/"
    version = here + "releases/{version}/"
    routes = [
        route(project, show_project),
        route(project + "keys/", list_keys),
        route(here + "issues/", list_issues),
        route(here + "sessions/", count_sessions),
        route(here + "releases/", list_releases),
        route(here + "releases/", create_release, "POST"),
        route(version + "deploys/", list_deploys),
        route(version + "deploys/", create_deploy, "POST"),
        route(version, show_release),
        route("/api/{project:int}/envelope/", ingest, "POST"),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path; what the shop's own copies send changes nothing of ours."""
    changing = request.method != "GET" and not request.url.path.endswith("/envelope/")
    return Operation(f"{request.method} {request.url.path}", changing, request.url.query[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Sentry says with that status."""
    if status == 429:
        told = {"X-Sentry-Rate-Limit-Remaining": "0", "X-Sentry-Rate-Limit-Reset": str(int(time.time()) + 1)}
        return {"detail": FREQUENT}, told
    return {"detail": "Internal Error", "errorId": None}, {}


SENTRY = Vendor("sentry", describe, failure)
