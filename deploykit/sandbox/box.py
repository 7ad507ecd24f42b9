"""The sandbox as its user sees it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from deploykit.sandbox import postgres
from deploykit.sandbox.addresses import VENDORS, Addresses
from deploykit.sandbox.calls import Call, Fault
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import python_path
from deploykit.sandbox.settings import Settings
from deploykit.sandbox.tally import Tally
from deploykit.sandbox.wire import ask

PATIENCE = 30.0


class Vendors:
    """Stops, breaks, sets and questions the stand-ins, by the names in `addresses.VENDORS`."""

    def __init__(self, addresses: Addresses) -> None:
        self._port = addresses.ports["control"]

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

    def state(self, vendor: str, **differences: object) -> None:
        """Sets what a stand-in knows: as at the start, but for these differences; none sets it back."""
        self._ask("PUT", vendor, "state", differences)

    def calls(self, vendor: str) -> list[Call]:
        """What the stand-in was asked so far, oldest first."""
        return [Call(**call) for call in json.loads(self._ask("GET", vendor, "calls"))]

    def _ask(self, method: str, vendor: str, verb: str, body: Mapping[str, object] | None = None) -> bytes:
        if vendor not in VENDORS:
            raise SandboxError("no such stand-in", vendor, f"There are {', '.join(VENDORS)}.")
        status, answer = ask(self._port, method, f"/{vendor}/{verb}", body)
        if status != 200:
            raise SandboxError(f"the sandbox answered {status}", f"{method} {vendor} {verb}", "Look at vendors.log.")
        return answer


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
        ingest_delay: float = 1.0,
    ) -> Iterator[Self]:
        """Starts everything and stops it at the end.

        Args:
            folder: Where configuration and logs go; made when it is not there.
            rate: Requests a second through the proxy; zero for none.
            postgres_dsn: A server to use instead of the wheel's; a database of its own is made there and dropped.
            load_seconds: How long the requests last.
            ports: Ports that are to be fixed, by name; the others are chosen.
            ingest_delay: Seconds until Datadog has a point.

        Raises:
            SandboxError: Something is missing, in use or not reachable.
        """
        folder = Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(str(folder), rate, load_seconds, ingest_delay, postgres_dsn, dict(ports or {}))
        with keeper(folder) as process:
            yield cls(*introduce(process, settings, folder))

    def back_up(self) -> None:
        """Makes another night's backup of the database, as the team's own job would.

        Raises:
            SandboxError: It failed.
        """
        known = self.addresses
        postgres.back_up(known.postgres_dsn, known.postgres_bin, known.backups)

    def wait_for_metrics(self) -> None:
        """Wait until Datadog has the first points of every metric of the live copy, the gauges last.

        Raises:
            SandboxError: They do not come.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if all(self._points(metric) for metric in ("shop.requests", "shop.cpu.percent", "shop.memory.rss")):
                return
            time.sleep(0.2)
        raise SandboxError("no points of the live copy", "datadog", "Look at vendors.log; is the rate above zero?")

    def _points(self, metric: str) -> bool:
        known, now = self.addresses, int(time.time())
        query = urlencode({"from": now - 60, "to": now + 1, "query": f"avg:{metric}{{env:production,colour:green}}"})
        keys = {"DD-API-KEY": known.datadog_api_key, "DD-APPLICATION-KEY": known.datadog_app_key}
        request = Request(f"{known.datadog_url}/api/v1/query?{query}", headers=keys)  # noqa: S310 - its own stand-in
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - the same
            return bool(json.load(answer)["series"])

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
            try:
                process.communicate(timeout=PATIENCE)  # closes its input
            except subprocess.TimeoutExpired:
                process.kill()


def exchange(process: subprocess.Popen[str], line: str) -> str:
    """Writes one line to a process and reads one."""
    if not process.stdin or not process.stdout:
        raise BrokenPipeError
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


def introduce(process: subprocess.Popen[str], settings: Settings, folder: Path) -> tuple[Addresses, dict[str, int]]:
    """Tells the keeper what is wanted and waits for its answer."""
    try:
        line = exchange(process, settings.to_json())
    except BrokenPipeError:
        line = ""
    if not line:
        process.wait(PATIENCE)
        log = folder / "keeper.log"
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        mend = "Is deploykit-runbooks[sandbox] installed?"
        raise SandboxError("the sandbox ended at once", str(log), f"{mend} Its last words: {last}")
    answer = json.loads(line)
    if "error" in answer:
        raise SandboxError(*answer["error"])
    return Addresses.from_json(answer["addresses"]), {"keeper": process.pid, **answer["processes"]}
