"""The sandbox as its user sees it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self

import httpx

from deploykit.sandbox.addresses import VENDORS, Addresses
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import python_path
from deploykit.sandbox.settings import Settings
from deploykit.sandbox.tally import Tally
from deploykit.sandbox.vendors.tap import Call, Fault

PATIENCE = 30.0


class Vendors:
    """Stops, breaks and questions the stand-ins, by the names github, railway, datadog and slack."""

    def __init__(self, addresses: Addresses) -> None:
        self._client = httpx.Client(base_url=addresses.control_url, trust_env=False, timeout=10.0)

    def stop(self, vendor: str) -> None:
        """Closes the stand-in's port: connections are refused."""
        self._ask("POST", vendor, "stop")

    def start(self, vendor: str) -> None:
        """Opens the port again, with all it knew."""
        self._ask("POST", vendor, "start")

    def fault(  # noqa: PLR0913  # each argument is one way to break things
        self,
        vendor: str,
        *,
        status: int | None = None,
        delay: float = 0.0,
        reset: bool = False,
        garbage: bool = False,
        after: bool = False,
        times: int | None = None,
        only: str | None = None,
    ) -> None:
        """Breaks requests to a stand-in until cleared; see `Fault` for what each argument does."""
        fault = Fault(status, delay, reset, garbage, after, times, only)
        self._ask("PUT", vendor, "fault", asdict(fault))

    def clear(self, vendor: str) -> None:
        """Ends the fault."""
        self._ask("PUT", vendor, "fault", {})

    def calls(self, vendor: str) -> list[Call]:
        """What the stand-in was asked so far, oldest first."""
        return [Call(**call) for call in self._ask("GET", vendor, "calls").json()]

    def close(self) -> None:
        """Closes the connection to the control interface."""
        self._client.close()

    def _ask(self, method: str, vendor: str, verb: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        if vendor not in VENDORS:
            raise SandboxError("no such stand-in", vendor, f"There are {', '.join(VENDORS)}.")
        return self._client.request(method, f"/{vendor}/{verb}", json=body).raise_for_status()


class Sandbox:
    """A running sandbox; `start` makes one.

    Attributes:
        addresses: Where everything is.
        vendors: The stand-ins' switches.
        processes: Process id by name: keeper, envoy, postgres, vendors, load.
    """

    def __init__(self, addresses: Addresses, processes: Mapping[str, int]) -> None:
        self.addresses, self.processes = addresses, dict(processes)
        self.vendors = Vendors(addresses)

    @classmethod
    @contextmanager
    def start(
        cls,
        folder: Path,
        *,
        rate: float = 150.0,
        postgres_dsn: str | None = None,
        load_seconds: float = 600.0,
        ports: Mapping[str, int] | None = None,
    ) -> Iterator[Self]:
        """Starts everything and stops it at the end.

        Args:
            folder: Where configuration and logs go; made when it is not there.
            rate: Requests a second through the proxy; zero for none.
            postgres_dsn: A server to use instead of the wheel's; a database of its own is made there and dropped.
            load_seconds: How long the requests last.
            ports: Ports that are to be fixed, by name; the others are chosen.

        Raises:
            SandboxError: Something is missing, in use or not reachable.
        """
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(str(folder), rate, load_seconds, postgres_dsn, dict(ports or {}))
        with keeper(folder) as process:
            box = cls(*introduce(process, settings, folder))
            try:
                yield box
            finally:
                box.vendors.close()

    def served(self) -> dict[str, dict[str, Tally]]:
        """What the load was answered, by colour and version; at most a quarter of a second old.

        What nobody answered, or the proxy itself, stands under the colour and version `none`.
        """
        file = self.addresses.folder / "load.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        return {colour: {version: Tally(**t) for version, t in known.items()} for colour, known in found.items()}


@contextmanager
def keeper(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts the keeper; closing its input ends it and all that it holds."""
    with (folder / "keeper.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploykit.sandbox.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **python_path()},
            start_new_session=True,  # an interrupt at the terminal is for the parent to pass on
        )
    with process:
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def introduce(process: subprocess.Popen[str], settings: Settings, folder: Path) -> tuple[Addresses, dict[str, int]]:
    """Tells the keeper what is wanted and waits for its answer."""
    if not process.stdin or not process.stdout:
        raise SandboxError("the sandbox has no pipes", str(folder), "Start it again.")
    process.stdin.write(settings.to_json() + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SandboxError("the sandbox ended at once", str(folder / "keeper.log"), "Read that log.")
    answer = json.loads(line)
    if "error" in answer:
        raise SandboxError(*answer["error"])
    return Addresses.from_json(answer["addresses"]), {"keeper": process.pid, **answer["processes"]}
