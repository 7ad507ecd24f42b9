"""What a copy of the shop tells of itself arrives at Sentry's stand-in, also what could not be sent at first."""

from __future__ import annotations

import asyncio

from deploykit.sandbox.addresses import SENTRY_PROJECT_ID, SENTRY_PUBLIC_KEY
from deploykit.sandbox.telling import Teller
from tests.standins import StandIns


def test_sessions_and_failures_arrive_once_also_after_a_failed_try(stand_ins: StandIns) -> None:
    place = stand_ins.url("sentry").removeprefix("http://")
    teller = Teller(f"http://{SENTRY_PUBLIC_KEY}@{place}/{SENTRY_PROJECT_ID}", "v9.9.9", "production")
    for status in (200, 404, 500):
        teller.count("GET /products", status)
    stand_ins.fault("sentry", None)
    asyncio.run(teller.tell())
    assert teller.sessions == {"exited": 2, "errored": 1}
    stand_ins.clear("sentry")
    asyncio.run(teller.tell())
    assert teller.sessions == {}
    assert [(call.status, call.changing) for call in stand_ins.calls("sentry")] == [(200, False)]
    assert [issue["title"] for issue in stand_ins.sentry.issues] == ["InternalError: GET /products"]
    assert sum(session[4] for session in stand_ins.sentry.sessions) == 3
