"""Slack's stand-in refuses as Slack does: scopes, membership, limits; and its support channel has its usual traffic."""

from __future__ import annotations

import time
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from deploykit.sandbox.addresses import SLACK_TOKEN
from tests.standins import StandIns

SUPPORT = "C0000000002"


@pytest.fixture
def client(stand_ins: StandIns) -> WebClient:
    return WebClient(token=SLACK_TOKEN, base_url=f"{stand_ins.url('slack')}/api/", retry_handlers=[])


def refused(method: str, client: WebClient, **fields: Any) -> Any:
    with pytest.raises(SlackApiError) as caught:
        client.api_call(method, params=fields)
    return caught.value.response


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        ("conversations.list", "channels:read"),
        ("conversations.history", "channels:history"),
        ("conversations.replies", "channels:history"),
        ("chat.postMessage", "chat:write"),
        ("reactions.add", "reactions:write"),
        ("users.info", "users:read"),
    ],
)
def test_a_missing_scope_is_named(stand_ins: StandIns, client: WebClient, method: str, needed: str) -> None:
    stand_ins.state("slack", scopes=["pins:write", "files:read"])
    answer = refused(method, client, channel=SUPPORT)
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", needed, "files:read,pins:write")
    assert answer.headers["x-oauth-scopes"] == "files:read,pins:write"
    assert client.auth_test()["ok"]


def test_private_channels_take_scopes_of_their_own(stand_ins: StandIns, client: WebClient) -> None:
    known = {"secret": {"private": True}, "hidden": {"private": True, "member": False}}
    stand_ins.state("slack", channels=known)
    both = client.conversations_list(types="public_channel,private_channel")["channels"]
    secret = next(one for one in both if one["name"] == "secret")
    assert "hidden" not in {one["name"] for one in both}
    assert "secret" not in {one["name"] for one in client.conversations_list()["channels"]}
    stand_ins.state("slack", channels=known, scopes=["channels:read", "channels:history"])
    assert refused("conversations.history", client, channel=secret["id"])["needed"] == "groups:history"
    assert refused("conversations.list", client, types="private_channel")["needed"] == "groups:read"


def test_where_the_bot_is_not_it_may_not_read_or_write(stand_ins: StandIns, client: WebClient) -> None:
    stand_ins.state("slack", channels={"support": {"member": False}, "infra-oncall": {"archived": True}})
    for method in ("conversations.history", "chat.postMessage"):
        assert refused(method, client, channel=SUPPORT, text="x")["error"] == "not_in_channel"
    assert refused("chat.postMessage", client, channel="C0000000004", text="x")["error"] == "is_archived"
    assert refused("chat.postMessage", client, channel="#nowhere", text="x")["error"] == "channel_not_found"


def test_text_that_is_too_long_is_refused(client: WebClient) -> None:
    assert refused("chat.update", client, channel=SUPPORT, ts="1.0", text="x")["error"] == "message_not_found"
    with pytest.raises(SlackApiError, match="msg_too_long"):
        client.chat_postMessage(channel=SUPPORT, text="x" * 40001)


def test_a_limit_is_each_methods_own_and_ends(stand_ins: StandIns, client: WebClient) -> None:
    stand_ins.state("slack", limits={"conversations.history": [1, 0.3]})
    client.conversations_history(channel=SUPPORT)
    answer = refused("conversations.history", client, channel=SUPPORT)
    assert (answer.status_code, answer["error"], answer.headers["retry-after"]) == (429, "ratelimited", "1")
    assert client.auth_test()["ok"]
    deadline = time.monotonic() + 20
    while True:
        try:
            client.conversations_history(channel=SUPPORT)
        except SlackApiError:
            assert time.monotonic() < deadline
        else:
            break


def test_the_support_channel_has_its_usual_traffic(client: WebClient) -> None:
    days: dict[int, int] = {}
    for page in client.conversations_history(channel=SUPPORT, limit=200):
        for message in page["messages"]:
            day = int((time.time() - float(message["ts"])) // 86400)
            days[day] = days.get(day, 0) + 1
    assert all(10 < days.get(day, 0) < 100 for day in range(8))
