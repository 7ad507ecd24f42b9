"""What a Slack workspace holds: channels with their members, messages, and what the bot's token may do there."""

import math
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any

from deploykit.sandbox.addresses import SLACK_CHANNELS
from deploykit.sandbox.vendors.limits import Limit

TEAM, BOT_USER, BOT, APP = "T0000000001", "U0000000001", "B0000000001", "A0000000001"
Fields = dict[str, Any]
#: The scope that each method takes. Those of channels are `groups:` for a private one.
NEEDED = {
    "auth.test": "",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.list": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "reactions.add": "reactions:write",
    "pins.add": "pins:write",
    "users.info": "users:read",
}
SCOPES = frozenset({*NEEDED.values(), "groups:read", "groups:history"} - {""})
#: Requests a minute of each method: more than Slack's own 20 to 100, for a demo is faster. A test may narrow them.
A_MINUTE = 600
#: What is usually written in a support channel, and how many such messages an hour.
USUAL = (
    "How do I change the address of an order?",
    "Can I pay by invoice?",
    "Is the blue kettle coming back?",
    "A customer asks for a copy of her receipt.",
    "Where do I find the order number?",
    "The parcel came, thanks!",
)
AN_HOUR, DAYS = 2.0, 8


class SlackError(Exception):
    """An error that Slack answers with status 200, and what it says beside."""

    def __init__(self, word: str, **more: str) -> None:
        super().__init__(word)
        self.more = more


class LimitedError(Exception):
    """Too many requests: how many seconds to wait."""

    def __init__(self, wait: int) -> None:
        super().__init__(wait)
        self.wait = wait


class Workspace:
    """What the workspace holds."""

    def __init__(self) -> None:
        self.last = 0
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences.

        Args:
            differences: `scopes` of the token; `limits`, requests and seconds by method; `channels` by name: null for
                one that is gone, else whether the bot is a `member`, and it is `private` or `archived`; `messages`
                beside the usual ones, each with `channel`, `text`, and where wanted `user`, `age` in seconds, `bot`,
                `subtype`, and `answers`, a list of texts.
        """
        self.scopes = frozenset(differences.get("scopes", SCOPES))
        numbers = {**dict.fromkeys(NEEDED, (A_MINUTE, 60)), **differences.get("limits", {})}
        self.limits = {method: Limit(int(requests), float(seconds)) for method, (requests, seconds) in numbers.items()}
        self.channels: dict[str, Fields] = {i: {"name": name} for name, i in SLACK_CHANNELS.items()}
        for number, (name, changes) in enumerate(differences.get("channels", {}).items()):
            identifier = SLACK_CHANNELS.get(name, f"C00000001{number:02d}")
            self.channels.pop(identifier, None)
            if changes is not None:
                self.channels[identifier] = {"name": name, **changes}
        self.messages: dict[str, list[Fields]] = {identifier: [] for identifier in self.channels}
        self.pins: dict[str, list[str]] = {identifier: [] for identifier in self.channels}
        self.messages[SLACK_CHANNELS["support"]] = list(usual(time.time()))
        for given in differences.get("messages", ()):
            self.write(**given)

    def write(self, *, channel: str, text: str, age: float = 0.0, answers: tuple[str, ...] = (), **more: Any) -> None:
        """Somebody writes a message, so many seconds ago, and is answered."""
        identifier = self.channel("#" + channel, by_name=True)
        stamp = self.next_ts() if not age else stamp_of(time.time() - age)
        message = {"type": "message", "user": "U0000000007", "text": text, "team": TEAM, **more, "ts": stamp}
        self.messages[identifier].append(message)
        for number, answer in enumerate(answers, 1):
            ts = stamp_of(float(stamp) + number * 0.001)
            said = {"type": "message", "user": "U0000000008", "text": answer, "team": TEAM, "ts": ts}
            self.messages[identifier].append({**said, "thread_ts": stamp, "parent_user_id": message["user"]})
        self.messages[identifier].sort(key=lambda one: float(one["ts"]))

    def next_ts(self) -> str:
        """A time stamp that no other message has."""
        self.last = max(self.last + 1, time.time_ns() // 1000)
        return f"{self.last // 10**6}.{self.last % 10**6:06d}"

    def channel(self, name: str | None, *, by_name: bool = False) -> str:
        """The channel's id; posting accepts a name too. A private channel without the bot is not seen."""
        plain = (name or "").removeprefix("#")
        ids = {about["name"]: identifier for identifier, about in self.channels.items()}
        identifier = ids.get(plain, "") if by_name and plain in ids else name or ""
        about = self.channels.get(identifier)
        if about is None or (about.get("private") and not about.get("member", True)):
            raise SlackError("channel_not_found")
        return identifier

    def joined(self, identifier: str) -> str:
        """The channel's id, if the bot is in it."""
        if not self.channels[identifier].get("member", True):
            raise SlackError("not_in_channel")
        return identifier

    def message(self, channel: str, ts: str | None, error: str = "message_not_found") -> Fields:
        """A message by its time stamp."""
        found = next((m for m in self.messages[channel] if m["ts"] == ts), None)
        if found is None:
            raise SlackError(error)
        return found

    def require(self, method: str, fields: Fields) -> None:
        """Counts a request, and refuses what the token may not do."""
        limit = self.limits.get(method)
        if limit is None:
            raise SlackError("unknown_method")
        if not limit.take():
            raise LimitedError(max(math.ceil(limit.wait), 1))
        needed = NEEDED[method]
        about = self.channels.get(str(fields.get("channel") or ""), {})
        if needed == "channels:history" and about.get("private"):
            needed = "groups:history"
        wanted = [needed] if needed else []
        if method == "conversations.list" and "private_channel" in str(fields.get("types", "")):
            wanted.append("groups:read")
        for scope in wanted:
            if scope not in self.scopes:
                raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))


def usual(now: float) -> Iterator[Fields]:
    """What was written in the support channel over the last days, the same at every start but for the time."""
    dice, at = random.Random(7), now - DAYS * 86400
    yield {**message_by(1, "U0000000001 has joined the channel", at), "subtype": "channel_join"}
    while (at := at + dice.expovariate(AN_HOUR / 3600)) < now - 1200:
        message = message_by(dice.randrange(2, 7), dice.choice(USUAL), at)
        yield message
        if dice.random() < 0.3:
            answer = message_by(8, "I will look at it.", at + 60)
            yield {**answer, "thread_ts": message["ts"], "parent_user_id": message["user"]}


def message_by(number: int, text: str, at: float) -> Fields:
    """A message of one of the people there."""
    return {"type": "message", "user": f"U{number:010d}", "text": text, "team": TEAM, "ts": stamp_of(at)}


def stamp_of(at: float) -> str:
    """A moment as Slack names a message."""
    return f"{at:.6f}"
