"""Hosts the stand-ins, the platform with its services, and the collector of traffic, until SIGTERM."""

import argparse
import asyncio
import signal
import time
from functools import partial
from pathlib import Path

from deploykit.sandbox.addresses import RAILWAY_STAGING, Addresses
from deploykit.sandbox.authority import certify
from deploykit.sandbox.limits import Window
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors import (
    control,
    datadog,
    github,
    pagerduty,
    pagerduty_account,
    railway,
    sentry,
    sentry_state,
    slack,
    unleash,
)
from deploykit.sandbox.vendors.agent import Agent
from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.github_world import make_world, put
from deploykit.sandbox.vendors.platform import Platform, Service
from deploykit.sandbox.vendors.slack_workspace import Workspace
from deploykit.sandbox.vendors.tap import Tap

#: Those whose own clients speak TLS only.
TLS = frozenset({"pagerduty"})


def make_taps(platform: Platform, organisation: datadog.Organisation) -> dict[str, Tap]:
    """The stand-ins by name."""
    world, workspace = make_world(), Workspace()
    asked = Window(railway.LIMIT, railway.PERIOD)
    tracker, pager, flags = sentry_state.Sentry(), pagerduty_account.Account(), unleash.Unleash()
    taps = (
        Tap(github.make_app(world), github.GITHUB, partial(put, world)),
        Tap(railway.make_app(platform, asked), railway.RAILWAY, asked.put),
        Tap(sentry.make_app(tracker), sentry.SENTRY, tracker.put),
        Tap(pagerduty.make_app(pager), pagerduty.PAGERDUTY, pager.put),
        Tap(unleash.make_app(flags), unleash.UNLEASH, flags.put),
        Tap(datadog.make_app(organisation), datadog.DATADOG, organisation.put),
        Tap(slack.make_app(workspace), slack.SLACK, workspace.put),
    )
    return {tap.vendor.name: tap for tap in taps}


def environment_of(service: Service) -> str:
    """The environment's name, as Datadog's tags have it."""
    return "staging" if service.environment_id == RAILWAY_STAGING else "production"


def log_files(platform: Platform) -> dict[Path, dict[str, str]]:
    """What the copies of the shop write, and what an agent beside them would know of it."""
    return {
        platform.addresses.folder / f"{service.name}.jsonl": {
            "service": "shop",
            "ddsource": "python",
            "ddtags": f"env:{environment_of(service)},colour:{service.colour}",
            "hostname": service.name,
        }
        for service in platform.services.values()
    }


async def run(addresses: Addresses, ingest_delay: float) -> None:
    """Starts everything, waits for SIGTERM, and stops everything."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    collector = Collector(addresses)
    platform = Platform(addresses, collector.tick)
    collector.running = platform.running
    organisation = datadog.Organisation(collector, ingest_delay)
    agent = Agent(log_files(platform), organisation.logs.take)
    taps = make_taps(platform, organisation)
    _, certificate = certify(addresses.folder, "127.0.0.1", "localhost")
    listeners = {
        name: Listener(tap, addresses.ports[name], certificate if name in TLS else None) for name, tap in taps.items()
    }
    listeners["control"] = Listener(control.make_app(taps, listeners), addresses.ports["control"])
    beside = [asyncio.create_task(work.run()) for work in (collector, agent)]
    try:
        await platform.boot()
        for listener in listeners.values():
            await listener.start()
        await ended.wait()
    finally:
        for task in beside:
            task.cancel()
        await platform.stop()
        await asyncio.gather(*(listener.stop() for listener in listeners.values()))


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(prog="python -m deploykit.sandbox.vendors", description=__doc__)
    parser.add_argument("addresses", type=Path, help="file with the sandbox's addresses")
    parser.add_argument("--ingest-delay", type=float, default=1.0, help="seconds until Datadog has a point")
    given = parser.parse_args()
    while not given.addresses.exists():  # it comes when the database is there
        time.sleep(0.01)
    asyncio.run(run(Addresses.from_json(given.addresses.read_text()), given.ingest_delay))


if __name__ == "__main__":
    main()
