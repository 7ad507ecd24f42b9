"""A stand-in for Slack's Web API: channels, messages with threads and metadata, reactions and pins."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploykit.sandbox.addresses import SLACK_TOKEN
from deploykit.sandbox.vendors.slack_workspace import (
    APP,
    BOT,
    BOT_USER,
    NEEDED,
    TEAM,
    Fields,
    LimitedError,
    SlackError,
    Workspace,
)
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

TEXT_LIMIT = 40000
CHANGING = frozenset({"chat.postMessage", "chat.update", "reactions.add", "pins.add"})


def auth_test(_: Workspace, __: Fields) -> Fields:
    """Who the token is."""
    names = {"url": "https://sandbox.slack.com/", "team": "Sandbox", "user": "deploykit"}
    return {**names, "team_id": TEAM, "user_id": BOT_USER, "bot_id": BOT, "is_enterprise_install": False}


def conversations_list(space: Workspace, fields: Fields) -> Fields:
    """Lists the channels that the bot can see."""
    types = str(fields.get("types") or "public_channel").split(",")
    shown = [
        channel_object(identifier, about)
        for identifier, about in space.channels.items()
        if (
            "private_channel" in types and about.get("member", True)
            if about.get("private")
            else "public_channel" in types
        )
        and not (about.get("archived") and truthy(fields.get("exclude_archived")))
    ]
    channels, cursor = page(shown, fields)
    return {"channels": channels, "response_metadata": {"next_cursor": cursor}}


def channel_object(identifier: str, about: Fields) -> Fields:
    """A channel as Slack shows it."""
    name, private = about["name"], bool(about.get("private"))
    flags = dict.fromkeys(("is_im", "is_mpim", "is_shared", "is_ext_shared", "is_org_shared"), False)
    flags |= {"is_group": private, "is_private": private, "is_archived": bool(about.get("archived"))}
    about = {"value": "", "creator": "", "last_set": 0}
    names = {"id": identifier, "name": name, "name_normalized": name, "creator": BOT_USER, "created": 1760000000}
    rest = {
        "is_channel": not private,
        "is_member": bool(about.get("member", True)),
        "is_general": False,
        "is_pending_ext_shared": False,
    }
    lists: Fields = {"pending_shared": [], "previous_names": [], "topic": about, "purpose": about}
    return {**names, **flags, **rest, **lists, "unlinked": 0, "num_members": 4}


def post_message(space: Workspace, fields: Fields) -> Fields:
    """Posts a message, in a thread or not."""
    channel = space.joined(space.channel(fields.get("channel"), by_name=True))
    if space.channels[channel].get("archived"):
        raise SlackError("is_archived")
    message = {"type": "message", "user": BOT_USER, "bot_id": BOT, "app_id": APP, "team": TEAM}
    message |= content(fields)
    if thread := fields.get("thread_ts"):
        parent = space.message(channel, thread, "cannot_reply_to_message")
        message |= {"thread_ts": parent["ts"], "parent_user_id": parent["user"]}
    message["ts"] = space.next_ts()
    space.messages[channel].append(message)
    return {"channel": channel, "ts": message["ts"], "message": message}


def update_message(space: Workspace, fields: Fields) -> Fields:
    """Changes a message."""
    channel = space.channel(fields.get("channel"))
    message = space.message(channel, fields.get("ts"))
    message |= content(fields)
    message["edited"] = {"user": BOT_USER, "ts": space.next_ts()}
    return {"channel": channel, "ts": message["ts"], "text": message["text"], "message": message}


def content(fields: Fields) -> Fields:
    """Text, blocks and metadata of a message to write."""
    text = str(fields.get("text") or "")
    if not text and not fields.get("blocks") and not fields.get("attachments"):
        raise SlackError("no_text")
    if len(text) > TEXT_LIMIT:
        raise SlackError("msg_too_long")
    kept = {"text": text}
    kept |= {key: structure(fields[key]) for key in ("blocks", "attachments", "metadata") if fields.get(key)}
    metadata = kept.get("metadata", {"event_type": "", "event_payload": {}})
    if not isinstance(metadata, dict) or not {"event_type", "event_payload"} <= metadata.keys():
        raise SlackError("invalid_metadata_format")
    return kept


def structure(value: Any) -> Any:
    """A structure that a form carries as JSON text and a JSON body as itself."""
    return json.loads(value) if isinstance(value, str) else value


def history(space: Workspace, fields: Fields) -> Fields:
    """The channel's messages, newest first, threads' replies left out."""
    channel = space.joined(space.channel(fields.get("channel")))
    roots = [m for m in space.messages[channel] if m.get("thread_ts", m["ts"]) == m["ts"]]
    newest = [show(space, channel, m, fields) for m in reversed(within(roots, fields))]
    messages, cursor = page(newest, fields)
    more = {"response_metadata": {"next_cursor": cursor}} if cursor else {}
    return {"messages": messages, "has_more": bool(cursor), "pin_count": len(space.pins[channel]), **more}


def replies(space: Workspace, fields: Fields) -> Fields:
    """A thread: its parent, then its replies, oldest first."""
    channel = space.joined(space.channel(fields.get("channel")))
    root = space.message(channel, fields.get("ts"), "thread_not_found")
    answers = [m for m in space.messages[channel] if m.get("thread_ts") == root["ts"]]
    shown = [show(space, channel, m, fields, thread=True) for m in (root, *within(answers, fields))]
    messages, cursor = page(shown, fields)
    more = {"response_metadata": {"next_cursor": cursor}} if cursor else {}
    return {"messages": messages, "has_more": bool(cursor), **more}


def within(messages: list[Fields], fields: Fields) -> list[Fields]:
    """Those between oldest and latest."""
    low, high = float(fields.get("oldest") or 0), float(fields.get("latest") or "inf")
    if truthy(fields.get("inclusive")):
        return [m for m in messages if low <= float(m["ts"]) <= high]
    return [m for m in messages if low < float(m["ts"]) < high]


def show(space: Workspace, channel: str, message: Fields, fields: Fields, *, thread: bool = False) -> Fields:
    """A message as Slack shows it: metadata only when asked for, a parent with its count of replies."""
    shown = dict(message)
    if not truthy(fields.get("include_all_metadata")):
        shown.pop("metadata", None)
    answers = [m for m in space.messages[channel] if m.get("thread_ts") == message["ts"]]
    if answers or (thread and "thread_ts" not in message):
        users = sorted({m["user"] for m in answers})
        shown |= {"thread_ts": message["ts"], "reply_count": len(answers), "reply_users": users, "subscribed": False}
        shown |= {"reply_users_count": len(users)} | ({"latest_reply": answers[-1]["ts"]} if answers else {})
    return shown


def add_reaction(space: Workspace, fields: Fields) -> Fields:
    """Adds the bot's reaction."""
    message = space.message(space.channel(fields.get("channel")), fields.get("timestamp"))
    if not fields.get("name"):
        raise SlackError("invalid_name")
    known = message.setdefault("reactions", [])
    if any(r["name"] == fields["name"] for r in known):
        raise SlackError("already_reacted")
    known.append({"name": fields["name"], "users": [BOT_USER], "count": 1})
    return {}


def add_pin(space: Workspace, fields: Fields) -> Fields:
    """Pins a message."""
    channel = space.channel(fields.get("channel"))
    message = space.message(channel, fields.get("timestamp"))
    if message["ts"] in space.pins[channel]:
        raise SlackError("already_pinned")
    space.pins[channel].append(message["ts"])
    message["pinned_to"] = [channel]
    return {}


def user_info(_: Workspace, fields: Fields) -> Fields:
    """Shows the one user there is."""
    if fields.get("user") != BOT_USER:
        raise SlackError("user_not_found")
    pictures = {f"image_{n}": f"https://sandbox.slack.com/{n}.png" for n in (24, 32, 48, 72, 192, 512)}
    names = {"real_name": "deploykit", "display_name": "deploykit", "avatar_hash": "0", "team": TEAM}
    names |= {"real_name_normalized": "deploykit", "display_name_normalized": "deploykit"}
    profile = {**names, **pictures, "status_text": "", "status_emoji": ""}
    flags = {"is_bot": True, "is_app_user": False, "deleted": False}
    user = {"id": BOT_USER, "team_id": TEAM, "name": "deploykit", **flags, "profile": profile, "updated": 1760000000}
    return {"user": user}


METHODS: Mapping[str, Callable[[Workspace, Fields], Fields]] = {
    "auth.test": auth_test,
    "conversations.list": conversations_list,
    "chat.postMessage": post_message,
    "chat.update": update_message,
    "conversations.history": history,
    "conversations.replies": replies,
    "reactions.add": add_reaction,
    "pins.add": add_pin,
    "users.info": user_info,
}


def truthy(value: object) -> bool:
    """Whether a field of a form or of JSON says yes."""
    return value in (True, 1, "true", "True", "1")


def page(items: list[Fields], fields: Fields) -> tuple[list[Fields], str]:
    """One page, and the cursor of the next, empty at the end."""
    try:
        start = int(base64.b64decode(fields.get("cursor") or b"MA==", validate=True))
        limit = int(fields.get("limit") or 100)
    except (binascii.Error, ValueError) as error:
        raise SlackError("invalid_cursor") from error
    if not 0 < limit <= 1000:
        raise SlackError("invalid_limit")
    following = start + limit
    cursor = base64.b64encode(str(following).encode()).decode() if following < len(items) else ""
    return items[start:following], cursor


def read_fields(request: Request, body: bytes) -> Fields:
    """What a request says in its address and its body, form or JSON."""
    fields: Fields = dict(request.query_params)
    if "json" in request.headers.get("content-type", ""):
        return fields | (read_json(body) or {})
    return fields | dict(parse_qsl(body.decode()))


def make_app(space: Workspace) -> Starlette:
    """The stand-in's application."""

    async def method(request: Request) -> JSONResponse:
        fields = read_fields(request, await request.body())
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or fields.get("token")
        name = request.path_params["method"]
        told = {"x-oauth-scopes": ",".join(sorted(space.scopes)), "x-accepted-oauth-scopes": NEEDED.get(name, "")}
        try:
            require_token(token)
            space.require(name, fields)
            answer = METHODS[name](space, fields)
        except SlackError as error:
            return JSONResponse({"ok": False, "error": str(error), **error.more}, headers=told)
        except LimitedError as error:
            return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"retry-after": str(error.wait)})
        return JSONResponse({"ok": True, **answer}, headers=told)

    return Starlette(routes=[Route("/api/{method}", method, methods=["GET", "POST"])])


def require_token(token: str | None) -> None:
    """Refuses a missing or wrong token, as Slack words it."""
    if not token:
        raise SlackError("not_authed")
    if token != SLACK_TOKEN:
        raise SlackError("invalid_auth")


def describe(request: Request, body: bytes) -> Operation:
    """Names the method."""
    name = request.url.path.removeprefix("/api/")
    fields = read_fields(request, body)
    detail = " ".join(str(fields[key]) for key in ("channel", "thread_ts", "ts", "text") if key in fields)
    return Operation(name, name in CHANGING, detail[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Slack says with that status."""
    if status == 429:
        return {"ok": False, "error": "ratelimited"}, {"retry-after": "1"}
    return {"ok": False, "error": "internal_error"}, {}


SLACK = Vendor("slack", describe, failure)
