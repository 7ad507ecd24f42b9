"""Slack's stand-in, spoken to with Slack's own client."""

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from deploykit.sandbox import Sandbox

pytestmark = pytest.mark.sandbox


def test_the_token_tells_who_it_is(slack: WebClient) -> None:
    assert slack.auth_test()["user"] == "deploykit"


@pytest.mark.parametrize(("token", "error"), [("wrong", "invalid_auth"), (None, "not_authed")])
def test_a_bad_token_is_refused_inside_a_good_answer(box: Sandbox, token: str | None, error: str) -> None:
    with pytest.raises(SlackApiError) as caught:
        WebClient(token=token, base_url=box.addresses.slack_url).auth_test()
    assert (caught.value.response.status_code, caught.value.response["error"]) == (200, error)


def test_the_channels_of_the_checklist_exist(slack: WebClient, box: Sandbox) -> None:
    names = {channel["name"]: channel["id"] for channel in slack.conversations_list()["channels"]}
    assert names == box.addresses.slack_channels
    assert set(names) == {"deployments", "support", "database-oncall", "infra-oncall"}


def test_a_message_is_kept_as_sent_with_its_metadata(slack: WebClient) -> None:
    metadata = {"event_type": "deployment", "event_payload": {"run": "r-1", "step": 3}}
    text = "&lt;shop&gt; v1.5.0 &amp; <https://example.com|more>"
    sent = slack.chat_postMessage(channel="#deployments", text=text, metadata=metadata)
    newest = slack.conversations_history(channel=sent["channel"], include_all_metadata=True, limit=1)["messages"][0]
    assert (newest["ts"], newest["text"], newest["metadata"]) == (sent["ts"], text, metadata)
    assert "metadata" not in slack.conversations_history(channel=sent["channel"], limit=1)["messages"][0]


def test_a_thread_hangs_under_its_message(slack: WebClient) -> None:
    root = slack.chat_postMessage(channel="#support", text="root")
    channel = root["channel"]
    answers = [slack.chat_postMessage(channel=channel, text=str(n), thread_ts=root["ts"])["ts"] for n in range(3)]
    found = slack.conversations_replies(channel=channel, ts=root["ts"])["messages"]
    assert [message["ts"] for message in found] == [root["ts"], *answers]
    newest = slack.conversations_history(channel=channel)["messages"][0]
    assert (newest["ts"], newest["reply_count"]) == (root["ts"], 3)


def test_history_has_an_oldest_and_pages(slack: WebClient) -> None:
    sent = [slack.chat_postMessage(channel="#infra-oncall", text=str(n)) for n in range(5)]
    channel = sent[0]["channel"]
    later = slack.conversations_history(channel=channel, oldest=sent[1]["ts"])["messages"]
    assert [message["text"] for message in later] == ["4", "3", "2"]
    texts = []
    for page in slack.conversations_history(channel=channel, oldest=sent[0]["ts"], inclusive=True, limit=2):
        texts += [message["text"] for message in page["messages"]]
    assert texts == ["4", "3", "2", "1", "0"]


def test_an_update_changes_the_message(slack: WebClient) -> None:
    sent = slack.chat_postMessage(channel="#deployments", text="10 %")
    slack.chat_update(channel=sent["channel"], ts=sent["ts"], text="50 %")
    newest = slack.conversations_history(channel=sent["channel"], limit=1)["messages"][0]
    assert (newest["ts"], newest["text"]) == (sent["ts"], "50 %")


def test_a_second_reaction_or_pin_is_refused(slack: WebClient) -> None:
    sent = slack.chat_postMessage(channel="#deployments", text="done")
    slack.reactions_add(channel=sent["channel"], timestamp=sent["ts"], name="rocket")
    slack.pins_add(channel=sent["channel"], timestamp=sent["ts"])
    with pytest.raises(SlackApiError, match="already_reacted"):
        slack.reactions_add(channel=sent["channel"], timestamp=sent["ts"], name="rocket")
    with pytest.raises(SlackApiError, match="already_pinned"):
        slack.pins_add(channel=sent["channel"], timestamp=sent["ts"])


def test_what_is_not_there_is_named(slack: WebClient, box: Sandbox) -> None:
    channel = box.addresses.slack_channels["deployments"]
    with pytest.raises(SlackApiError, match="channel_not_found"):
        slack.chat_postMessage(channel="#nowhere", text="lost")
    with pytest.raises(SlackApiError, match="message_not_found"):
        slack.chat_update(channel=channel, ts="1.000001", text="lost")
    with pytest.raises(SlackApiError, match="thread_not_found"):
        slack.conversations_replies(channel=channel, ts="1.000001")
    with pytest.raises(SlackApiError, match="no_text"):
        slack.api_call("chat.postMessage", json={"channel": channel})
    with pytest.raises(SlackApiError, match="user_not_found"):
        slack.users_info(user="U9")
    with pytest.raises(SlackApiError, match="unknown_method"):
        slack.api_call("chat.burn")
    with pytest.raises(SlackApiError, match="invalid_metadata_format"):
        slack.chat_postMessage(channel=channel, text="x", metadata={"event_type": "only"})
