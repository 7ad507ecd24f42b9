"""Datadog's monitors with what mutes them. The application key needs `monitors_read` and `monitors_downtime`.

Sources: https://docs.datadoghq.com/api/latest/monitors/#get-all-monitors, /downtimes/#get-all-downtimes and
https://docs.datadoghq.com/monitors/notify/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from deploykit.providers._answers import listing, mapping, number, text
from deploykit.providers._datadog import PAGES, Datadog, connected
from deploykit.providers._errors import worded
from deploykit.providers._faults import Fault, Why
from deploykit.providers._mutes import muted_by, silenced
from deploykit.providers._mutes import targets as told

if TYPE_CHECKING:
    from deploykit.ports import Monitor, Mute
    from deploykit.settings import EnvironmentSettings, Settings

#: Monitors, or downtimes, on a page.
PAGE = 100
_STATES = {"OK": "ok", "Warn": "warn", "Alert": "alert", "No Data": "no-data"}


class DatadogMonitors:
    """A `ports.Monitors`.

    Args:
        datadog: The client.
        page: The address of the web pages, where it is known.
    """

    def __init__(self, datadog: Datadog, *, page: str = "") -> None:
        from datadog_api_client.v1.api.monitors_api import MonitorsApi  # noqa: PLC0415 - an extra, and slow to import
        from datadog_api_client.v2.api.downtimes_api import DowntimesApi  # noqa: PLC0415 - likewise

        self._datadog, self._page = datadog, page
        self._monitors = MonitorsApi(datadog.client)  # type: ignore[no-untyped-call]  # the client leaves it untyped
        self._downtimes = DowntimesApi(datadog.client)  # type: ignore[no-untyped-call]  # likewise

    def monitors(self, tags: tuple[str, ...]) -> tuple[Monitor, ...]:
        """Every monitor that carries all of these tags, with all that mutes it now or later.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Datadog refused, or an answer of no use.
        """
        call = self._datadog.call(f"monitors with {', '.join(tags)}")
        with worded(call):
            found = [one for one in self._listed(tags) if set(tags) <= set(_tags(one))]
            downtimes = list(self._planned()) if found else []
            return tuple(self._monitor(one, tags, downtimes) for one in found)

    def _listed(self, tags: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        call, before = self._datadog.call("list of monitors"), None
        for page in range(PAGES):
            ask = partial(self._monitors.list_monitors, monitor_tags=",".join(tags), page=page, page_size=PAGE)
            answer = listing(self._datadog.ask(call, ask), "the answer")
            if answer and answer == before:
                raise Fault(Why.GARBLED, "its next page is the same page")
            yield from (mapping(one, "a monitor") for one in answer)
            if len(answer) < PAGE:
                return
            before = answer
        raise Fault(Why.REFUSED, f"more than {PAGES} pages of monitors", mend="name tags that fewer monitors carry")

    def _planned(self) -> Iterator[dict[str, Any]]:
        """Downtimes that are active or will be."""
        call = self._datadog.call("list of downtimes")
        seen = 0
        for _ in range(PAGES):
            ask = partial(self._downtimes.list_downtimes, page_offset=seen, page_limit=PAGE)
            answer = mapping(self._datadog.ask(call, ask), "the answer")
            data = listing(answer.get("data"), "data")
            yield from (mapping(mapping(one, "a downtime").get("attributes"), "its attributes") for one in data)
            seen += len(data)
            total = _total(answer)
            if seen >= total if total is not None else len(data) < PAGE:
                return
            if not data:
                raise Fault(Why.GARBLED, f"it has {total:.0f} downtimes and shows {seen}")
        raise Fault(Why.REFUSED, f"more than {PAGES} pages of downtimes", mend="end those that nobody needs")

    def _monitor(self, held: dict[str, Any], asked: tuple[str, ...], downtimes: list[dict[str, Any]]) -> Monitor:
        from deploykit.ports import Monitor  # noqa: PLC0415 - what it draws in is not needed to import this module

        number_of = held.get("id")
        if isinstance(number_of, bool) or not isinstance(number_of, int):
            number(number_of, "a monitor's id")
            raise Fault(Why.GARBLED, f"a monitor's id is {number_of!r}")
        word = held.get("overall_state")
        shown = word if isinstance(word, str) and word else "without a state"
        message = held.get("message")
        return Monitor(
            id=str(number_of),
            name=str(held.get("name") or f"monitor {number_of}"),
            state=_STATES.get(shown, "unknown"),
            word=shown,
            tags=_tags(held),
            targets=told(message if isinstance(message, str) else ""),
            mutes=tuple(_mutes(held, number_of, asked, downtimes)),
            url=f"{self._page}/monitors/{number_of}" if self._page else "",
        )


def _mutes(
    held: dict[str, Any], number_of: int, asked: tuple[str, ...], downtimes: list[dict[str, Any]]
) -> Iterator[Mute]:
    from deploykit.ports import Mute  # noqa: PLC0415 - what it draws in is not needed to import this module

    if held.get("draft_status") == "draft":
        yield Mute("it is a draft, which notifies nobody")
    tags, now = frozenset((*_tags(held), *asked)), datetime.now(UTC)
    options = held.get("options")
    quiet = options.get("silenced") if isinstance(options, dict) else None
    yield from silenced(quiet if isinstance(quiet, Mapping) else {}, tags, now)
    for downtime in downtimes:
        yield from muted_by(downtime, number_of, tags, now)


def _tags(held: dict[str, Any]) -> tuple[str, ...]:
    tags = held.get("tags")
    return tuple(one for one in tags if isinstance(one, str)) if isinstance(tags, list) else ()


def _total(answer: dict[str, Any]) -> float | None:
    """How many there are in all, where the answer says."""
    page = mapping(answer.get("meta") or {}, "meta").get("page")
    total = page.get("total_filtered_count") if isinstance(page, dict) else None
    return None if total is None else number(total, "total_filtered_count")


def connect(settings: Settings, environment: EnvironmentSettings) -> DatadogMonitors:  # noqa: ARG001 - all take both
    """The monitors of the organisation, with the keys of the metrics.

    Raises:
        UsageError: A key is not there.
    """
    # The pages lie at the API's address with another first word: api.datadoghq.eu, app.datadoghq.eu.
    url = text(settings.metrics.url, "metrics.url")
    return DatadogMonitors(connected(settings), page=url.replace("//api.", "//app.", 1).rstrip("/"))
