"""Stand-ins of vendors in the test's own process, with the adapters that speak to them over the wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploykit import providers
from deploykit.context import Context
from deploykit.providers.pagerduty import PagerdutyPager
from deploykit.providers.sentry import SentryErrors
from deploykit.sandbox import addresses as known
from deploykit.sandbox.addresses import local_url
from deploykit.sandbox.authority import CA_FILE, certify
from deploykit.sandbox.calls import Fault
from deploykit.sandbox.processes import choose_ports
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors import pagerduty, pagerduty_account, sentry, sentry_state
from deploykit.sandbox.vendors.tap import Tap
from deploykit.settings.vendors import ErrorsSettings, PagerSettings

#: What may go wrong with a vendor, none of which is an answer.
BROKEN: Mapping[str, dict[str, Any]] = {
    "500": {"status": 500},
    "429": {"status": 429},
    "403": {"status": 403},
    "reset": {"reset": True},
    "rubbish": {"garbage": True},
    "late": {"delay": 1.0},
}


@dataclass
class StandIns:
    """The running stand-ins.

    Attributes:
        folder: Where the authority's certificate is.
        sentry: What Sentry knows.
    """

    folder: Path
    sentry: sentry_state.Sentry
    taps: dict[str, Tap]
    listeners: dict[str, Listener]
    run: Callable[[Coroutine[Any, Any, None]], None]

    def state(self, vendor: str, **differences: Any) -> None:
        put = self.taps[vendor].put
        assert put is not None
        put(differences)

    def fault(self, vendor: str, name: str) -> None:
        """Something of `BROKEN`, or `down`."""
        if name == "down":
            self.run(self.listeners[vendor].stop())
        else:
            self.taps[vendor].fault = Fault(**BROKEN[name])

    def mend(self) -> None:
        """As at the start."""
        for vendor, tap in self.taps.items():
            tap.fault = None
            self.state(vendor)
            self.run(self.listeners[vendor].start())

    def changed(self) -> list[str]:
        """The operations that changed something."""
        return [call.name for tap in self.taps.values() for call in tap.calls if call.changing]

    def context(
        self, context: Context, *, token: str = known.SENTRY_TOKEN, timeout: float = 5.0, **pager: str
    ) -> Context:
        """The same run with adapters that speak to the stand-ins, where those are; its other ports are as they were."""
        errors = ErrorsSettings(
            url=local_url(self.listeners["sentry"].port),
            organization=known.SENTRY_ORGANIZATION,
            project=known.SENTRY_PROJECT,
            token="env:T",
        )
        given = {
            "url": local_url(self.listeners["pagerduty"].port).replace("http:", "https:"),
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
def standing_in(folder: Path) -> Iterator[StandIns]:
    """Serve the stand-ins on free ports for as long as the block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    _, certificate = certify(folder, "127.0.0.1")
    tracker, account = sentry_state.Sentry(), pagerduty_account.Account()
    taps = {
        "sentry": Tap(sentry.make_app(tracker), sentry.SENTRY, put=tracker.put),
        "pagerduty": Tap(pagerduty.make_app(account), pagerduty.PAGERDUTY, put=account.put),
    }
    ports = choose_ports(list(taps), {})
    tls = {"pagerduty": certificate}
    listeners = {vendor: Listener(tap, ports[vendor], tls.get(vendor)) for vendor, tap in taps.items()}
    stand_ins = StandIns(folder, tracker, taps, listeners, run)
    stand_ins.mend()
    try:
        yield stand_ins
    finally:
        for listener in listeners.values():
            run(listener.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
