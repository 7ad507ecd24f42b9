"""How a test breaks the stand-ins, and reads what they were asked."""

import json
import time
from collections.abc import Iterator
from http.client import RemoteDisconnected

import httpx
import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from deploykit.sandbox import Sandbox, SandboxError
from deploykit.sandbox.addresses import VENDORS

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def mended(box: Sandbox) -> Iterator[None]:
    """Leaves every stand-in as it was."""
    yield
    for vendor in VENDORS:
        box.vendors.clear(vendor)
        box.vendors.start(vendor)


def validate(box: Sandbox, timeout: float = 5.0) -> httpx.Response:
    headers = {"dd-api-key": box.addresses.datadog_api_key}
    return httpx.get(f"{box.addresses.datadog_url}/api/v1/validate", headers=headers, timeout=timeout, trust_env=False)


def test_a_stopped_stand_in_refuses_connections_until_started(box: Sandbox, slack: WebClient) -> None:
    sent = slack.chat_postMessage(channel="#deployments", text="before")
    box.vendors.stop("slack")
    with pytest.raises(OSError, match="Connection refused"):
        slack.auth_test()
    assert validate(box).status_code == 200
    box.vendors.start("slack")
    newest = slack.conversations_history(channel=sent["channel"], limit=1)["messages"][0]
    assert newest["ts"] == sent["ts"]


def test_a_status_is_answered_as_often_as_asked(box: Sandbox) -> None:
    box.vendors.fault("datadog", status=500, times=2)
    assert [validate(box).status_code for _ in range(3)] == [500, 500, 200]


def test_too_many_requests_carries_the_vendors_headers(box: Sandbox, slack: WebClient) -> None:
    box.vendors.fault("slack", status=429, times=1)
    with pytest.raises(SlackApiError) as caught:
        slack.auth_test()
    assert (caught.value.response.status_code, caught.value.response["error"]) == (429, "ratelimited")
    assert caught.value.response.headers["retry-after"] == "1"
    box.vendors.fault("datadog", status=429, times=1)
    assert validate(box).headers["x-ratelimit-reset"] == "1"


def test_a_delay_only_delays(box: Sandbox) -> None:
    box.vendors.fault("datadog", delay=0.4)
    began = time.monotonic()
    assert validate(box).json() == {"valid": True}
    assert time.monotonic() - began >= 0.4
    with pytest.raises(httpx.ReadTimeout):
        validate(box, timeout=0.1)


def test_a_reset_breaks_the_connection(box: Sandbox, slack: WebClient) -> None:
    box.vendors.fault("slack", reset=True, times=1)
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        slack.auth_test()
    assert slack.auth_test()["ok"]


def test_garbage_is_no_json(box: Sandbox) -> None:
    box.vendors.fault("datadog", garbage=True, times=1)
    answer = validate(box)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_fault_before_an_operation_prevents_it_and_one_after_does_not(box: Sandbox, slack: WebClient) -> None:
    channel = box.addresses.slack_channels["database-oncall"]
    box.vendors.fault("slack", status=500, times=1, only="chat.postMessage")
    assert slack.auth_test()["ok"]
    with pytest.raises(SlackApiError):
        slack.chat_postMessage(channel=channel, text="never")
    box.vendors.fault("slack", reset=True, after=True, times=1)
    with pytest.raises((ConnectionResetError, RemoteDisconnected)):
        slack.chat_postMessage(channel=channel, text="unseen")
    texts = [message["text"] for message in slack.conversations_history(channel=channel)["messages"]]
    assert texts == ["unseen"]
    posts = [call for call in box.vendors.calls("slack") if call.name == "chat.postMessage" and channel in call.detail]
    assert [(call.changing, call.status, call.applied) for call in posts] == [(True, 500, False), (True, 0, True)]


def test_calls_tell_reading_from_changing(box: Sandbox) -> None:
    validate(box)
    ids = {"e": box.addresses.railway_environment_id, "s": "nothing"}
    text = "mutation($e: String!, $s: String!) { serviceInstanceDeployV2(environmentId: $e, serviceId: $s) }"
    headers = {"authorization": f"Bearer {box.addresses.railway_token}"}
    httpx.post(box.addresses.railway_url, json={"query": text, "variables": ids}, headers=headers, trust_env=False)
    read, changed = box.vendors.calls("datadog")[-1], box.vendors.calls("railway")[-1]
    assert (read.name, read.changing) == ("GET /api/v1/validate", False)
    assert (changed.name, changed.changing) == ("serviceInstanceDeployV2", True)
    assert abs(changed.at - time.time()) < 10


def test_what_a_stand_in_knows_is_as_at_the_start_but_for_what_is_set(box: Sandbox) -> None:
    headers = {"authorization": f"Bearer {box.addresses.github_token}"}

    def pull(number: int) -> dict[str, object]:
        url = f"{box.addresses.github_url}/repos/acme/shop/pulls/{number}"
        found = httpx.get(url, headers=headers, trust_env=False).json()
        return {key: found[key] for key in ("title", "state", "mergeable")}

    before = pull(4)
    box.vendors.state("github", pulls={"4": {"state": "open", "mergeable": False}})
    assert pull(4) == {"title": before["title"], "state": "open", "mergeable": False}
    assert pull(3)["state"] == "closed"
    box.vendors.state("github", pulls={"4": {"mergeable": None}})
    assert pull(4) == {**before, "mergeable": None}
    box.vendors.state("github")
    assert pull(4) == before


def test_an_unknown_stand_in_is_named(box: Sandbox) -> None:
    with pytest.raises(SandboxError, match="no such stand-in: opsgenie"):
        box.vendors.stop("opsgenie")
