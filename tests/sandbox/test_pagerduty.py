"""PagerDuty's stand-in, spoken to with PagerDuty's own client over TLS."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pagerduty
import pytest

from deploykit.sandbox import Sandbox

pytestmark = pytest.mark.sandbox
NOW = datetime.now(UTC)


@pytest.fixture
def trust(box: Sandbox) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=box.addresses.ca_file)


@pytest.fixture
def client(box: Sandbox, trust: ssl.SSLContext) -> Iterator[pagerduty.RestApiV2Client]:
    a = box.addresses
    with pagerduty.RestApiV2Client(
        a.pagerduty_token, default_from=a.pagerduty_from, base_url=a.pagerduty_url, verify=trust
    ) as made:
        made.max_network_attempts = 0
        yield made
    box.vendors.state("pagerduty")


@pytest.fixture
def events(box: Sandbox, trust: ssl.SSLContext) -> Iterator[pagerduty.EventsApiV2Client]:
    a = box.addresses
    with pagerduty.EventsApiV2Client(a.pagerduty_routing_key, base_url=a.pagerduty_url, verify=trust) as made:
        yield made


def raw(box: Sandbox, trust: ssl.SSLContext, path: str, **headers: str) -> httpx.Response:
    given = {"authorization": f"Token token={box.addresses.pagerduty_token}", **headers}
    return httpx.get(box.addresses.pagerduty_url + path, headers=given, verify=trust, trust_env=False)


def incident(key: str, **more: Any) -> dict[str, Any]:
    service = {"id": "PSERVIC", "type": "service_reference"}
    return {"type": "incident", "title": "rolled back", "service": service, "incident_key": key, **more}


def test_only_the_sandboxs_own_authority_vouches_for_it(box: Sandbox) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(box.addresses.pagerduty_url + "/oncalls", trust_env=False)
    assert "PRIVATE KEY" not in box.addresses.ca_file.read_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Token token=wrong"}, 401),
        ({"authorization": "Bearer x"}, 401),
        ({"accept": "application/vnd.pagerduty+json;version=1"}, 406),
        ({"accept": "text/html"}, 406),
        ({"accept": "application/vnd.pagerduty+json; version=2"}, 200),
    ],
)
def test_credentials_and_versions_are_looked_at(
    box: Sandbox, trust: ssl.SSLContext, headers: dict[str, str], status: int
) -> None:
    answer = raw(box, trust, "/oncalls", **headers)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"].keys() == {"message", "code", "errors"}


def test_limits_are_told_and_enforced(box: Sandbox, trust: ssl.SSLContext) -> None:
    box.vendors.state("pagerduty", limit=2)
    answers = [raw(box, trust, "/oncalls") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[-1].json()["error"]["code"] == 2020
    box.vendors.state("pagerduty")


def test_somebody_is_on_call_at_any_time_and_hands_over(client: pagerduty.RestApiV2Client) -> None:
    asked = {"since": NOW.isoformat(), "until": (NOW + timedelta(days=2)).isoformat()}
    turns = [turn for turn in client.list_all("oncalls", params=asked) if turn["escalation_level"] == 1]
    assert len(turns) >= 4
    assert turns[0]["start"] <= NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert all(one["end"] == two["start"] for one, two in itertools.pairwise(turns))
    now = client.list_all("oncalls", params={"escalation_policy_ids[]": ["PPOLICY"]})
    assert {turn["escalation_level"] for turn in now} == {1, 2}
    assert client.list_all("oncalls", params={"escalation_policy_ids[]": ["POTHER"]}) == []


def test_pages_have_an_offset_a_limit_and_more(client: pagerduty.RestApiV2Client) -> None:
    first = client.jget("/users", params={"limit": 3, "total": True})
    assert (len(first["users"]), first["more"], first["total"]) == (3, True, 4)
    last = client.jget("/users", params={"limit": 3, "offset": 3})
    assert (len(last["users"]), last["more"], last["total"]) == (1, False, None)
    assert client.get("/users", params={"offset": 9_999, "limit": 100}).status_code == 400


def test_users_and_schedules_are_shown(client: pagerduty.RestApiV2Client) -> None:
    user = client.rget("/users/PINES01")
    assert next(method["type"] for method in user["contact_methods"]) == "email_contact_method_reference"
    schedule = client.rget("/schedules/PPRIMAR")
    assert schedule["final_schedule"]["rendered_schedule_entries"]
    for path in ("/users/PNONE", "/schedules/PNONE"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, 2100)


def test_an_incident_is_opened_once_for_a_key_until_it_is_resolved(
    client: pagerduty.RestApiV2Client, events: pagerduty.EventsApiV2Client
) -> None:
    made = client.rpost("/incidents", json=incident("run-1"))
    assert (made["status"], made["incident_key"], made["assigned_via"]) == ("triggered", "run-1", "escalation_policy")
    again = client.post("/incidents", json={"incident": incident("run-1")})
    assert (again.status_code, again.json()["error"]["code"]) == (400, 2002)
    assert [one["id"] for one in client.list_all("incidents", params={"incident_key": "run-1"})] == [made["id"]]
    events.resolve("run-1")
    assert client.rget(f"/incidents/{made['id']}")["status"] == "resolved"
    assert client.post("/incidents", json={"incident": incident("run-1")}).status_code == 201
    assert len(client.list_all("incidents", params={"incident_key": "run-1", "statuses[]": ["triggered"]})) == 1


@pytest.mark.parametrize(
    ("body", "sender"),
    [
        (incident("k"), "nobody@example.com"),
        (incident("k", title=" "), None),
        (incident("k", service={"id": "POTHER", "type": "service_reference"}), None),
        ({"title": "x"}, None),
    ],
)
def test_an_incident_that_lacks_something_is_refused(
    client: pagerduty.RestApiV2Client, body: dict[str, Any], sender: str | None
) -> None:
    headers = {"From": sender} if sender else {}
    answer = client.post("/incidents", json={"incident": body}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {1008, 2001}


def test_an_event_opens_the_incident_of_its_key_and_a_change_opens_none(
    client: pagerduty.RestApiV2Client, events: pagerduty.EventsApiV2Client
) -> None:
    assert events.trigger("rolled back", "shop", dedup_key="run-2") == "run-2"
    assert events.trigger("rolled back", "shop", dedup_key="run-2") == "run-2"
    assert len(client.list_all("incidents", params={"incident_key": "run-2"})) == 1
    known = len(client.list_all("incidents"))
    answer = events.post("/v2/change/enqueue", json={"payload": {"summary": "v1.5.0"}})
    assert answer.status_code == 202
    assert len(client.list_all("incidents")) == known
    wrong = events.post("/v2/enqueue", json={"event_action": "shout"})
    assert (wrong.status_code, wrong.json()["status"]) == (400, "invalid event")
