"""Datadog's and Slack's stand-ins on loopback without the rest of the sandbox: no database, no proxy, no shop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploykit.providers._datadog import Datadog
from deploykit.providers.datadog_events import DatadogEvents
from deploykit.providers.datadog_logs import DatadogLogs
from deploykit.providers.datadog_monitors import DatadogMonitors
from deploykit.providers.slack import SlackChat
from deploykit.sandbox.addresses import DATADOG_API_KEY, DATADOG_APP_KEY, SLACK_TOKEN, Addresses
from deploykit.sandbox.calls import Fault
from deploykit.sandbox.processes import choose_ports
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors import datadog, slack
from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.slack_workspace import Workspace
from deploykit.sandbox.vendors.tap import Tap
from tests.providers.faults import closed_port

NAMES = ("datadog", "slack", "envoy_admin")


@dataclass
class Collected:
    """Both, and adapters for them.

    Attributes:
        down: The vendors that do not answer at all.
    """

    addresses: Addresses
    organisation: datadog.Organisation
    workspace: Workspace
    taps: dict[str, Tap]
    down: set[str]

    def reset(self) -> None:
        """Everything as at the start."""
        self.organisation.put({})
        self.organisation.logs.lines.clear()
        self.workspace.put({})
        self.down.clear()
        for tap in self.taps.values():
            tap.fault = None
            tap.calls.clear()

    def fault(self, vendor: str, fault: Fault | None) -> None:
        self.taps[vendor].fault = fault

    def url(self, vendor: str) -> str:
        port = closed_port() if vendor in self.down else self.addresses.ports[vendor]
        return f"http://127.0.0.1:{port}"

    @property
    def client(self) -> Datadog:
        return Datadog(self.url("datadog"), DATADOG_API_KEY, DATADOG_APP_KEY, timeout=5)

    @property
    def logs(self) -> DatadogLogs:
        return DatadogLogs(self.client)

    @property
    def monitors(self) -> DatadogMonitors:
        return DatadogMonitors(self.client, page="https://app.example.com")

    @property
    def events(self) -> DatadogEvents:
        return DatadogEvents(self.client)

    @property
    def chat(self) -> SlackChat:
        return SlackChat(f"{self.url('slack')}/api/", SLACK_TOKEN, timeout=5)


@contextmanager
def running(folder: Path) -> Iterator[Collected]:
    """Both stand-ins on a thread of their own, for as long as the block lasts."""
    addresses = Addresses(folder, choose_ports(NAMES, {}), "", folder)
    organisation, workspace = datadog.Organisation(Collector(addresses), 0.0), Workspace()
    taps = {
        "datadog": Tap(datadog.make_app(organisation), datadog.DATADOG, put=organisation.put),
        "slack": Tap(slack.make_app(workspace), slack.SLACK, put=workspace.put),
    }
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listeners = [Listener(tap, addresses.ports[name]) for name, tap in taps.items()]
    try:
        for listener in listeners:
            asyncio.run_coroutine_threadsafe(listener.start(), loop).result(10)
        yield Collected(addresses, organisation, workspace, taps, set())
    finally:
        for listener in listeners:
            asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
