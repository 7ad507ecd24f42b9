"""Every call of every adapter, so that one contract can be held against all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.providers._datadog import Datadog
from deploykit.providers.datadog import DatadogMetrics
from deploykit.providers.datadog_events import DatadogEvents
from deploykit.providers.datadog_logs import DatadogLogs
from deploykit.providers.datadog_monitors import DatadogMonitors
from deploykit.providers.envoy import EnvoyRouter
from deploykit.providers.github import GithubRepository
from deploykit.providers.http import HttpxHttp
from deploykit.providers.pagerduty import PagerdutyPager
from deploykit.providers.railway import RailwayPlatform
from deploykit.providers.sentry import SentryErrors
from deploykit.providers.slack import SlackChat
from deploykit.providers.unleash import UnleashFlags
from deploykit.settings.platform import RailwaySettings
from deploykit.settings.vendors import ErrorsSettings, FlagsSettings, PagerSettings

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
        others: Good answers to what it asks besides, by method and end of the path.
        tls: Whether its client speaks TLS only.
        usable: Bodies and statuses that say nothing to the others, and are an answer to this call.
    """

    name: str
    make: Callable[[str, int], Any]
    do: Callable[[Any], object]
    good: Any
    changes: bool = False
    takes: int = 1
    patient: bool = True
    token: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)
    tls: bool = False
    usable: tuple[bytes | int, ...] = ()

    def at(self, url: str, *, timeout: int = 2) -> Callable[[], object]:
        adapter = self.make(url, timeout)
        return lambda: self.do(adapter)


def envoy(url: str, timeout: int) -> EnvoyRouter:
    return EnvoyRouter(url, "routing.traffic_split", timeout=timeout)


def railway(url: str, timeout: int) -> RailwayPlatform:
    settings = RailwaySettings(url=f"{url}/graphql/v2", project="p", environment="e", token="env:T")
    return RailwayPlatform(settings, TOKEN, timeout=timeout)


def datadog(url: str, timeout: int) -> DatadogMetrics:
    return DatadogMetrics(datadog_client(url, timeout))


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


#: The authority that vouches for the server of a test; set where it is made.
authority: Path | None = None


def sentry(url: str, timeout: int) -> SentryErrors:
    settings = ErrorsSettings(url=url, organization="acme", project="shop", token="env:T")
    return SentryErrors(settings, TOKEN, timeout=timeout)


def pagerduty(url: str, timeout: int) -> PagerdutyPager:
    known = {"url": url.replace("http://", "https://"), "token": "env:T", "from": "d@example.com"}
    settings = PagerSettings.model_validate({**known, "escalation_policy": "PPOLICY", "service": "PSERVIC"})
    return PagerdutyPager(settings, TOKEN, ca=authority, timeout=timeout)


def unleash(url: str, timeout: int) -> UnleashFlags:
    settings = FlagsSettings(url=url, token="env:T", environment="production")
    return UnleashFlags(settings, TOKEN, timeout=timeout)


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


ISSUE = {
    "id": "7",
    "title": "KeyError: 'price'",
    "level": "error",
    "count": "3",
    "userCount": 2,
    "firstSeen": "2026-11-23T03:11:00Z",
    "lastSeen": "2026-11-23T03:12:00.123456Z",
    "permalink": "https://acme.sentry.io/issues/7/",
}
DEPLOY = {
    "id": "3",
    "environment": "production",
    "name": RUN,
    "dateStarted": None,
    "dateFinished": "2026-11-23T03:12:00Z",
}
TURN = {
    "user": {"id": "PINES01", "type": "user_reference", "summary": "Ines", "html_url": "https://acme.pagerduty.com/u"},
    "escalation_level": 1,
    "start": "2026-11-23T00:00:00Z",
    "end": "2026-11-23T12:00:00+01:00",
}
INCIDENT = {
    "id": "Q1",
    "status": "triggered",
    "title": "rolled back",
    "incident_key": RUN,
    "created_at": "2026-11-23T03:12:00Z",
    "html_url": "https://acme.pagerduty.com/incidents/Q1",
}
FEATURES = {
    "version": 2,
    "query": {"environment": "production"},
    "features": [{"name": "orders", "enabled": True, "strategies": [{"name": "default"}], "dependencies": []}],
}
CHANNEL = "C0123456789"
PULL = {
    "number": 7,
    "title": "Faster cart",
    "state": "closed",
    "merged_at": "2026-11-23T03:10:00Z",
    "merge_commit_sha": COMMIT,
    "mergeable": None,
    "user": {"login": "dana", "type": "User"},
    "head": {"sha": COMMIT, "ref": "faster"},
    "base": {"ref": "main"},
    "html_url": "https://github.com/acme/shop/pull/7",
}
COMPARED = {
    "status": "ahead",
    "ahead_by": 1,
    "behind_by": 0,
    "total_commits": 1,
    "html_url": "https://github.com/acme/shop/compare",
    "commits": [
        {
            "sha": COMMIT,
            "commit": {"message": "Faster cart (#7)", "author": {"name": "Dana", "email": "dana@example.com"}},
            "author": {"login": "dana"},
            "parents": [{"sha": COMMIT}],
        }
    ],
}
REVIEW = {
    "user": {"login": "lena", "type": "User"},
    "state": "APPROVED",
    "commit_id": COMMIT,
    "author_association": "MEMBER",
    "html_url": "https://github.com/acme/shop/pull/7#pullrequestreview-1",
}
THREADS = {
    "nodes": [{"isResolved": True, "path": "a.py", "comments": {"nodes": [{"url": "u", "author": {"login": "lena"}}]}}],
    "pageInfo": {"hasNextPage": False, "endCursor": None},
}
ALERT = {
    "number": 1,
    "state": "open",
    "rule": {"id": "py/sql", "severity": "error", "security_severity_level": "high", "description": "SQL"},
    "most_recent_instance": {"location": {"path": "shop/app.py"}},
    "html_url": "https://github.com/acme/shop/security/1",
}
RECORDED = {"id": 3, "sha": COMMIT, "environment": "production", "payload": {"deploykit": RUN}, "url": "https://d/3"}
PLACE = (RUN, COMMIT, "production")
NONE = (b"[]",)
#: The calls of GitHub's adapter beside `commit`.
GITHUB: dict[str, dict[str, Any]] = {
    "compare": {
        "do": lambda repository: repository.compare("v1", "v2"),
        "good": COMPARED,
        "others": {"GET /pulls": [PULL]},
    },
    "reviews": {"do": lambda repository: repository.reviews(7), "good": [REVIEW], "usable": NONE},
    "threads": {
        "do": lambda repository: repository.threads(7),
        "good": {"data": {"repository": {"pullRequest": {"reviewThreads": THREADS}}}},
    },
    "mergeable": {"do": lambda repository: repository.mergeable(7), "good": PULL},
    "tests": {
        "do": lambda repository: repository.tests(COMMIT),
        "good": {"state": "success", "total_count": 1, "statuses": [{"state": "success", "context": "ci"}]},
        "others": {"GET /check-runs": {"total_count": 0, "check_runs": []}},
    },
    "required_tests": {
        "do": lambda repository: repository.required_tests("main"),
        "good": {"required_status_checks": {"contexts": ["ci"], "checks": [{"context": "ci", "app_id": None}]}},
        "others": {"GET /rules/branches/main": []},
        "usable": (403, 404),
    },
    "scan": {
        "do": lambda repository: repository.scan("code-scanning", "main"),
        "good": [ALERT],
        "usable": (403, 404, *NONE),
    },
    "find_deployment": {
        "do": lambda repository: repository.find_deployment(*PLACE),
        "good": [RECORDED],
        "others": {"GET /statuses": [{"state": "success"}]},
        "usable": NONE,
    },
    "record_deployment": {
        "do": lambda repository: repository.record_deployment(*PLACE, state="success"),
        "good": {"id": 9, "state": "success"},
        "others": {"GET /deployments": [RECORDED], "GET /statuses": [{"state": "in_progress"}]},
        "changes": True,
    },
}


def buckets(*counts: object) -> dict[str, Any]:
    return {"meta": {"status": "done"}, "data": {"buckets": [{"by": {}, "computes": {"c0": n}} for n in counts]}}


def log(message: object, at: object = "2026-11-23T03:11:00.000Z") -> dict[str, Any]:
    attributes = {"timestamp": at, "status": "info", "service": "shop", "message": message, "tags": ["env:production"]}
    return {"id": "AQ", "type": "log", "attributes": attributes}


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
        usable=(b"[]",),
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
    *(Case(f"github.{name}", github, token="github.token", **told) for name, told in GITHUB.items()),
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
    Case(
        "sentry.project",
        sentry,
        lambda errors: errors.project(),
        {"id": "42", "slug": "shop", "status": "active"},
        token="errors.token",
    ),
    Case(
        "sentry.active_keys",
        sentry,
        lambda errors: errors.active_keys(),
        [{"isActive": True}],
        token="errors.token",
        usable=(b"[]",),
    ),
    Case(
        "sentry.registered",
        sentry,
        lambda errors: errors.registered("v1"),
        {"version": "v1", "projects": [{"slug": "shop", "id": 42}]},
        token="errors.token",
        usable=(404,),
    ),
    Case(
        "sentry.sessions",
        sentry,
        lambda errors: errors.sessions("v1", START, END),
        {"groups": [{"by": {}, "totals": {"sum(session)": 5}, "series": {}}]},
        token="errors.token",
    ),
    Case(
        "sentry.new_issues",
        sentry,
        lambda errors: errors.new_issues("v1"),
        [ISSUE],
        token="errors.token",
        usable=(b"[]",),
    ),
    Case(
        "sentry.fatal_issues",
        sentry,
        lambda errors: errors.fatal_issues(START),
        [ISSUE],
        token="errors.token",
        usable=(b"[]",),
    ),
    Case(
        "sentry.deploy",
        sentry,
        lambda errors: errors.deploy("v1", RUN),
        [DEPLOY],
        token="errors.token",
        usable=(b"[]", 404),
    ),
    Case(
        "pagerduty.on_call",
        pagerduty,
        lambda pager: pager.on_call(START, END),
        {"oncalls": [TURN], "more": False, "user": {"id": "PINES01", "contact_methods": [{"id": "C1"}]}},
        takes=2,
        token="pager.token",
        tls=True,
    ),
    Case(
        "pagerduty.find",
        pagerduty,
        lambda pager: pager.find(RUN),
        {"incidents": [INCIDENT], "more": False},
        token="pager.token",
        tls=True,
    ),
    Case(
        "pagerduty.open",
        pagerduty,
        lambda pager: pager.open(RUN, "rolled back", "because"),
        {"incident": INCIDENT},
        changes=True,
        token="pager.token",
        tls=True,
    ),
    Case("unleash.enabled", unleash, lambda flags: flags.enabled("orders"), FEATURES, token="flags.token"),
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
