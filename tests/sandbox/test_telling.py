"""What a copy of the shop tells of itself arrives at Sentry's stand-in, also what could not be sent at first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deploykit.sandbox.addresses import SENTRY_PROJECT_ID, SENTRY_PUBLIC_KEY
from deploykit.sandbox.telling import Teller
from tests.standins import standing_in


def test_sessions_and_failures_arrive_once_also_after_a_failed_try(tmp_path: Path) -> None:
    with standing_in(tmp_path) as stand_ins:
        port = stand_ins.listeners["sentry"].port
        teller = Teller(f"http://{SENTRY_PUBLIC_KEY}@127.0.0.1:{port}/{SENTRY_PROJECT_ID}", "v9.9.9", "production")
        for status in (200, 404, 500):
            teller.count("GET /products", status)
        stand_ins.fault("sentry", "down")
        asyncio.run(teller.tell())
        assert teller.sessions == {"exited": 2, "errored": 1}
        stand_ins.mend()
        asyncio.run(teller.tell())
        assert teller.sessions == {}
        calls = stand_ins.taps["sentry"].calls
        assert [(call.status, call.changing) for call in calls] == [(200, False)]
        assert [issue["title"] for issue in stand_ins.sentry.issues] == ["InternalError: GET /products"]
        assert sum(session[4] for session in stand_ins.sentry.sessions) == 3
