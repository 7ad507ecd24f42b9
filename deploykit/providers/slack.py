"""Slack as the chat, with slack_sdk.

Source: https://docs.slack.dev/reference/methods. The token needs the scopes `chat:write`, `channels:read`,
`channels:history`, and `groups:read`, `groups:history` for private channels; the app has to be in the channel.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from deploykit import redact
from deploykit.providers._answers import listing, mapping, text
from deploykit.providers._deadline import within
from deploykit.providers._errors import Call, attempt, worded
from deploykit.providers._faults import Fault, Why, of_client, seconds, words
from deploykit.providers._slack_client import web_client

if TYPE_CHECKING:
    from deploykit.ports import Message
    from deploykit.settings import EnvironmentSettings, Settings

Method = Callable[..., Any]
Asked = dict[str, Any]

#: Seconds for the connection, and for each answer.
TIMEOUT = 10
#: Pages that are looked through before it is said that there are too many.
PAGES = 20
EVENT = "deploykit"
#: What a public channel takes; for a private one Slack names what is missing when it is asked.
SCOPES = frozenset({"chat:write", "channels:read", "channels:history"})
_ID = re.compile(r"[CG][A-Z0-9]{6,}")

#: Slack's words for a failure after which part of the work may have been done.
_UNSURE = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_AUTH = frozenset({"account_inactive", "invalid_auth", "no_permission", "not_authed", "token_expired", "token_revoked"})

#: Messages of other kinds are notes by Slack itself: somebody joined, a channel was renamed.
_WRITTEN = (None, "", "bot_message", "file_share", "me_message", "thread_broadcast")


class SlackChat:
    """A `ports.Chat`. A message is found again by its metadata, never by its text.

    Args:
        url: The API's address, such as `https://slack.com/api/`.
        token: A bot's token.
        timeout: Seconds for the connection, and for each whole answer.
    """

    def __init__(self, url: str, token: str, *, timeout: int = TIMEOUT) -> None:
        self._client = web_client(url, token, timeout)
        self._call = Call("Slack", "", address="chat.url", token="chat.token", timeout=timeout)  # noqa: S106 - a name
        self._channels: dict[str, str] = {}

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Who the token is, and whether it has the scopes that everything here needs."""
        return {"token": self._identity}

    def _identity(self) -> str:
        told: dict[str, str] = {}

        def ask(**asked: Any) -> Any:
            response = self._client.auth_test(**asked)
            told.update({str(name).lower(): str(value) for name, value in dict(response.headers).items()})
            return response

        def once() -> str:
            answer = self._answer(ask, {})
            missing = sorted(SCOPES - set(told.get("x-oauth-scopes", "").replace(" ", "").split(",")))
            if missing:
                mend = f"give the app the scopes {', '.join(missing)}, and install it again"
                raise Fault(Why.REFUSED, f"the token lacks {', '.join(missing)}", mend=mend)
            return f"{words(answer.get('user'))} of {words(answer.get('team'))}"

        return attempt(replace(self._call, what="auth.test"), once)

    def find(self, channel: str, run: str, *, kind: str) -> Message | None:
        """The message of this run and kind: in the channel, or in a thread under a message of this run.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Slack refused, or there are too many messages to be sure.
        """
        with worded(replace(self._call, what=f"looking for {kind}")):
            place = self._channel(channel)
            asked = {"channel": place, "oldest": _since(run), "include_all_metadata": True}
            threads: list[str] = []
            for message in self._pages("conversations.history", self._client.conversations_history, "messages", asked):
                if (found := _kind(message, run)) == kind:
                    return _message(message, place, run)
                if found is not None:
                    threads.append(text(message.get("ts"), "ts"))
            return next(filter(None, (self._reply(place, thread, run, kind) for thread in threads)), None)

    def post(self, channel: str, text: str, *, run: str, kind: str, thread: str | None = None) -> Message:
        """Post a message marked with the run and its kind. Its text is shown as it is: it mentions and links nothing.

        Raises:
            Unreachable: It is not known whether it was posted; `find` tells.
            Rejected: Slack refused.
        """
        # The channel's metadata is readable to everyone in it, the text too: no secret may go there.
        shown = html.escape(redact.visible(redact.text(text)), quote=False)
        asked = {
            "channel": self._channel(channel),
            "text": shown,
            "thread_ts": thread,
            "metadata": {"event_type": EVENT, "event_payload": {"run": run, "kind": kind}},
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        call = replace(self._call, what=f"chat.postMessage of {kind}", changes=True)

        def once() -> Message:
            answer = self._answer(self._client.chat_postMessage, asked)
            posted = answer.get("message")
            place = answer.get("channel") or asked["channel"]
            said = posted if isinstance(posted, dict) else {}
            return _message({"text": shown, **said, "ts": answer.get("ts")}, str(place), run)

        return attempt(call, once)

    def channel(self, name: str) -> str | None:
        """The id of a channel, looked up once. An id is asked for, too: it may be of a channel that is gone.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Slack refused, or there are too many channels to be sure.
        """
        with worded(replace(self._call, what=f"looking for the channel {name}")):
            return self._known(name.removeprefix("#"))

    def history(self, channel: str, since: datetime, until: datetime | None = None) -> tuple[Message, ...]:
        """What people and apps wrote in a channel, by name or id, oldest first; answers in threads are not among it.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Slack refused, there is no such channel, or there are too many messages to be sure.
        """
        with worded(replace(self._call, what=f"history of {channel}")):
            asked = {"oldest": f"{since.timestamp():.6f}", "latest": f"{until.timestamp():.6f}" if until else None}
            return self._written("conversations.history", self._client.conversations_history, channel, asked)

    def thread(self, channel: str, ts: str) -> tuple[Message, ...]:
        """The answers under a message, oldest first.

        Raises:
            Unreachable, Rejected: As `history`.
        """
        with worded(replace(self._call, what=f"thread in {channel}")):
            found = self._written("conversations.replies", self._client.conversations_replies, channel, {"ts": ts})
            return tuple(message for message in found if message.ts != ts)

    def _written(self, what: str, method: Method, channel: str, asked: Asked) -> tuple[Message, ...]:
        place = self._channel(channel)
        asked = {**asked, "channel": place, "include_all_metadata": True}
        pages = self._pages(what, method, "messages", asked)
        found = [_message(one, place, _run(one)) for one in pages if one.get("subtype") in _WRITTEN]
        return tuple(sorted(found, key=lambda message: float(message.ts)))

    def _reply(self, place: str, thread: str, run: str, kind: str) -> Message | None:
        asked = {"channel": place, "ts": thread, "include_all_metadata": True}
        for message in self._pages("conversations.replies", self._client.conversations_replies, "messages", asked):
            if _kind(message, run) == kind:
                return _message(message, place, run)
        return None

    def _channel(self, name: str) -> str:
        """A channel's id: as it is, or looked up by its name once."""
        name = name.removeprefix("#")
        if _ID.fullmatch(name):
            return name
        with worded(replace(self._call, what=f"looking for the channel {name}")):
            found = self._known(name)
            if found is None:
                mend = "look at the name in the settings; if the channel is private, invite the app"
                raise Fault(Why.REFUSED, f"there is no channel {name!r}", mend=mend)
            return found

    def _known(self, name: str) -> str | None:
        if name not in self._channels:
            asked = {"types": "public_channel,private_channel", "exclude_archived": True}
            for channel in self._pages("conversations.list", self._client.conversations_list, "channels", asked):
                if name in (channel.get("name"), channel.get("id")):
                    self._channels[name] = text(channel.get("id"), "a channel's id")
                    break
        return self._channels.get(name)

    def _pages(self, what: str, method: Method, key: str, asked: Asked) -> Iterator[dict[str, Any]]:
        """The objects of all pages. More pages than are looked through is a fault: what was not seen may be there."""
        call, cursor = replace(self._call, what=what), ""
        for _ in range(PAGES):
            page = {**asked, "limit": 200, "cursor": cursor or None}
            answer = attempt(call, partial(self._answer, method, page))
            yield from (mapping(item, f"one of {key}") for item in listing(answer.get(key), key))
            told = answer.get("response_metadata")
            following = told.get("next_cursor") if isinstance(told, dict) else None
            if not following:
                if answer.get("has_more") is True:
                    raise Fault(Why.GARBLED, "it has more, and does not say where")
                return
            if following == cursor:
                raise Fault(Why.GARBLED, "its next page is the same page")
            cursor = text(following, "next_cursor")
        mend = "write the channel's id instead of its name" if key == "channels" else "look into the channel yourself"
        raise Fault(Why.REFUSED, f"{what} has more than {PAGES} pages", mend=mend)

    def _answer(self, method: Method, asked: Asked) -> dict[str, Any]:
        return within(self._call.timeout, lambda: _answer(method, asked))


def connect(settings: Settings, environment: EnvironmentSettings) -> SlackChat:  # noqa: ARG001 - all take both
    """The team's chat, with its token.

    Raises:
        UsageError: The token is not there.
    """
    return SlackChat(settings.chat.url, redact.learn(settings.resolve(settings.chat.token)))


def _answer(method: Method, asked: Asked) -> dict[str, Any]:
    """One call, and its answer if it says that it is well."""
    from slack_sdk.errors import SlackApiError  # noqa: PLC0415 - an extra, and slow to import

    try:
        answer = method(**asked).data
    except SlackApiError as error:
        raise _refused(error.response) from error
    except Exception as error:
        raise of_client(error) from error
    found = mapping(answer, "the answer")
    if found.get("ok") is not True:
        raise Fault(Why.GARBLED, f"ok is {found.get('ok')!r}")
    return found


def _refused(response: Any) -> Fault:
    """The fault behind an answer that the client takes as an error: a status, or `ok: false` in a 200."""
    data = response.data if isinstance(response.data, dict) else {}
    word = data.get("error")
    headers = {str(name).lower(): str(value) for name, value in dict(response.headers).items()}
    if response.status_code != 200:
        return Fault.of_status(response.status_code, str(word or ""), headers)
    # The client makes `ok: false` with a sentence of its own out of what is not JSON. Slack's are single words.
    if data.get("ok") is not False or not re.fullmatch(r"[\w.:-]*", word if isinstance(word, str) else ""):
        return Fault(Why.GARBLED, str(word or data or "it is empty"))
    if word in {"ratelimited", "rate_limited"}:
        return Fault(Why.THROTTLED, word, wait=seconds(headers.get("retry-after")))
    if word in _UNSURE:
        return Fault(Why.STATUS, word, status=500)
    return Fault(Why.REFUSED, word or "without a reason", mend=_mend(word or "", data.get("needed")))


def _mend(word: str, needed: Any) -> str:
    if word in _AUTH:
        return "look at the secret that chat.token names: it may be wrong, expired, or lack a right"
    if word == "missing_scope":
        return f"give the app the scope {words(needed)}, or write the channel's id instead of its name"
    return "invite the app into the channel" if word in {"not_in_channel", "channel_not_found"} else ""


def _marks(message: dict[str, Any]) -> dict[str, Any]:
    """The marks that one of our messages carries; none of any other message."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT:
        return {}
    payload = metadata.get("event_payload")
    return payload if isinstance(payload, dict) else {}


def _run(message: dict[str, Any]) -> str:
    """The run that a message of ours belongs to."""
    return str(_marks(message).get("run") or "")


def _kind(message: dict[str, Any], run: str) -> str | None:
    """The kind of a message of this run; None of any other message."""
    marks = _marks(message)
    return str(marks.get("kind")) if marks.get("run") == run else None


def _message(message: dict[str, Any], place: str, run: str) -> Message:
    from deploykit.ports import Message  # noqa: PLC0415 - what it draws in is not needed to import this module

    user = next((str(message[key]) for key in ("user", "bot_id", "username") if message.get(key)), "")
    said = message.get("text")
    shown = html.unescape(said) if isinstance(said, str) else ""
    ts, replies = text(message.get("ts"), "ts"), message.get("reply_count")
    return Message(
        channel=place,
        ts=ts,
        user=user,
        text=shown,
        run=run,
        at=_moment(ts),
        replies=replies if isinstance(replies, int) else 0,
    )


def _moment(ts: str) -> datetime:
    """When a message was written: its time stamp is unix seconds, with a counter behind the point."""
    try:
        return datetime.fromtimestamp(float(ts), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Fault(Why.GARBLED, f"ts is no time: {ts!r}") from error


def _since(run: str) -> str | None:
    """When messages of the run can begin, from its id; five minutes earlier, for clocks that differ."""
    match = re.match(r"(\d{8}T\d{6})Z-", run)
    if match is None:
        return None
    began = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return f"{began.timestamp() - 300:.6f}"
