"""Datadog's events: posted once under a key, and found by it. The application key needs `events_read`.

Sources: https://docs.datadoghq.com/api/latest/events/#post-an-event (v1) and #get-a-list-of-events (v2). Datadog's
aggregation key groups events and forbids no second one, so an event also carries a tag that it is found by.
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from deploykit import redact
from deploykit.providers._answers import listing, mapping
from deploykit.providers._datadog import Datadog, connected
from deploykit.providers._errors import worded
from deploykit.providers._faults import Fault, Why

if TYPE_CHECKING:
    from deploykit.settings import EnvironmentSettings, Settings

#: How far back an event of the same key is looked for.
SINCE = "now-7d"
#: Characters that Datadog takes.
TITLE, TEXT = 100, 4000


class DatadogEvents:
    """A `ports.Events`.

    Args:
        datadog: The client.
    """

    def __init__(self, datadog: Datadog) -> None:
        from datadog_api_client.v1.api.events_api import EventsApi  # noqa: PLC0415 - an extra, and slow to import
        from datadog_api_client.v2.api.events_api import EventsApi as Listed  # noqa: PLC0415 - likewise

        self._datadog = datadog
        self._posting = EventsApi(datadog.client)  # type: ignore[no-untyped-call]  # the client leaves it untyped
        self._listing = Listed(datadog.client)  # type: ignore[no-untyped-call]  # likewise

    def find(self, key: str) -> str | None:
        """The id of the event of the last week that was posted under this key. A fresh one may take seconds to show.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Datadog refused, or an answer of no use.
        """
        call, tag = self._datadog.call(f"looking for the event {key}"), _tag(key)
        with worded(call):
            ask = partial(
                self._listing.list_events, filter_query=tag, filter_from=SINCE, filter_to="now", page_limit=10
            )
            answer = mapping(self._datadog.ask(call, ask), "the answer")
            for one in listing(answer.get("data"), "data"):
                held = mapping(mapping(one, "an event").get("attributes"), "its attributes")
                if tag in listing(held.get("tags") or [], "its tags"):
                    inner = held.get("attributes")
                    event = inner.get("evt") if isinstance(inner, dict) else None
                    return _id(event.get("id") if isinstance(event, dict) else None, one)
            return None

    def post(self, title: str, text: str, *, key: str, tags: tuple[str, ...]) -> str:
        """Post an event, or find the one that was posted under this key; its id.

        Raises:
            Unreachable: It is not known whether it was posted; `find` tells.
            Rejected: Datadog refused.
        """
        return self.find(key) or self._post(title, text, key, tags)

    def _post(self, title: str, text: str, key: str, tags: tuple[str, ...]) -> str:
        body: Any = {
            "title": _shown(title, TITLE),
            # Text between these marks is Markdown to Datadog; without them it is shown as it is.
            "text": _shown(text.replace("%%%", "% % %"), TEXT),
            "aggregation_key": _tag(key),
            "tags": [*tags, _tag(key)],
            "alert_type": "info",
            "source_type_name": "deploykit",
        }
        call = self._datadog.call(f"event {key}", changes=True)
        with worded(call):
            answer = mapping(self._datadog.ask(call, partial(self._posting.create_event, body)), "the answer")
            event = mapping(answer.get("event"), "event")
            # The number is rounded on its way through other languages, the text is not.
            return _id(event.get("id_str"), event)


def connect(settings: Settings, environment: EnvironmentSettings) -> DatadogEvents:  # noqa: ARG001 - all take both
    """The organisation's events, with the keys of the metrics.

    Raises:
        UsageError: A key is not there.
    """
    return DatadogEvents(connected(settings))


def _tag(key: str) -> str:
    """A key as a tag: Datadog lowers tags, cuts them, and bends what is not a letter or a figure."""
    return f"deploykit_key:{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _shown(text: str, most: int) -> str:
    """Text for people, without secrets and within what Datadog takes."""
    clean = redact.visible(redact.text(text))
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _id(named: Any, held: dict[str, Any]) -> str:
    """An event's id; its own number where it has no text form."""
    found = named or held.get("id")
    if isinstance(found, bool) or not isinstance(found, str | int) or not found:
        raise Fault(Why.GARBLED, f"an event's id is {str(found)[:80]!r}")
    return str(found)
