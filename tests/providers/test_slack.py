from __future__ import annotations

from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import CHANNEL, RUN, TOKEN, message, slack
from tests.providers.faults import Asked, Faults, Reply


class Workspace:
    """Answers by method, in pages where there are several."""

    def __init__(self, **pages: list[dict[str, Any]]) -> None:
        self.pages = {name.replace("_", "."): listed for name, listed in pages.items()}

    def __call__(self, asked: Asked) -> Reply:
        pages = self.pages[asked.path.removeprefix("/api/")]
        number = int(asked.form.get("cursor", "0"))
        following = {"next_cursor": str(number + 1)} if number + 1 < len(pages) else None
        return Reply({"ok": True, **pages[number], "response_metadata": following})


def listed(*names: str | None) -> dict[str, Any]:
    return {"channels": [{"id": f"C00000{name}", "name": name} for name in names]}


def test_a_channel_is_looked_up_by_name_through_all_pages_and_once(server: Faults) -> None:
    posted = {"channel": "C00000deployments", "ts": "1.5", "message": {"bot_id": "B1", "text": "hi"}}
    channels = [listed("general", None), listed("deployments")]
    server.script = Workspace(conversations_list=channels, chat_postMessage=[posted])
    chat = slack(server.url, 2)
    first = chat.post("#deployments", "hi", run=RUN, kind="started")
    chat.post("deployments", "hi", run=RUN, kind="finished")
    assert (first.channel, first.ts, first.user, first.text, first.run) == ("C00000deployments", "1.5", "B1", "hi", RUN)
    assert [asked.path for asked in server.asked].count("/api/conversations.list") == 2
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in server.asked)


def test_a_channel_that_is_not_there_is_rejected_before_anything_is_posted(server: Faults) -> None:
    server.script = Workspace(conversations_list=[listed("general")])
    with pytest.raises(Rejected, match="no channel 'deployments'"):
        slack(server.url, 2).post("deployments", "hi", run=RUN, kind="started")
    assert len(server.asked) == 1


def test_a_message_is_marked_and_cannot_mention_link_or_tell_a_secret(server: Faults) -> None:
    server.reply(Reply({"ok": True, "channel": CHANNEL, "ts": "1.5"}))
    text = f"<!channel> <https://evil.example|ok> & *bold* {TOKEN}\u202e"
    sent = slack(server.url, 2).post(CHANNEL, text, run=RUN, kind="started", thread="1.1")
    body = server.asked[0].json
    assert body["text"] == "&lt;!channel&gt; &lt;https://evil.example|ok&gt; &amp; *bold* [redacted]\\u202e"
    assert (body["mrkdwn"], body["parse"], body["link_names"], body["thread_ts"]) == (False, "none", False, "1.1")
    assert body["metadata"] == {"event_type": "deploykit", "event_payload": {"run": RUN, "kind": "started"}}
    assert sent.text == "<!channel> <https://evil.example|ok> & *bold* [redacted]\\u202e"


def test_a_message_is_found_by_its_marks_through_all_pages(server: Faults) -> None:
    others = [
        {"text": "no marks", "ts": "9"},
        {"metadata": None, "ts": "8"},
        {"metadata": {"event_type": "other", "event_payload": {"run": RUN, "kind": "started"}}, "ts": "7"},
        message("another-run", "started", "6"),
    ]
    server.script = Workspace(
        conversations_history=[{"messages": others}, {"messages": [message(RUN, "started", "5")]}]
    )
    found = slack(server.url, 2).find(CHANNEL, RUN, kind="started")
    assert found is not None
    assert (found.ts, found.user, found.text) == ("5", "U1", "a & b")
    assert server.asked[0].form["include_all_metadata"] == "1"
    # Five minutes before the run's id says that it began.
    assert server.asked[0].form["oldest"] == "1795403100.000000"


def test_a_message_is_found_in_the_runs_own_thread(server: Faults) -> None:
    history = [{"messages": [message("another-run", "started", "6"), message(RUN, "started", "5")]}]
    replies = [{"messages": [message(RUN, "started", "5"), message(RUN, "finished", "5.5")]}]
    server.script = Workspace(conversations_history=history, conversations_replies=replies)
    chat = slack(server.url, 2)
    found = chat.find(CHANNEL, RUN, kind="finished")
    assert found is not None
    assert found.ts == "5.5"
    assert [asked.form["ts"] for asked in server.asked if asked.path.endswith("replies")] == ["5"]
    assert chat.find(CHANNEL, RUN, kind="rolled-back") is None


def test_not_having_seen_everything_is_not_not_there(server: Faults) -> None:
    chat = slack(server.url, 2)
    server.script = Workspace(conversations_history=[{"messages": []}] * 100)
    with pytest.raises(Rejected, match="more than 20 pages"):
        chat.find(CHANNEL, RUN, kind="started")
    server.script = None
    for more in ({"has_more": True}, {"response_metadata": {"next_cursor": "same"}}):
        server.reply(Reply({"ok": True, "messages": [], **more}))
        with pytest.raises(Rejected):
            chat.find(CHANNEL, RUN, kind="started")


@pytest.mark.parametrize(
    ("word", "more", "mend"),
    [
        ("invalid_auth", {}, "chat.token"),
        ("not_in_channel", {}, "invite the app"),
        ("missing_scope", {"needed": "groups:read"}, "scope groups:read"),
        ("msg_too_long", {}, "mend what Slack names"),
        ("", {}, "mend what Slack names"),
    ],
)
def test_a_no_with_status_200_is_rejected(word: str, more: dict[str, str], mend: str, server: Faults) -> None:
    server.reply(Reply({"ok": False, "error": word, **more}))
    with pytest.raises(Rejected, match=word or "without a reason") as caught:
        slack(server.url, 2).post(CHANNEL, "hi", run=RUN, kind="started")
    assert mend in caught.value.mend


@pytest.mark.parametrize("word", ["fatal_error", "internal_error", "service_unavailable", "request_timeout"])
def test_a_failure_that_may_have_posted_leaves_it_open(word: str, server: Faults) -> None:
    server.reply(Reply({"ok": False, "error": word}))
    with pytest.raises(Unreachable, match="not known"):
        slack(server.url, 2).post(CHANNEL, "hi", run=RUN, kind="started")


def test_a_lost_reply_is_found_again(server: Faults) -> None:
    server.reply(Reply(act="drop"))
    chat = slack(server.url, 2)
    with pytest.raises(Unreachable):
        chat.post(CHANNEL, "hi", run=RUN, kind="started")
    server.reply(Reply({"ok": True, "messages": [{**server_side(server), "ts": "1.5"}]}))
    assert chat.find(CHANNEL, RUN, kind="started") is not None


def server_side(server: Faults) -> dict[str, Any]:
    """The message as the server holds it after the change whose reply was lost."""
    sent = server.asked[0].json
    return {"text": sent["text"], "metadata": sent["metadata"]}


def test_limits_inside_a_200_are_waited_out(server: Faults, slept: list[float]) -> None:
    server.reply(Reply({"ok": False, "error": "ratelimited"}), Reply({"ok": True, "channel": CHANNEL, "ts": "1.5"}))
    slack(server.url, 2).post(CHANNEL, "hi", run=RUN, kind="started")
    assert slept == [1.0]


def test_a_run_without_a_time_in_its_id_is_looked_for_everywhere(server: Faults) -> None:
    server.reply(Reply({"ok": True, "messages": []}))
    assert slack(server.url, 2).find(CHANNEL, "a-run", kind="started") is None
    assert "oldest" not in server.asked[0].form
