"""Every call of every adapter, so that one contract can be held against all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploykit.providers.datadog import DatadogMetrics
from deploykit.providers.envoy import EnvoyRouter
from deploykit.providers.github import GithubRepository
from deploykit.providers.http import HttpxHttp
from deploykit.providers.railway import RailwayPlatform
from deploykit.providers.slack import SlackChat
from deploykit.settings import PlatformSettings

TOKEN = "tok-3f9a1c77e2"
COMMIT = "78b9ff49d47daaa158eb373c4e2e040f739df8b9"
RUN = "20261123T031000Z-shop-production-7f3a"
START, END = datetime(2026, 11, 23, 3, 10, tzinfo=UTC), datetime(2026, 11, 23, 3, 13, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """One call: how to make its adapter at a URL with a time-out, how to do it, and a good answer.

    Attributes:
        takes: How many answers a good run of it reads.
        patient: Whether a refusal for too many requests is waited out.
        token: The setting that its errors name when a credential is refused.
    """

    name: str
    make: Callable[[str, int], Any]
    do: Callable[[Any], object]
    good: Any
    changes: bool = False
    takes: int = 1
    patient: bool = True
    token: str = ""

    def at(self, url: str, *, timeout: int = 2) -> Callable[[], object]:
        adapter = self.make(url, timeout)
        return lambda: self.do(adapter)


def envoy(url: str, timeout: int) -> EnvoyRouter:
    return EnvoyRouter(url, "routing.traffic_split", timeout=timeout)


def railway(url: str, timeout: int) -> RailwayPlatform:
    settings = PlatformSettings(url=f"{url}/graphql/v2", project="p", environment="e", token="env:T")
    return RailwayPlatform(settings, TOKEN, timeout=timeout)


def datadog(url: str, timeout: int) -> DatadogMetrics:
    return DatadogMetrics(url, TOKEN, TOKEN + "-app", timeout=timeout)


def github(url: str, timeout: int) -> GithubRepository:
    return GithubRepository("acme/shop", TOKEN, url=url, timeout=timeout)


def slack(url: str, timeout: int) -> SlackChat:
    return SlackChat(f"{url}/api", TOKEN, timeout=timeout)


def runtime(blue: object, green: object, stopped: object = 0) -> dict[str, Any]:
    entries = {"routing.traffic_split.blue": blue, "routing.traffic_split.green": green, "routing.maintenance": stopped}
    values = {key: {"layer_values": [str(value), ""], "final_value": str(value)} for key, value in entries.items()}
    return {"layers": ["static", "admin"], "entries": values}


def stats(blue: object, green: object) -> dict[str, Any]:
    named = {"cluster.blue": blue, "cluster.green": green, "cluster.green.internal": 3, "cluster.other": 9}
    return {"stats": [{"name": f"{name}.upstream_rq_total", "value": value} for name, value in named.items()]}


def deployments(*statuses: str) -> dict[str, Any]:
    nodes = [
        {
            "id": f"d{index}",
            "status": status,
            "createdAt": f"2026-11-23T03:{59 - index}:00.123Z",
            "canRollback": True,
            "meta": {"commitHash": COMMIT},
        }
        for index, status in enumerate(statuses)
    ]
    return {"data": {"deployments": {"edges": [{"node": node} for node in nodes]}}}


def series(*points: list[object]) -> dict[str, Any]:
    return {"status": "ok", "error": "", "series": [{"scope": "service:shop", "pointlist": list(points)}]}


def message(run: str, kind: str, ts: str) -> dict[str, Any]:
    marked = {"event_type": "deploykit", "event_payload": {"run": run, "kind": kind}}
    return {"type": "message", "user": "U1", "text": "a &amp; b", "ts": ts, "metadata": marked}


CHANNEL = "C0123456789"
CASES = (
    Case("envoy.weights", envoy, lambda router: router.weights(), runtime(10, 90)),
    Case("envoy.counts", envoy, lambda router: router.counts(), stats(5, 7)),
    Case(
        "envoy.set_weights",
        envoy,
        lambda router: router.set_weights({"blue": 10, "green": 90}),
        runtime(10, 90),
        changes=True,
        takes=2,
        patient=False,
    ),
    Case("envoy.stopped", envoy, lambda router: router.stopped(), runtime(10, 90)),
    Case(
        "envoy.stop",
        envoy,
        lambda router: router.stop(),
        runtime(10, 90, 100),
        changes=True,
        takes=2,
        patient=False,
    ),
    Case(
        "railway.restart",
        railway,
        lambda platform: platform.restart("d1"),
        {"data": {"deploymentRestart": True}},
        changes=True,
        token="platform.token",
    ),
    Case(
        "railway.logs",
        railway,
        lambda platform: platform.logs("d1"),
        {"data": {"deploymentLogs": [{"message": "m", "severity": "info", "timestamp": "2026-11-23T03:10:00Z"}]}},
        token="platform.token",
    ),
    Case(
        "railway.variables",
        railway,
        lambda platform: platform.variables("shop-blue"),
        {"data": {"variables": {"SESSION_KEY": "hunter2-hunter2", "EMPTY": ""}}},
        token="platform.token",
    ),
    Case(
        "railway.deployments",
        railway,
        lambda platform: platform.deployments("shop-blue"),
        deployments("SUCCESS", "REMOVED"),
        token="platform.token",
    ),
    Case(
        "railway.deploy",
        railway,
        lambda platform: platform.deploy("shop-blue", COMMIT),
        {"data": {"serviceInstanceDeployV2": "d1"}},
        changes=True,
        token="platform.token",
    ),
    Case(
        "railway.roll_back",
        railway,
        lambda platform: platform.roll_back("d1"),
        {"data": {"deploymentRollback": True}},
        changes=True,
        token="platform.token",
    ),
    Case(
        "datadog.series",
        datadog,
        lambda metrics: metrics.series("sum:errors{*}", START, END, name="errors", unit="requests"),
        series([1700000000000, 0.5], [1700000060000, None]),
        token="metrics.api_key",
    ),
    Case(
        "github.commit",
        github,
        lambda repository: repository.commit("v1.2.3"),
        {"sha": COMMIT, "commit": {"message": "m", "author": {"date": "2026-11-23T03:10:00Z"}}, "parents": []},
        token="github.token",
    ),
    Case(
        "slack.find",
        slack,
        lambda chat: chat.find(CHANNEL, RUN, kind="started"),
        {"ok": True, "messages": [message(RUN, "started", "1.000001")], "response_metadata": {"next_cursor": ""}},
        token="chat.token",
    ),
    Case(
        "slack.post",
        slack,
        lambda chat: chat.post(CHANNEL, "started", run=RUN, kind="started"),
        {"ok": True, "channel": CHANNEL, "ts": "1.000001", "message": {"user": "U1", "text": "started"}},
        changes=True,
        token="chat.token",
    ),
)


def http(url: str, timeout: int) -> Callable[[], object]:
    """The one call for which any status is an answer, apart from the others."""
    adapter = HttpxHttp()
    return lambda: adapter.get(f"{url}/health?key={TOKEN}", timeout=timeout)
