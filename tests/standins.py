"""The sandbox's stand-ins in the test's own process, without database, proxy and shop; and adapters for them.

They are worked with as a sandbox's `vendors` are, and what each of them knows can be looked into besides.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from deploykit import providers
from deploykit.context import Context
from deploykit.providers._datadog import Datadog
from deploykit.providers.datadog_events import DatadogEvents
from deploykit.providers.datadog_logs import DatadogLogs
from deploykit.providers.datadog_monitors import DatadogMonitors
from deploykit.providers.pagerduty import PagerdutyPager
from deploykit.providers.sentry import SentryErrors
from deploykit.providers.slack import SlackChat
from deploykit.sandbox import addresses as known
from deploykit.sandbox.addresses import PORTS, Addresses, local_url
from deploykit.sandbox.authority import CA_FILE, certify
from deploykit.sandbox.calls import Call, Fault
from deploykit.sandbox.processes import choose_ports
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors import datadog, github, github_world, pagerduty, sentry, slack
from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.github_world import make_world
from deploykit.sandbox.vendors.pagerduty_account import Account
from deploykit.sandbox.vendors.sentry_state import Sentry
from deploykit.sandbox.vendors.slack_workspace import Workspace
from deploykit.sandbox.vendors.tap import Tap
from deploykit.settings.vendors import ErrorsSettings, PagerSettings

#: What may go wrong with a vendor, none of which is an answer; None is a closed port.
BROKEN: Mapping[str, Fault | None] = {
    "500": Fault(status=500),
    "429": Fault(status=429),
    "403": Fault(status=403),
    "reset": Fault(reset=True),
    "rubbish": Fault(garbage=True),
    "late": Fault(delay=1.0),
    "down": None,
}


@dataclass
class StandIns:
    """The running stand-ins.

    Attributes:
        folder: Where the authority's certificate is.
        datadog: What Datadog knows; `slack`, `sentry` and `github` likewise.
    """

    folder: Path
    datadog: datadog.Organisation
    slack: Workspace
    sentry: Sentry
    github: github_world.World
    taps: dict[str, Tap]
    listeners: dict[str, Listener]
    run: Callable[[Coroutine[Any, Any, None]], None]
    down: set[str] = field(default_factory=set)

    def reset(self) -> None:
        """Everything as at the start."""
        for vendor in self.taps:
            self.clear(vendor)
            self.state(vendor)
            self.calls(vendor).clear()
        self.datadog.logs.lines.clear()

    def state(self, vendor: str, **differences: Any) -> None:
        """Set what it knows: as at the start, but for these differences."""
        self.taps[vendor].put(differences)

    def fault(self, vendor: str, fault: Fault | None) -> None:
        """Break its answers, or close its port."""
        self.taps[vendor].fault = fault
        if fault is None:
            self.down.add(vendor)
            self.run(self.listeners[vendor].stop())

    def clear(self, vendor: str) -> None:
        """End the fault."""
        self.taps[vendor].fault = None
        if vendor in self.down:
            self.down.remove(vendor)
            self.run(self.listeners[vendor].start())

    def calls(self, vendor: str) -> list[Call]:
        """What it was asked so far, oldest first."""
        return self.taps[vendor].calls

    def changed(self) -> list[str]:
        """The operations that changed something."""
        return [call.name for vendor in self.taps for call in self.calls(vendor) if call.changing]

    def url(self, vendor: str) -> str:
        plain = local_url(self.listeners[vendor].port)
        return plain.replace("http:", "https:") if vendor == "pagerduty" else plain

    # --- adapters

    @property
    def client(self) -> Datadog:
        return Datadog(self.url("datadog"), known.DATADOG_API_KEY, known.DATADOG_APP_KEY, timeout=5)

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
        return SlackChat(f"{self.url('slack')}/api/", known.SLACK_TOKEN, timeout=5)

    def context(
        self, context: Context, *, token: str = known.SENTRY_TOKEN, timeout: float = 5.0, **pager: str
    ) -> Context:
        """The same run with Sentry and PagerDuty of here; its other ports are as they were."""
        errors = ErrorsSettings(
            url=self.url("sentry"),
            organization=known.SENTRY_ORGANIZATION,
            project=known.SENTRY_PROJECT,
            token="env:T",
        )
        given = {
            "url": self.url("pagerduty"),
            "token": "env:T",
            "from": known.PAGERDUTY_FROM,
            "escalation_policy": known.PAGERDUTY_POLICY,
            "service": known.PAGERDUTY_SERVICE,
        }
        paged = PagerSettings.model_validate({**given, **pager})
        ca = self.folder / CA_FILE
        wired = {
            "errors": SentryErrors(errors, token, timeout=timeout),
            "pager": PagerdutyPager(paged, known.PAGERDUTY_TOKEN, ca=ca, timeout=timeout),
        }
        ports = providers.connect(context.settings, context.environment)
        ports.__dict__.update(wired)  # each is a cached property
        settings = context.settings.model_copy(update={"errors": errors, "pager": paged})
        return replace(context, ports=ports, settings=settings)


@contextmanager
def looping() -> Iterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """A thread with an event loop: what runs a coroutine there, and waits for its end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@contextmanager
def standing_in(folder: Path) -> Iterator[StandIns]:
    """Serve the stand-ins on free ports for as long as the block lasts."""
    _, certificate = certify(folder, "127.0.0.1")
    addresses = Addresses(folder, choose_ports(PORTS, {}), "", folder)
    organisation, workspace = datadog.Organisation(Collector(addresses), 0.0), Workspace()
    tracker, account, world = Sentry(), Account(), make_world()
    taps = {
        "datadog": Tap(datadog.make_app(organisation), datadog.DATADOG, organisation.put),
        "slack": Tap(slack.make_app(workspace), slack.SLACK, workspace.put),
        "sentry": Tap(sentry.make_app(tracker), sentry.SENTRY, tracker.put),
        "pagerduty": Tap(pagerduty.make_app(account), pagerduty.PAGERDUTY, account.put),
        "github": Tap(github.make_app(world), github.GITHUB, partial(github_world.put, world)),
    }
    tls = {"pagerduty": certificate}
    listeners = {vendor: Listener(tap, addresses.ports[vendor], tls.get(vendor)) for vendor, tap in taps.items()}
    with looping() as run:
        try:
            for listener in listeners.values():
                run(listener.start())
            yield StandIns(folder, organisation, workspace, tracker, world, taps, listeners, run)
        finally:
            for listener in listeners.values():
                run(listener.stop())
