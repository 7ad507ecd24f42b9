"""Datadog's monitors with their downtimes, and a service level objective."""

import itertools
import re
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Fields = dict[str, Any]
CREATOR = {"email": "anna@sandbox.invalid", "handle": "anna@sandbox.invalid", "name": "Anna"}
SLO = "0123456789abcdef0123456789abcdef"
CREATED = "2026-03-02T09:15:00+00:00"
#: Short name, type, title, query, message.
SEEDED = (
    ("errors", "query alert", "Shop fails requests",
     "sum(last_5m):sum:shop.errors{env:production,service:shop}.as_count() > 50",
     "{{#is_alert}}The shop fails requests. @pagerduty-shop @slack-deployments{{/is_alert}}"),
    ("latency", "query alert", "Shop is slow",
     "avg(last_5m):p95:shop.latency{env:production,service:shop} > 500", "The shop is slow. @pagerduty-shop"),
    ("memory", "query alert", "Shop takes memory",
     "avg(last_15m):avg:shop.memory.rss{env:production,service:shop} by {colour} > 400000000",
     "The shop takes more and more memory. @slack-infra-oncall"),
    ("logs", "log alert", "Shop logs errors",
     'logs("service:shop status:error env:production").index("*").rollup("count").last("5m") > 100',
     "The shop logs errors. @pagerduty-shop {{#is_recovery}}@slack-deployments{{/is_recovery}}"),
    ("staging", "query alert", "Shop in staging fails requests",
     "sum(last_5m):sum:shop.errors{env:staging,service:shop}.as_count() > 50", "Look at it today. @slack-deployments"),
)  # fmt: skip


class Monitors:
    """The monitors and downtimes of the organisation."""

    def __init__(self) -> None:
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences.

        Args:
            differences: `monitors` by short name: null for one that is gone, else what is different, a new name
                makes one; `downtimes`, each with `monitor` or `tags`, `scope`, `message`, `status`, and `start` and
                `end` in seconds from now or null.
        """
        numbers = itertools.count(150000001)
        self.monitors = {seed[0]: monitor(next(numbers), *seed) for seed in SEEDED}
        for name, changes in differences.get("monitors", {}).items():
            if changes is None:
                self.monitors.pop(name, None)
                continue
            known = self.monitors.get(name) or monitor(next(numbers), name, "query alert", name, "avg:x{*} > 1", "")
            changed = changes.get("options", {})
            options = None if changed is None else {**known["options"], **changed}
            self.monitors[name] = {**known, **changes, "options": options}
        self.downtimes = [self.downtime(**given) for given in differences.get("downtimes", ())]

    def downtime(  # noqa: PLR0913 - what a downtime is
        self,
        *,
        monitor: str | None = None,
        tags: list[str] | None = None,
        scope: str = "*",
        start: float = 0,
        end: float | None = None,
        message: str | None = None,
        status: str = "",
    ) -> Fields:
        """A downtime of one monitor, or of all with these tags."""
        now = time.time()
        named: Fields = {"monitor_id": self.monitors[monitor]["id"]} if monitor else {"monitor_tags": tags or ["*"]}
        attributes = {
            "canceled": None,
            "created": iso(now - 3600),
            "display_timezone": "UTC",
            "message": message,
            "modified": iso(now - 3600),
            "monitor_identifier": named,
            "mute_first_recovery_notification": False,
            "notify_end_states": ["alert", "no data", "warn"],
            "notify_end_types": ["expired"],
            "schedule": {"start": iso(now + start), "end": None if end is None else iso(now + end)},
            "scope": scope,
            "status": status or ("scheduled" if start > 0 else "active"),
        }
        return {"id": str(uuid.uuid4()), "type": "downtime", "attributes": attributes}

    async def listed(self, request: Request) -> Response:
        """Lists monitors by name, tags and page."""
        asked = request.query_params
        wanted = [tag for tag in asked.get("monitor_tags", "").split(",") if tag]
        after, name = number(asked.get("id_offset", "0")), asked.get("name", "").lower()
        found = [m for m in self.monitors.values() if set(wanted) <= set(m["tags"] or ()) and name in m["name"].lower()]
        found = sorted((m for m in found if m["id"] > after), key=lambda m: int(m["id"]))
        if "page" in asked or "page_size" in asked:
            size = number(asked.get("page_size", "100"))
            start = number(asked.get("page", "0")) * size
            found = found[start : start + size]
        return JSONResponse([self.shown(one, request) for one in found])

    async def one(self, request: Request) -> Response:
        """Shows one monitor."""
        wanted = number(request.path_params["monitor_id"])
        found = next((m for m in self.monitors.values() if m["id"] == wanted), None)
        if found is None:
            raise HTTPException(404, "Monitor not found")
        return JSONResponse(self.shown(found, request))

    def shown(self, held: Fields, request: Request) -> Fields:
        """A monitor with what was asked for beside it."""
        more: Fields = {}
        if request.query_params.get("with_downtimes") == "true":
            active = [d["attributes"] for d in self.downtimes if d["attributes"]["status"] == "active"]
            named = [d for d in active if concerns(d["monitor_identifier"], held)]
            more["matching_downtimes"] = [{"id": n, "scope": [d["scope"]]} for n, d in enumerate(named, 1)]
        if "group_states" in request.query_params:
            more["state"] = {"groups": {"*": {"name": "*", "status": held["overall_state"]}}}
        return {**held, **more}

    async def search(self, request: Request) -> Response:
        """Finds monitors by `status:`, `tag:`, `muted:` and words of the name."""
        asked = request.query_params
        terms = re.findall(r'(?:(\w+):)?(?:"([^"]*)"|(\S+))', asked.get("query", ""))
        found = [m for m in self.monitors.values() if all(self.fits(m, key, a or b) for key, a, b in terms)]
        size, page = number(asked.get("per_page", "30")), number(asked.get("page", "0"))
        shown = [summary(one) for one in found[page * size : (page + 1) * size]]
        pages = -(-len(found) // size) if size else 0
        counted = {
            "status": Counter(m["overall_state"] for m in found),
            "muted": Counter(self.muted(m) for m in found),
            "tag": Counter(tag for m in found for tag in m["tags"] or ()),
            "type": Counter(m["type"].removesuffix(" alert") for m in found),
        }
        counts = {key: [{"count": n, "name": name} for name, n in many.most_common()] for key, many in counted.items()}
        metadata = {"total_count": len(found), "page_count": pages, "page": page, "per_page": size}
        return JSONResponse({"counts": counts, "monitors": shown, "metadata": metadata})

    def fits(self, held: Fields, key: str, value: str) -> bool:
        """Whether a monitor has what a term of a search says."""
        if key == "status":
            return str(held["overall_state"]).lower() == value.lower()
        if key == "muted":
            return self.muted(held) is (value == "true")
        if key == "tag":
            return value in (held["tags"] or ())
        return value.strip("*").lower() in held["name"].lower()

    def muted(self, held: Fields) -> bool:
        """Whether it is muted right now, by itself or by a downtime."""
        active = (d["attributes"] for d in self.downtimes if d["attributes"]["status"] == "active")
        return bool((held["options"] or {}).get("silenced")) or any(
            concerns(d["monitor_identifier"], held) for d in active
        )

    async def planned(self, request: Request) -> Response:
        """Lists downtimes in pages."""
        asked = request.query_params
        now = datetime.now(UTC)
        active = asked.get("current_only") == "true"
        found = [d for d in self.downtimes if not active or (d["attributes"]["status"] == "active" and running(d, now))]
        start, size = number(asked.get("page[offset]", "0")), number(asked.get("page[limit]", "30"))
        meta = {"page": {"total_filtered_count": len(found)}}
        return JSONResponse({"data": found[start : start + size], "meta": meta})

    async def objective(self, request: Request) -> Response:
        """Shows the objective."""
        require_slo(request)
        threshold = {"target": 99.9, "target_display": "99.9", "timeframe": "30d"}
        query = {"numerator": "sum:shop.requests{*} - sum:shop.errors{*}", "denominator": "sum:shop.requests{*}"}
        about = {"id": SLO, "name": "The shop answers", "description": "", "tags": ["service:shop"], "type": "metric"}
        more = {"monitor_tags": [], "thresholds": [threshold], "query": query, "creator": CREATOR}
        ends = {"created_at": 1772442900, "modified_at": 1772442900, "timeframe": "30d", "target_threshold": 99.9}
        return JSONResponse({"data": {**about, **more, **ends}, "errors": []})

    async def history(self, request: Request) -> Response:
        """Shows how well the objective was kept."""
        require_slo(request)
        begin, end = (number(request.query_params.get(name, "")) for name in ("from_ts", "to_ts"))
        threshold = {"target": 99.9, "target_display": "99.9", "timeframe": "30d"}
        budget = {"30d": 70.0}
        overall = {"sli_value": 99.97, "span_precision": 2.0, "name": "The shop answers", "preview": False}
        overall |= {"error_budget_remaining": budget, "group": "overall", "uptime": 99.97, "errors": []}
        times = {"from_ts": begin, "to_ts": end, "type": "metric", "type_id": 1, "thresholds": {"30d": threshold}}
        return JSONResponse({"data": {**times, "overall": overall, "group_by": []}, "errors": None})


def monitor(identifier: int, name: str, kind: str, title: str, query: str, message: str) -> Fields:
    """A monitor as Datadog shows it."""
    place = "staging" if name == "staging" else "production"
    options = {
        "include_tags": True,
        "locked": False,
        "notify_audit": False,
        "notify_no_data": True,
        "no_data_timeframe": 10,
        "require_full_window": False,
        "silenced": {},
        "thresholds": {"critical": 50.0},
    }
    return {
        "id": identifier,
        "type": kind,
        "name": title,
        "query": query,
        "message": message,
        "tags": ["service:shop", f"env:{place}", f"alert:{name}"],
        "options": options,
        "multi": " by {" in query,
        "created": CREATED,
        "modified": CREATED,
        "deleted": None,
        "restricted_roles": None,
        "priority": 2,
        "overall_state": "OK",
        "draft_status": "published",
        "creator": CREATOR,
        "matching_downtimes": [],
    }


def summary(held: Fields) -> Fields:
    """A monitor as the search shows it."""
    handles = re.findall(r"@([\w-]+)", held["message"] or "")
    return {
        "id": held["id"],
        "name": held["name"],
        "type": held["type"],
        "query": held["query"],
        "status": held["overall_state"],
        "tags": held["tags"],
        "classification": "log" if held["type"] == "log alert" else "metric",
        "creator": CREATOR,
        "last_triggered_ts": None,
        "metrics": re.findall(r"shop(?:\.\w+)+", held["query"]),
        "notifications": [{"handle": handle, "name": handle} for handle in handles],
        "org_id": 1,
        "scopes": re.findall(r"\{([^}]*)\}", held["query"])[:1],
    }


def concerns(identifier: Mapping[str, Any], held: Fields) -> bool:
    """Whether a downtime is for a monitor."""
    if "monitor_id" in identifier:
        return bool(identifier["monitor_id"] == held["id"])
    return all(tag == "*" or tag in (held["tags"] or ()) for tag in identifier["monitor_tags"])


def running(downtime: Fields, now: datetime) -> bool:
    """Whether a downtime has begun and not ended."""
    schedule = downtime["attributes"]["schedule"]
    begun = datetime.fromisoformat(schedule["start"]) <= now
    return begun and (schedule["end"] is None or now < datetime.fromisoformat(schedule["end"]))


def require_slo(request: Request) -> None:
    """Refuses an objective that is not there."""
    if request.path_params["slo_id"] != SLO:
        raise HTTPException(404, "SLO not found")


def iso(at: float) -> str:
    """A time as Datadog writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def number(text: str) -> int:
    """A whole number out of a request."""
    if not re.fullmatch(r"\d+", text):
        raise HTTPException(400, f"{text or 'nothing'} is not a number")
    return int(text)
