"""Datadog's events of both versions, and what else is posted there: notebooks and DORA deployments."""

import random
import secrets
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.vendors.datadog_logs import moment, read_object, section
from deploykit.sandbox.vendors.datadog_search import Found, SearchError, parse

Fields = dict[str, Any]
#: Seconds after which an event is too old to be posted.
OLDEST = 18 * 3600
PAGE = 10


class Events:
    """What was posted.

    Args:
        delay: Seconds until an event can be found; by its id it is there at once.
    """

    def __init__(self, delay: float) -> None:
        self.usual_delay = delay
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, without any event, but for `event_delay` in seconds."""
        self.delay = float(differences.get("event_delay", self.usual_delay))
        self.events: list[Fields] = []
        self.deployments: list[Fields] = []
        self.notebooks: list[Fields] = []

    def keep(self, title: str, text: str, tags: list[str], key: str, at: int) -> Fields:
        """Keeps an event."""
        identifier = random.randrange(6 * 10**18, 9 * 10**18)
        event = {
            "id": identifier,
            "uid": secrets.token_hex(12),
            "title": title,
            "text": text,
            "tags": tags,
            "key": key,
            "at": at,
            "came": time.time(),
        }
        self.events.append(event)
        return event

    async def create_v1(self, request: Request) -> Response:
        """Posts an event, as version 1 does it."""
        sent, now = read_object(await request.body()), int(time.time())
        missing = [name for name in ("title", "text") if not isinstance(sent.get(name), str) or not sent[name]]
        if missing:
            raise HTTPException(400, f"The parameter {missing[0]} is required")
        if len(str(sent.get("aggregation_key") or "")) > 100:
            raise HTTPException(400, "aggregation_key is too long")
        at = sent.get("date_happened", now)
        if not isinstance(at, int) or at < now - OLDEST:
            raise HTTPException(400, "Event too far in the past")
        tags = list(sent.get("tags") or [])
        event = self.keep(sent["title"], sent["text"], tags, str(sent.get("aggregation_key") or ""), at)
        return JSONResponse({"status": "ok", "event": shown_v1(event)}, 202)

    async def one_v1(self, request: Request) -> Response:
        """Shows an event by its number."""
        return JSONResponse({"event": shown_v1(self.find(request.path_params["event_id"]))})

    async def create_v2(self, request: Request) -> Response:
        """Posts an event, as version 2 does it."""
        sent = section(section(read_object(await request.body()), "data"), "attributes")
        if not sent.get("title") or sent.get("category") not in ("change", "alert"):
            raise HTTPException(400, "title and category are required")
        key, message = str(sent.get("aggregation_key") or ""), str(sent.get("message") or "")
        event = self.keep(str(sent["title"]), message, list(sent.get("tags") or []), key, int(time.time()))
        named = {"evt": {"id": str(event["id"]), "uid": event["uid"]}}
        answer = {"data": {"type": "event", "attributes": {"attributes": named}}}
        link = f"https://app.datadoghq.com/event/event?uid={event['uid']}"
        return JSONResponse({**answer, "links": {"self": link}}, 202)

    async def one_v2(self, request: Request) -> Response:
        """Shows an event by its number or its uid."""
        return JSONResponse({"data": shown_v2(self.find(request.path_params["event_id"]))})

    async def listed(self, request: Request) -> Response:
        """Lists events that match a search, newest first, in pages."""
        asked, now = request.query_params, time.time()
        low, high = moment(asked.get("filter[from]", "now-15m"), now), moment(asked.get("filter[to]", "now"), now)
        try:
            match = parse(asked.get("filter[query]", "*"))
        except SearchError as error:
            raise HTTPException(400, f"Invalid query: {error}") from error
        seen = (e for e in self.events if low - 1 <= e["at"] <= high and e["came"] <= now - self.delay)
        found = [e for e in reversed(list(seen)) if match(searched(e))]
        start, size = int(asked.get("page[cursor]") or 0), int(asked.get("page[limit]") or PAGE)
        answer: Fields = {"data": [shown_v2(e) for e in found[start : start + size]]}
        if start + size < len(found):
            answer["meta"] = {"page": {"after": str(start + size)}}
        return JSONResponse(answer)

    def find(self, name: str) -> Fields:
        """An event by its number or uid."""
        found = next((e for e in self.events if name in (str(e["id"]), e["uid"])), None)
        if found is None:
            raise HTTPException(404, "Event not found")
        return found

    async def deployment(self, request: Request) -> Response:
        """Takes a deployment for the DORA metrics."""
        sent = section(section(read_object(await request.body()), "data"), "attributes")
        if not sent.get("service") or not all(isinstance(sent.get(n), int) for n in ("started_at", "finished_at")):
            raise HTTPException(400, "service, started_at and finished_at are required")
        self.deployments.append(sent)
        return JSONResponse({"data": {"id": secrets.token_hex(8), "type": "dora_deployment"}})

    async def notebook(self, request: Request) -> Response:
        """Keeps a notebook."""
        sent = section(section(read_object(await request.body()), "data"), "attributes")
        if not sent.get("name") or "cells" not in sent or "time" not in sent:
            raise HTTPException(400, "name, cells and time are required")
        now = datetime.now(UTC).isoformat()
        cells = [{"id": uuid.uuid4().hex[:8], **cell} for cell in sent["cells"]]
        attributes = {"name": sent["name"], "cells": cells, "time": sent["time"], "status": "published"}
        attributes |= {"created": now, "modified": now, "template_variables": []}
        attributes["metadata"] = {"is_template": False, "take_snapshots": False, "type": None}
        self.notebooks.append(attributes)
        answer = {"type": "notebooks", "id": 2466032 + len(self.notebooks), "attributes": attributes}
        return JSONResponse({"data": answer})


def shown_v1(event: Fields) -> Fields:
    """An event as version 1 shows it: the number is rounded as on its way through JavaScript, the text is not."""
    name = str(event["id"])
    return {
        "id": int(name[:16] + "0" * len(name[16:])),
        "id_str": name,
        "title": event["title"],
        "text": event["text"],
        "date_happened": event["at"],
        "priority": None,
        "tags": event["tags"] or None,
        "url": f"https://app.datadoghq.com/event/event?id={name}",
    }


def shown_v2(event: Fields) -> Fields:
    """An event as version 2 shows it."""
    at = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    inner = {"title": event["title"], "aggregation_key": event["key"], "timestamp": event["at"] * 1000}
    inner |= {"evt": {"id": str(event["id"]), "name": event["title"]}}
    attributes = {"timestamp": at, "message": event["text"], "tags": event["tags"], "attributes": inner}
    return {"id": event["uid"], "type": "event", "attributes": attributes}


def searched(event: Fields) -> Found:
    """An event as a search sees it."""
    return Found({"source": "deploykit"}, {"aggregation_key": event["key"]}, frozenset(event["tags"]), event["title"])
