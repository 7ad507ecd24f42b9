"""A stand-in for PagerDuty: who is on call, schedules, users, incidents, and the events and change events.

Sources: https://developer.pagerduty.com/api-reference/ and https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.addresses import PAGERDUTY_POLICY, PAGERDUTY_ROUTING_KEY, PAGERDUTY_SERVICE, PAGERDUTY_TOKEN
from deploykit.sandbox.vendors.pagerduty_account import (
    BORN,
    POLICY,
    ROTATIONS,
    SERVICE,
    TURN,
    Account,
    Fields,
    reference,
    stamp,
)
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

Handler = Callable[[Account, Request], Awaitable[Any]]
MEDIA = ("application/vnd.pagerduty+json;version=2", "application/json", "*/*")
#: Further than this no page reaches.
FURTHEST = 10_000


class Refused(Exception):  # noqa: N818  # an answer, not a fault of ours
    """An error as PagerDuty words it: status, message, code and list."""

    def __init__(self, status: int, message: str, code: int, *errors: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Fields = {"error": {"message": message, "code": code, "errors": list(errors)}}


async def list_oncalls(account: Account, request: Request) -> Any:
    """Lists who is on call."""
    asked = request.query_params
    start, end = span(asked, default=timedelta(0))
    found = list(account.shifts(start, end))
    for key, parameter in (("user", "user_ids[]"), ("schedule", "schedule_ids[]")):
        found = [shift for shift in found if not asked.getlist(parameter) or shift[key] in asked.getlist(parameter)]
    policies = asked.getlist("escalation_policy_ids[]")
    if policies and PAGERDUTY_POLICY not in policies:
        found = []
    if asked.get("earliest") == "true":
        first: dict[tuple[Any, ...], Fields] = {}
        for shift in found:
            first.setdefault((shift["level"], shift["user"]), shift)
        found = list(first.values())
    users = "users" in asked.getlist("include[]")
    return paged(request, "oncalls", [oncall(account, shift, users=users) for shift in found])


def oncall(account: Account, shift: Fields, *, users: bool) -> Fields:
    """One shift as PagerDuty shows it; with the whole user where that is asked for."""
    person, name = shift["user"], shift["schedule"]
    whole = account.users.get(person, {}) if users else {}
    return {
        "escalation_policy": POLICY,
        # The schema knows references alone here, whatever else a whole user brings with it.
        "user": {**whole, **account.person(person)},
        "schedule": name and reference("schedule", name, ROTATIONS[name][1]),
        "escalation_level": shift["level"],
        **{key: shift[key] and stamp(shift[key]) for key in ("start", "end")},
    }


async def list_users(account: Account, request: Request) -> Any:
    """Lists users."""
    words = request.query_params.get("query", "").lower()
    found = [user for user in account.users.values() if words in f"{user['name']} {user['email']}".lower()]
    return paged(request, "users", found)


async def show_user(account: Account, request: Request) -> Any:
    """Shows one user."""
    return {"user": known(account.users, request)}


async def list_schedules(account: Account, request: Request) -> Any:
    """Lists schedules, without their entries."""
    shown = [schedule(account, name) for name in ROTATIONS]
    return paged(request, "schedules", [{k: v for k, v in one.items() if "sub" not in k} for one in shown])


async def show_schedule(account: Account, request: Request) -> Any:
    """Shows one schedule with who is on call in a span of time."""
    name = request.path_params["id"]
    known(ROTATIONS, request)
    start, end = span(request.query_params, default=timedelta(weeks=2))
    entries = [
        {"user": account.person(shift["user"]), "start": stamp(shift["start"]), "end": stamp(shift["end"])}
        for shift in account.shifts(start, end)
        if shift["schedule"] == name
    ]
    final = {"name": "Final Schedule", "rendered_schedule_entries": entries, "rendered_coverage_percentage": 100.0}
    none = {"name": "Overrides", "rendered_schedule_entries": [], "rendered_coverage_percentage": 0.0}
    return {"schedule": {**schedule(account, name), "final_schedule": final, "overrides_subschedule": none}}


def schedule(account: Account, name: str) -> Fields:
    """A schedule with its one layer."""
    _, title, people = ROTATIONS[name]
    users = [account.person(person) for person in people]
    layer = {
        "id": f"{name}L",
        "name": "Layer 1",
        "start": stamp(BORN),
        "rotation_virtual_start": stamp(BORN),
        "rotation_turn_length_seconds": int(TURN.total_seconds()),
        "users": [{"user": user} for user in users],
        "restrictions": [],
        "rendered_schedule_entries": [],
        "rendered_coverage_percentage": 100.0,
    }
    about = {"type": "schedule", "name": title, "description": title, "time_zone": "UTC", "teams": []}
    linked = {"users": users, "escalation_policies": [POLICY], "schedule_layers": [layer]}
    return {**reference("schedule", name, title), **about, **linked}


async def list_incidents(account: Account, request: Request) -> Any:
    """Lists incidents, the oldest first."""
    asked = request.query_params
    found = account.incidents
    for key, parameter in (("incident_key", "incident_key"), ("status", "statuses[]"), ("urgency", "urgencies[]")):
        found = [one for one in found if not asked.getlist(parameter) or one[key] in asked.getlist(parameter)]
    if asked.getlist("service_ids[]") and PAGERDUTY_SERVICE not in asked.getlist("service_ids[]"):
        found = []
    if asked.get("date_range") != "all":
        start, end = span(asked, default=timedelta(days=-30))
        found = [one for one in found if stamp(start) <= one["created_at"] <= stamp(end + timedelta(seconds=1))]
    return paged(request, "incidents", found)


async def show_incident(account: Account, request: Request) -> Any:
    """Shows one incident, by its id or its number."""
    places = {one["id"]: one for one in account.incidents}
    numbers = {str(one["incident_number"]): one for one in account.incidents}
    return {"incident": known({**numbers, **places}, request)}


async def create_incident(account: Account, request: Request) -> Any:
    """Opens an incident for the user that `From` names."""
    if request.headers.get("from") not in {user["email"] for user in account.users.values()}:
        raise Refused(400, "Requester User Not Found", 1008)
    sent = (read_json(await request.body()) or {}).get("incident")
    if not isinstance(sent, dict) or sent.get("type") != "incident":
        raise Refused(400, "Invalid Input Provided", 2001, "Incident cannot be empty.")
    title, service = sent.get("title"), sent.get("service") or {}
    if not isinstance(title, str) or not title.strip():
        raise Refused(400, "Invalid Input Provided", 2001, "Title cannot be empty.")
    if service.get("id") != PAGERDUTY_SERVICE or service.get("type") != "service_reference":
        raise Refused(400, "Invalid Input Provided", 2001, "Service cannot be empty.")
    details = str((sent.get("body") or {}).get("details", ""))
    made = account.open_incident(title, sent.get("incident_key"), details, sent.get("urgency", "high"))
    if made is None:
        said = "matching dedup key already exists on an open incident"
        raise Refused(400, "Arguments Caused Error", 2002, said)
    return JSONResponse({"incident": made}, 201)


async def show_policy(_: Account, request: Request) -> Any:
    """Shows the one escalation policy, without its rules."""
    shown = {**POLICY, "type": "escalation_policy", "name": "Shop", "escalation_rules": [], "num_loops": 0, "teams": []}
    return {"escalation_policy": known({PAGERDUTY_POLICY: shown}, request)}


async def show_service(_: Account, request: Request) -> Any:
    """Shows the one service."""
    shown = {**SERVICE, "type": "service", "name": "shop", "status": "active", "escalation_policy": POLICY}
    return {"service": known({PAGERDUTY_SERVICE: {**shown, "created_at": stamp(BORN)}}, request)}


async def enqueue(account: Account, request: Request) -> Response:
    """Takes an event: it opens, acknowledges or resolves the incident of its key."""
    sent = read_json(await request.body()) or {}
    action, payload = str(sent.get("event_action")), sent.get("payload") or {}
    errors = routing(sent)
    if action not in {"trigger", "acknowledge", "resolve"}:
        errors.append("'event_action' is missing or is not one of trigger, acknowledge, resolve")
    wanted = ("summary", "source", "severity") if action == "trigger" else ()
    errors += [f"'payload.{key}' is missing or blank" for key in wanted if not payload.get(key)]
    if payload.get("severity") and payload["severity"] not in {"critical", "error", "warning", "info"}:
        errors.append("'payload.severity' is invalid (must be one of the following: critical, warning, error or info)")
    if action in {"acknowledge", "resolve"} and not sent.get("dedup_key"):
        errors.append("'dedup_key' is missing or blank")
    if errors:
        return invalid(errors)
    key = sent.get("dedup_key") or uuid.uuid4().hex
    if action == "trigger":
        account.open_incident(payload["summary"], key, str(payload.get("custom_details") or ""))
    else:
        account.move(key, f"{action}d")
    return JSONResponse({"status": "success", "message": "Event processed", "dedup_key": key}, 202)


async def enqueue_change(account: Account, request: Request) -> Response:
    """Takes a change event."""
    sent = read_json(await request.body()) or {}
    errors = routing(sent)
    if not (sent.get("payload") or {}).get("summary"):
        errors.append("'payload.summary' is missing or blank")
    if errors:
        return invalid(errors)
    account.changes.append(sent)
    return JSONResponse({"status": "success", "message": "Change event processed"}, 202)


def routing(sent: Fields) -> list[str]:
    """What is wrong with an event's routing key."""
    return [] if sent.get("routing_key") == PAGERDUTY_ROUTING_KEY else ["Invalid routing key"]


def invalid(errors: list[str]) -> Response:
    """The answer to an event that cannot be taken."""
    said = "Event object is invalid"
    return JSONResponse({"status": "invalid event", "message": said, "errors": errors}, 400)


def known(objects: Mapping[str, Any], request: Request) -> Any:
    """The object that the address names."""
    try:
        return objects[request.path_params["id"]]
    except KeyError:
        raise Refused(404, "Not Found", 2100) from None


def span(asked: Any, *, default: timedelta) -> tuple[datetime, datetime]:
    """The span that `since` and `until` ask for; what is not given is now, or this far from it."""
    now = datetime.now(UTC)
    try:
        given = [datetime.fromisoformat(asked[key]) if asked.get(key) else None for key in ("since", "until")]
    except ValueError:
        raise Refused(400, "Invalid Input Provided", 2001, "Since and until must be ISO 8601 times.") from None
    start, end = (at and (at if at.tzinfo else at.replace(tzinfo=UTC)) for at in given)
    begin = start or min(now, now + default)
    finish = end or max(now, now + default, begin)
    if finish < begin:
        raise Refused(400, "Invalid Input Provided", 2001, "Until must be after since.")
    return begin, finish


def paged(request: Request, key: str, items: list[Fields]) -> Fields:
    """One page."""
    asked = request.query_params
    try:
        offset, limit = int(asked.get("offset") or 0), min(int(asked.get("limit") or 25), 100)
    except ValueError:
        raise Refused(400, "Invalid Input Provided", 2001, "Offset and limit must be integers.") from None
    if offset < 0 or limit < 1 or offset + limit > FURTHEST:
        raise Refused(400, "Invalid Input Provided", 2001, "Offset must be less than 10,000.")
    about = {"limit": limit, "offset": offset, "more": offset + limit < len(items)}
    total = len(items) if asked.get("total") == "true" else None
    return {key: items[offset : offset + limit], **about, "total": total}


def require(account: Account, request: Request) -> None:
    """Refuses what PagerDuty refuses before it looks at what is asked."""
    if request.headers.get("authorization") != f"Token token={PAGERDUTY_TOKEN}":
        raise Refused(401, "Unauthorized", 2006)
    media = [re.sub(r"\s", "", part) for part in request.headers.get("accept", "*/*").split(",")]
    if not any(part.startswith(known) for part in media for known in MEDIA):
        raise Refused(406, "Not Acceptable", 2010, "Accept application/vnd.pagerduty+json;version=2.")
    if not account.limit.take():
        raise Refused(429, "Rate Limit Exceeded", 2020)


def make_app(account: Account) -> Starlette:
    """The stand-in's application."""

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        async def answer(request: Request) -> Response:
            try:
                require(account, request)
                made = await handler(account, request)
                response = made if isinstance(made, Response) else JSONResponse(made)
            except Refused as error:
                response = JSONResponse(error.body, error.status)
            limit = account.limit
            told = {"limit": limit.requests, "remaining": limit.remaining, "reset": int(limit.wait) + 1}
            response.headers.update({f"ratelimit-{name}": str(number) for name, number in told.items()})
            return response

        return Route(path, answer, methods=[method])

    def event(path: str, handler: Handler) -> Route:
        async def answer(request: Request) -> Response:
            made: Response = await handler(account, request)
            return made

        return Route(path, answer, methods=["POST"])

    routes = [
        route("/oncalls", list_oncalls),
        route("/users", list_users),
        route("/users/{id}", show_user),
        route("/schedules", list_schedules),
        route("/schedules/{id}", show_schedule),
        route("/escalation_policies/{id}", show_policy),
        route("/services/{id}", show_service),
        route("/incidents", list_incidents),
        route("/incidents", create_incident, "POST"),
        route("/incidents/{id}", show_incident),
        event("/v2/enqueue", enqueue),
        event("/v2/change/enqueue", enqueue_change),
    ]
    return Starlette(routes=routes)


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path."""
    return Operation(f"{request.method} {request.url.path}", request.method != "GET", request.url.query[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What PagerDuty says with that status."""
    if status == 429:
        return Refused(429, "Rate Limit Exceeded", 2020).body, {"ratelimit-remaining": "0", "ratelimit-reset": "1"}
    return Refused(status, "Internal Server Error", 2000).body, {}


PAGERDUTY = Vendor("pagerduty", describe, failure)
