"""Every call of every adapter, so that one contract can be held against all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploykit.providers._datadog import Datadog
from deploykit.providers.datadog import DatadogMetrics
from deploykit.providers.datadog_events import DatadogEvents
from deploykit.providers.datadog_logs import DatadogLogs
from deploykit.providers.datadog_monitors import DatadogMonitors
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
        lists: Whether its answer is a list, so that an empty one is an answer.
    """

    name: str
    make: Callable[[str, int], Any]
    do: Callable[[Any], object]
    good: Any
    changes: bool = False
    takes: int = 1
    patient: bool = True
    token: str = ""
    lists: bool = False

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


def datadog_client(url: str, timeout: int) -> Datadog:
    return Datadog(url, TOKEN, TOKEN + "-app", timeout=timeout)


def logs(url: str, timeout: int) -> DatadogLogs:
    return DatadogLogs(datadog_client(url, timeout))


def monitors(url: str, timeout: int) -> DatadogMonitors:
    return DatadogMonitors(datadog_client(url, timeout))


def events(url: str, timeout: int) -> DatadogEvents:
    return DatadogEvents(datadog_client(url, timeout))


def github(url: str, timeout: int) -> GithubRepository:
    return GithubRepository("acme/shop", TOKEN, url=url, timeout=timeout)


def slack(url: str, timeout: int) -> SlackChat:
    return SlackChat(f"{url}/api", TOKEN, timeout=timeout)


def runtime(blue: object, green: object) -> dict[str, Any]:
    entries = {"routing.traffic_split.blue": blue, "routing.traffic_split.green": green}
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


def buckets(*counts: object) -> dict[str, Any]:
    return {"meta": {"status": "done"}, "data": {"buckets": [{"by": {}, "computes": {"c0": n}} for n in counts]}}


def log(message: object, at: object = "2026-11-23T03:11:00.000Z") -> dict[str, Any]:
    attributes = {"timestamp": at, "status": "info", "service": "shop", "message": message, "tags": ["env:production"]}
    return {"id": "AQ", "type": "log", "attributes": attributes}


CHANNEL = "C0123456789"
CASES: tuple[Case, ...] = (
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
        "datadog.logs.count",
        logs,
        lambda logs: logs.count("service:shop", START, END),
        buckets(3),
        token="metrics.api_key",
    ),
    Case(
        "datadog.logs.search",
        logs,
        lambda logs: logs.search("service:shop", START, END),
        {"data": [log("GET / 200")], "meta": {"page": {}}},
        token="metrics.api_key",
    ),
    Case(
        "datadog.monitors",
        monitors,
        # No monitor of the list carries the tag, so that downtimes are not asked for.
        lambda monitors: monitors.monitors(("service:none",)),
        [{"id": 1, "name": "m", "tags": ["service:shop"], "message": "@slack-x", "overall_state": "OK"}],
        token="metrics.api_key",
        lists=True,
    ),
    Case(
        "datadog.events.find",
        events,
        lambda events: events.find("run/finished"),
        {"data": [{"id": "AQ", "attributes": {"tags": ["a:b"], "attributes": {"evt": {"id": "7"}}}}]},
        token="metrics.api_key",
    ),
    Case(
        "datadog.events.post",
        events,
        lambda events: events._post("t", "x", "run/finished", ("a:b",)),
        {"status": "ok", "event": {"id": 6327818702635911000, "id_str": "6327818702635911562"}},
        changes=True,
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


def looked_up(chat: SlackChat) -> str | None:
    """The channel, asked for anew: it is remembered once it was found."""
    chat._channels.clear()
    return chat.channel("support")


CASES += (
    Case(
        "slack.channel",
        slack,
        looked_up,
        {"ok": True, "channels": [{"id": CHANNEL, "name": "support"}], "response_metadata": {"next_cursor": ""}},
        token="chat.token",
    ),
    Case(
        "slack.history",
        slack,
        lambda chat: chat.history(CHANNEL, START, END),
        {"ok": True, "messages": [message(RUN, "started", "1.000001")], "response_metadata": {"next_cursor": ""}},
        token="chat.token",
    ),
    Case(
        "slack.thread",
        slack,
        lambda chat: chat.thread(CHANNEL, "1.000001"),
        {"ok": True, "messages": [message(RUN, "started", "1.000001")], "response_metadata": {"next_cursor": ""}},
        token="chat.token",
    ),
)


def http(url: str, timeout: int) -> Callable[[], object]:
    """The one call for which any status is an answer, apart from the others."""
    adapter = HttpxHttp()
    return lambda: adapter.get(f"{url}/health?key={TOKEN}", timeout=timeout)
