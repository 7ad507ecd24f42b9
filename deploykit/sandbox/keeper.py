"""The process that holds all others, so that they end with the one that asked for the sandbox.

It reads its settings from standard input and says on standard output that all is ready, or what is wrong. Standard
input stays open as long as the sandbox is wanted: its end, or the parent's, ends everything.
"""

import json
import os
import select
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from deploykit.sandbox import postgres, proxy, shop
from deploykit.sandbox.addresses import NAMES, PORTS, Addresses
from deploykit.sandbox.authority import CA_FILE, SERVER_FILE, certify
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import Child, choose_ports, spawn, wait_until
from deploykit.sandbox.releases import LIVE, find_release
from deploykit.sandbox.settings import Settings
from deploykit.sandbox.wire import ask


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

        file = folder / "addresses.json"
        for old in (file, folder / "load.json", folder / CA_FILE, folder / SERVER_FILE):
            old.unlink(missing_ok=True)
        certify(folder, *NAMES)  # once, for the router and the stand-ins
        vendors = hold(start_vendors(settings, file, folder))  # it waits for the file
        envoy = hold(proxy.start_proxy(ports, folder))
        addresses = Addresses(folder, ports, open_database(settings, folder, stack, children), programs)
        fill_database(addresses)
        stack.callback(vendors.stop)  # before the database
        write_private(file, addresses.to_json())
        wait_until(lambda: answers(vendors, ports["control"], "/ready"), "the stand-ins", str(vendors.log))
        wait_until(lambda: answers(envoy, ports["envoy_admin"], "/ready"), "Envoy", str(envoy.log))
        for door in ("proxy", "staging"):
            wait_until(partial(answers, envoy, ports[door], "/health"), "the shop", str(envoy.log))
        if settings.rate > 0:
            hold(start_load(settings, addresses))
        yield addresses, children


def open_database(settings: Settings, folder: Path, stack: ExitStack, children: dict[str, Child]) -> str:
    """The DSN of a database that lives as long as the stack."""
    if settings.postgres_dsn:
        return stack.enter_context(postgres.own_database(settings.postgres_dsn))
    children["postgres"], dsn = stack.enter_context(postgres.own_server(folder))
    return dsn


def fill_database(addresses: Addresses) -> None:
    """Checks the releases out, brings the database to where the live one needs it, and makes last night's backup."""
    live = find_release(LIVE)
    if live is None:
        raise SandboxError("no such release", LIVE, "Look at releases.py.")
    shop.write_checkouts(addresses.folder)
    shop.lay_schema(addresses.postgres_dsn, addresses.folder, live)
    postgres.back_up(addresses.postgres_dsn, addresses.postgres_bin, addresses.backups)


def start_vendors(settings: Settings, addresses: Path, folder: Path) -> Child:
    """Starts the stand-ins."""
    options = ["--ingest-delay", str(settings.ingest_delay)]
    return spawn("vendors", [sys.executable, "-m", "deploykit.sandbox.vendors", str(addresses), *options], folder)


def start_load(settings: Settings, addresses: Addresses) -> Child:
    """Starts the users of the shop."""
    given: dict[str, Any] = {"port": addresses.ports["proxy"], "staging-port": addresses.ports["staging"]}
    given["folder"] = addresses.folder
    given |= {"rate": settings.rate, "seconds": settings.load_seconds}
    arguments = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return spawn("load", [sys.executable, "-m", "deploykit.sandbox.load", *arguments], addresses.folder)


def answers(child: Child, port: int, path: str) -> bool:
    """Whether a child answers with 200 now."""
    child.require_alive()
    try:
        return ask(port, "GET", path)[0] == 200
    except OSError:
        return False


def write_private(file: Path, text: str) -> None:
    """Writes a file that only its owner may read, in one stroke."""
    beside = file.with_suffix(".tmp")
    beside.touch(mode=0o600)
    beside.write_text(text + "\n")
    beside.replace(file)


def say(message: dict[str, Any]) -> None:
    """Writes one line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def wait_for_parent(parent: int, children: Iterable[Child]) -> None:
    """Returns when standard input ends or the parent is gone; reaps children that end before."""
    while os.getppid() == parent:
        for child in children:
            child.process.poll()
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and not os.read(0, 1):
            return


def leave(number: int, _: object) -> None:
    """Ends in good order; a second signal does not disturb that."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def main() -> None:
    """Runs the sandbox until the parent no longer wants it."""
    parent = os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    settings = Settings(**json.loads(sys.stdin.readline()))
    try:
        with running(settings) as (addresses, children):
            pids = {name: child.process.pid for name, child in children.items()}
            say({"addresses": addresses.to_json(), "processes": pids})
            wait_for_parent(parent, children.values())
    except SandboxError as error:
        say({"error": [error.what, error.where, error.mend]})
        sys.exit(1)


if __name__ == "__main__":
    main()
