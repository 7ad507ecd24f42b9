"""What a copy of the shop tells Sentry of itself, as an SDK would: its sessions, and what failed.

Source: https://develop.sentry.dev/sdk/telemetry/sessions/
"""

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

#: Seconds between two envelopes.
EVERY = 1.0


class Teller:
    """Counts requests and sends the counts now and then. What could not be sent is sent with the next ones.

    Args:
        dsn: Where to; nothing is sent where there is none.
        release: Which release this is.
        environment: Where it runs.
    """

    def __init__(self, dsn: str, release: str, environment: str) -> None:
        self.dsn, self.about = urlsplit(dsn), {"release": release, "environment": environment}
        self.sessions: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def count(self, what: str, status: int) -> None:
        """Counts one request as a session of its own, which is what a server's are."""
        self.sessions["errored" if status >= 500 else "exited"] += 1
        if status >= 500:
            self.failed[what] += 1

    async def run(self) -> None:
        """Tells for ever."""
        while self.dsn.hostname:
            await asyncio.sleep(EVERY)
            if self.sessions:
                await self.tell()

    async def tell(self) -> None:
        """Sends what was counted since the last time."""
        sessions, failed = self.sessions, self.failed
        self.sessions, self.failed = Counter(), Counter()
        try:
            await asyncio.to_thread(self.send, self.envelope(sessions, failed))
        except (OSError, HTTPException):
            self.sessions += sessions
            self.failed += failed

    def envelope(self, sessions: Counter[str], failed: Counter[str]) -> bytes:
        """One envelope: the sessions, and an event for each kind of failure."""
        started = datetime.now(UTC).replace(second=0, microsecond=0).isoformat()
        lines: list[Any] = [{"sent_at": datetime.now(UTC).isoformat()}, {"type": "sessions"}]
        lines.append({"attrs": self.about, "aggregates": [{"started": started, **sessions}]})
        for what in failed:
            raised = {"values": [{"type": "InternalError", "value": what}]}
            event = {**self.about, "level": "error", "timestamp": time.time(), "exception": raised}
            lines += [{"type": "event"}, event]
        return "\n".join(map(json.dumps, lines)).encode()

    def send(self, body: bytes) -> None:
        """Sends an envelope."""
        connection = HTTPConnection(self.dsn.hostname or "", self.dsn.port, timeout=5.0)
        headers = {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={self.dsn.username}"}
        try:
            connection.request("POST", f"/api{self.dsn.path}/envelope/", body, headers)
            connection.getresponse().read()
        finally:
            connection.close()
