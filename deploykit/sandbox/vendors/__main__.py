"""Hosts the stand-ins, the platform with its services, and the collector of traffic, until SIGTERM."""

import argparse
import asyncio
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from deploykit.sandbox.addresses import Addresses
from deploykit.sandbox.limits import Window
from deploykit.sandbox.serving import Listener
from deploykit.sandbox.vendors import control, datadog, github, railway, slack
from deploykit.sandbox.vendors.collector import Collector
from deploykit.sandbox.vendors.platform import Platform
from deploykit.sandbox.vendors.tap import Tap


def make_taps(
    platform: Platform, collector: Collector, ingest_delay: float, limits: Mapping[str, Window]
) -> dict[str, Tap]:
    """The stand-ins by name."""
    taps = (
        Tap(github.make_app(), github.GITHUB),
        Tap(railway.make_app(platform, limits["railway"]), railway.RAILWAY),
        Tap(datadog.make_app(collector, ingest_delay), datadog.DATADOG),
        Tap(slack.make_app(slack.Workspace()), slack.SLACK),
    )
    return {tap.vendor.name: tap for tap in taps}


async def run(addresses: Addresses, ingest_delay: float) -> None:
    """Starts everything, waits for SIGTERM, and stops everything."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    collector = Collector(addresses)
    platform = Platform(addresses, collector.tick)
    collector.running = platform.running
    limits = {"railway": Window(railway.LIMIT, railway.PERIOD)}
    taps = make_taps(platform, collector, ingest_delay, limits)
    listeners = {name: Listener(tap, addresses.ports[name]) for name, tap in taps.items()}
    listeners["control"] = Listener(control.make_app(taps, listeners, limits), addresses.ports["control"])
    collecting = asyncio.create_task(collector.run())
    try:
        await platform.boot()
        for listener in listeners.values():
            await listener.start()
        await ended.wait()
    finally:
        collecting.cancel()
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
