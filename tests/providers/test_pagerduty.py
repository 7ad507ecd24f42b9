from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploykit import redact
from deploykit.errors import Rejected, Unreachable
from deploykit.providers.pagerduty import PagerdutyPager
from deploykit.settings.vendors import PagerSettings
from tests.providers.adapters import END, INCIDENT, RUN, START, TOKEN, TURN, pagerduty
from tests.providers.faults import Asked, Faults, Reply

TLS = True


def turn(user: str, level: int = 1, **changes: Any) -> dict[str, Any]:
    return {**TURN, "user": {"id": user, "summary": user.title()}, "escalation_level": level, **changes}


class Account:
    """Answers by path; users that are not listed were deleted."""

    def __init__(self, turns: list[dict[str, Any]], users: dict[str, Any], page: int = 100) -> None:
        self.turns, self.users, self.page = turns, users, page

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/oncalls":
            start = int(asked.query["offset"][0])
            end = start + self.page
            return Reply({"oncalls": self.turns[start:end], "more": end < len(self.turns)})
        found = self.users.get(asked.path.removeprefix("/users/"))
        return Reply({"user": found}) if found else Reply({"error": {"message": "Not Found", "code": 2100}}, 404)


REACHED = {"contact_methods": [{"id": "C1"}]}


def test_turns_are_read_through_all_pages_however_short_and_each_user_is_asked_for_once(server: Faults) -> None:
    turns = [turn("mara", 2), turn("ines"), turn("ines", start=None, end=None), turn("otto"), turn("mute")]
    server.script = Account(turns, {"mara": REACHED, "ines": REACHED, "mute": {"contact_methods": []}}, page=2)
    found = pagerduty(server.url, 2).on_call(START, END)
    assert [(one.name, one.level, one.reachable) for one in found] == [
        ("Ines", 1, True),
        ("Ines", 1, True),
        ("Otto", 1, False),
        ("Mute", 1, False),
        ("Mara", 2, True),
    ]
    assert (found[0].start, found[0].end) == (None, None)
    assert found[1].end == datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
    assert [asked.path for asked in server.asked].count("/users/ines") == 1
    first = server.asked[0]
    assert first.query["escalation_policy_ids[]"] == ["PPOLICY"]
    assert (first.query["since"], first.query["until"]) == (["2026-11-23T03:10:00Z"], ["2026-11-23T03:13:01Z"])
    assert first.headers["authorization"] == f"Token token={TOKEN}"
    assert first.headers["accept"] == "application/vnd.pagerduty+json;version=2"


def test_not_having_seen_every_page_is_not_nobody(server: Faults) -> None:
    server.reply(Reply({"oncalls": [turn("ines")], "more": True}))
    with pytest.raises(Rejected, match="more than 20 pages"):
        pagerduty(server.url, 2).on_call(START, END)
    server.reply(Reply({"oncalls": [], "more": True}))
    with pytest.raises(Rejected, match="there is more, and its page is empty"):
        pagerduty(server.url, 2).on_call(START, END)


@pytest.mark.parametrize("key", ["start", "end"])
def test_a_time_that_is_absent_is_not_taken_for_always(server: Faults, key: str) -> None:
    server.script = Account([{name: value for name, value in TURN.items() if name != key}], {"PINES01": REACHED})
    with pytest.raises(Rejected, match=f"no {key}"):
        pagerduty(server.url, 2).on_call(START, END)


def test_a_strange_id_of_a_user_stays_in_its_place_in_the_address(server: Faults) -> None:
    server.script = Account([turn("../incidents?x=1")], {})
    assert [one.reachable for one in pagerduty(server.url, 2).on_call(START, END)] == [False]
    assert server.asked[1].path == "/users/..%2Fincidents%3Fx%3D1"


def test_an_incident_is_found_by_its_key_and_the_newest_counts(server: Faults) -> None:
    others = [
        {**INCIDENT, "id": "Q0", "incident_key": "other"},
        {**INCIDENT, "id": "Q2", "created_at": "2026-11-23T03:13:00Z"},
        INCIDENT,
    ]
    server.reply(Reply({"incidents": others, "more": False}))
    found = pagerduty(server.url, 2).find(RUN)
    assert found is not None
    assert found.id == "Q2"
    assert server.asked[0].query["incident_key"] == [RUN]
    server.reply(Reply({"incidents": [], "more": False}))
    assert pagerduty(server.url, 2).find(RUN) is None


def test_an_incident_is_opened_in_somebodys_name_without_secrets_and_nothing_invisible(server: Faults) -> None:
    redact.learn(TOKEN)
    server.reply(Reply({"incident": INCIDENT}, 201))
    pagerduty(server.url, 2).open(RUN, f"rolled back {TOKEN}\u202e" + "x" * 2000, f"because {TOKEN}")
    asked = server.asked[0]
    assert (asked.method, asked.path, asked.headers["from"]) == ("POST", "/incidents", "d@example.com")
    sent = asked.json["incident"]
    assert TOKEN not in str(sent)
    assert "\u202e" not in sent["title"]
    assert len(sent["title"]) == 1024
    assert sent["incident_key"] == RUN
    assert sent["service"] == {"id": "PSERVIC", "type": "service_reference"}


def test_a_second_incident_under_an_open_key_is_rejected_in_pagerdutys_words(server: Faults) -> None:
    said = "matching dedup key already exists on an open incident"
    server.reply(Reply({"error": {"message": "Arguments Caused Error", "code": 2002, "errors": [said]}}, 400))
    with pytest.raises(Rejected, match=f"Arguments Caused Error; {said}"):
        pagerduty(server.url, 2).open(RUN, "t", "d")


def test_a_limit_is_waited_out_by_pagerdutys_own_header(server: Faults, slept: list[float]) -> None:
    limit = Reply({"error": {"message": "Rate Limit Exceeded", "code": 2020}}, 429, {"ratelimit-reset": "3"})
    server.reply(limit, Reply({"incidents": [], "more": False}))
    assert pagerduty(server.url, 2).find(RUN) is None
    assert slept == [3.0]


def test_an_authority_that_is_not_trusted_is_unreachable_and_nothing_is_sent(server: Faults) -> None:
    given = {"url": server.url, "token": "env:T", "from": "d@example.com", "escalation_policy": "P", "service": "S"}
    with pytest.raises(Unreachable, match="certificate"):
        PagerdutyPager(PagerSettings.model_validate(given), TOKEN, timeout=2).find(RUN)
    assert server.asked == []


def test_an_answer_that_drips_is_not_waited_for_longer_than_one_that_hangs(server: Faults) -> None:
    server.reply(Reply({"incidents": [INCIDENT], "more": False}, act="drip"))
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        pagerduty(server.url, 1).find(RUN)
