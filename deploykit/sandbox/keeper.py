"""The process that holds all others, so that they end with the one that asked for the sandbox.

It reads its settings from standard input and says on standard output that all is ready, or what is wrong. Standard
input stays open as long as the sandbox is wanted: its end, or the parent's, ends everything.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from deploykit.sandbox import postgres, proxy
from deploykit.sandbox.addresses import PORTS, Addresses
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import Child, choose_ports, spawn, wait_until
from deploykit.sandbox.settings import Settings


@contextmanager
def running(settings: Settings) -> Iterator[tuple[Addresses, dict[str, Child]]]:
    """Runs the sandbox.

    Yields:
        Where everything is, and the child processes by name.
    """
    folder = Path(settings.folder)
    programs = postgres.find_binaries()
    proxy.find_binary()
    if settings.postgres_dsn:
        postgres.require_reachable(settings.postgres_dsn)
    ports = choose_ports(PORTS, settings.ports)
    children: dict[str, Child] = {}
    with ExitStack() as stack:

        def hold(child: Child) -> Child:
            stack.callback(child.stop)
            children[child.name] = child
            return child

        envoy = hold(proxy.start_proxy(ports, folder))
        dsn = open_database(settings, folder, stack, children)
        addresses = Addresses(folder, ports, dsn, programs)
        file = folder / "addresses.json"
        file.touch(mode=0o600)
        file.write_text(addresses.to_json() + "\n")
        vendors = hold(spawn("vendors", [sys.executable, "-m", "deploykit.sandbox.vendors", str(file)], folder))
        wait_until(lambda: answers(vendors, addresses.control_url + "/ready"), "the stand-ins", str(vendors.log))
        wait_until(lambda: answers(envoy, addresses.envoy_admin_url + "/ready"), "Envoy", str(envoy.log))
        wait_until(lambda: answers(envoy, addresses.service_url + "/health"), "the shop", str(envoy.log))
        if settings.rate > 0:
            hold(start_load(settings, addresses))
        yield addresses, children


def open_database(settings: Settings, folder: Path, stack: ExitStack, children: dict[str, Child]) -> str:
    """The DSN of a database that lives as long as the stack."""
    if settings.postgres_dsn:
        return stack.enter_context(postgres.own_database(settings.postgres_dsn))
    children["postgres"], dsn = stack.enter_context(postgres.own_server(folder))
    return dsn


def start_load(settings: Settings, addresses: Addresses) -> Child:
    """Starts the users of the shop."""
    given = {"port": addresses.ports["proxy"], "folder": addresses.folder}
    given |= {"rate": settings.rate, "seconds": settings.load_seconds}
    arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return spawn("load", [sys.executable, "-m", "deploykit.sandbox.load", *arguments], addresses.folder)


def answers(child: Child, url: str) -> bool:
    """Whether an address answers with 200 now."""
    child.require_alive()
    try:
        return httpx.get(url, trust_env=False, timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


def say(message: dict[str, Any]) -> None:
    """Writes one line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def wait_for_parent(parent: int) -> None:
    """Returns when standard input ends or the parent is gone."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and not os.read(0, 1):
            return


def main() -> None:
    """Runs the sandbox until the parent no longer wants it."""
    parent = os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    settings = Settings(**json.loads(sys.stdin.readline()))
    try:
        with running(settings) as (addresses, children):
            pids = {name: child.process.pid for name, child in children.items()}
            say({"addresses": addresses.to_json(), "processes": pids})
            wait_for_parent(parent)
    except SandboxError as error:
        say({"error": [error.what, error.where, error.mend]})
        sys.exit(1)


if __name__ == "__main__":
    main()
