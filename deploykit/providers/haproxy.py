"""HAProxy as the router: weights of a backend's two servers, over its Runtime API.

The backend needs `balance roundrobin` and one server a colour; the stats socket needs `level admin`. After a restart or
a reload the weights of the configuration hold. The maintenance answer is HAProxy's own 503 for a backend whose servers
are all in maintenance; an `errorfile 503` gives it its words. Requests under way go on, and a kept connection is split
anew at each request, unless `option prefer-last-server` or a cookie says otherwise.

Both weights are set by one line on one connection. HAProxy carries its commands out one after the other, microseconds
apart; the larger comes first, so that what holds in between lies between the old and the new, and is never nobody.
Source: https://docs.haproxy.org/2.8/management.html#9.3

A rollback waits for this module, so it speaks through the standard library.
"""

from __future__ import annotations

import csv
import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from deploykit.errors import Rejected
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client
from deploykit.providers._weights import COLOURS, checked, require_applied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploykit.model import Colour
    from deploykit.ports import Weights
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.router import HaproxySettings

#: Seconds for one exchange.
TIMEOUT = 2.0
#: Bytes of an answer; ten thousand servers say less.
LONGEST = 8_000_000
#: Any kind of maintenance in `srv_admin_state`: forced, inherited, configured, by resolution (server-t.h).
MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20

T = TypeVar("T")


class HaproxyRouter:
    """A `ports.Router`.

    Args:
        settings: The socket, the backend and its servers.
        timeout: Seconds for one exchange.
    """

    def __init__(self, settings: HaproxySettings, *, timeout: float = TIMEOUT) -> None:
        self._socket = settings.socket
        self._backend = settings.backend
        self._servers = {colour: settings.servers[colour] for colour in COLOURS}
        self._call = Call("HAProxy", "", address="router.socket", timeout=timeout)

    def weights(self) -> Weights:
        """The weights in force, as the backend's servers have them.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: There is no such backend or server.
        """
        return attempt(replace(self._call, what="show servers state"), self._weights)

    def set_weights(self, weights: Weights) -> None:
        """Set both weights with one line, and read them back.

        Raises:
            UsageError: They are not two whole percentages that sum to 100; nothing was sent.
            Unreachable: It is not known whether they are set.
            Rejected: HAProxy refused, or accepted and does not apply them.
        """
        checked(weights, "HAProxy")
        first, second = sorted(COLOURS, key=lambda colour: -weights[colour])
        found = self._change({colour: f"weight {weights[colour]}" for colour in (first, second)}, self._weights)
        mend = "see that nothing else sets weights, and that the servers have no agent-check"
        require_applied(weights, found, where="HAProxy, set server", mend=mend)

    def counts(self) -> Mapping[Colour, int]:
        """Requests sent to each colour since HAProxy started.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: There is no such backend or server.
        """
        return attempt(replace(self._call, what="show stat"), self._counts)

    def stop(self) -> None:
        """Put both servers into maintenance, so that every request is answered 503, and read that back.

        Raises:
            Unreachable: It is not known whether it is in force.
            Rejected: HAProxy refused, or accepted and does not apply it.
        """
        self._set_state("maint", stopped=True)

    def resume(self) -> None:
        """Let requests through again, and read that back.

        Raises:
            ProviderError: As `stop`.
        """
        self._set_state("ready", stopped=False)

    def stopped(self) -> bool:
        """Whether both servers are in maintenance.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: There is no such backend or server.
        """
        return all(attempt(replace(self._call, what="show servers state"), self._in_maintenance))

    def _set_state(self, state: str, *, stopped: bool) -> None:
        found = self._change(dict.fromkeys(COLOURS, f"state {state}"), self._in_maintenance)
        if found != [stopped] * len(COLOURS):
            in_force = ", ".join("maintenance" if one else "ready" for one in found)
            raise Rejected(
                f"it accepted the state {state} and does not apply it: in force are {in_force}",
                where="HAProxy, set server",
                mend="look at `show servers state`: a server may be in maintenance for another reason",
            )

    def _change(self, values: Mapping[Colour, str], read: Callable[[], T]) -> T:
        """Set one value of each server with one line, and read back what is in force."""
        commands = [f"set server {self._backend}/{self._servers[colour]} {value}" for colour, value in values.items()]
        change = replace(self._call, what="set server", changes=True)
        attempt(change, lambda: self._set(commands))
        # A question, but one whose failure leaves the change in doubt; asking twice is harmless.
        return attempt(replace(change, what="show servers state after set server", again=True), read)

    def _set(self, commands: list[str]) -> None:
        """Silence, an empty line a command, is a yes; a word is a no to one of them."""
        answer = self._exchange("; ".join(commands))
        refused = [line for line in answer.splitlines() if line.strip()]
        if len(refused) >= len(commands):
            raise Fault(Why.REFUSED, "; ".join(refused), mend=_mend(answer))
        if refused:
            raise Fault(Why.GARBLED, f"it did one of two: {refused[0]}", mend=_mend(answer))
        if answer.count("\n") < len(commands):
            raise Fault(Why.LOST, "its answer ended early")

    def _weights(self) -> dict[Colour, int]:
        return {colour: _whole(row["srv_uweight"]) for colour, row in self._rows().items()}

    def _in_maintenance(self) -> list[bool]:
        return [bool(_whole(row["srv_admin_state"]) & MAINTENANCE) for row in self._rows().values()]

    def _rows(self) -> dict[Colour, dict[str, str]]:
        """What HAProxy says of each colour's server, by the names in its second line; the first is its version."""
        lines = self._table(f"show servers state {self._backend}")
        names = lines[1].removeprefix("#").split() if len(lines) > 1 else []
        rows = [dict(zip(names, line.split(), strict=False)) for line in lines[2:]]
        return self._of_colours(rows, "be_name", "srv_name", ("srv_uweight", "srv_admin_state"))

    def _counts(self) -> dict[Colour, int]:
        # By the backend's name it would find a frontend of the same name, so it is asked for all servers.
        lines = self._table("show stat -1 4 -1")
        rows = list(csv.DictReader([lines[0].removeprefix("# "), *lines[1:]]))
        found = self._of_colours(rows, "pxname", "svname", ("stot",))
        return {colour: _whole(row["stot"]) for colour, row in found.items()}

    def _table(self, command: str) -> list[str]:
        answer = self._exchange(command)
        if not answer.endswith("\n\n"):
            raise Fault(Why.LOST, "its answer ended early")
        lines = answer.strip().splitlines()
        if len(lines) < 2:
            raise Fault(Why.REFUSED, answer, mend=_mend(answer))
        return lines

    def _of_colours(
        self, rows: list[dict[str, str]], backend: str, server: str, needed: tuple[str, ...]
    ) -> dict[Colour, dict[str, str]]:
        known = {row.get(server): row for row in rows if row.get(backend) == self._backend}
        found: dict[Colour, dict[str, str]] = {}
        for colour, name in self._servers.items():
            if name not in known:
                said = f"the backend {self._backend} has no server {name}"
                raise Fault(Why.REFUSED, said, mend="look at backend and servers of router, and at HAProxy's own names")
            if not all(known[name].get(key) for key in needed):
                raise Fault(Why.GARBLED, f"it does not say {' and '.join(needed)} of {name}")
            found[colour] = known[name]
        return found

    def _exchange(self, line: str) -> str:
        """One line over a connection of its own, which HAProxy closes after its answer."""
        deadline = time.monotonic() + self._call.timeout
        with self._connected() as connection:
            try:
                connection.sendall(line.encode() + b"\n")
                answer = bytearray()
                while chunk := _receive(connection, deadline):
                    answer += chunk
                    if len(answer) > LONGEST:
                        raise Fault(Why.GARBLED, f"it is longer than {LONGEST} bytes")
            except OSError as error:
                raise of_client(error) from error
        if not answer:
            raise Fault(Why.LOST, "it said nothing")
        return answer.decode("utf-8", "replace")

    def _connected(self) -> socket.socket:
        host, _, port = self._socket.rpartition(":")
        local = self._socket.startswith("/")
        connection = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        connection.settimeout(self._call.timeout)
        try:
            connection.connect(self._socket if local else (host, int(port)))
        except (OSError, OverflowError) as error:
            connection.close()
            mend = f"see whether HAProxy is up and who may use {self._socket}, and look at router.socket"
            raise Fault(Why.UNSENT, str(error), mend=mend) from error
        return connection


def connect(settings: Settings, environment: EnvironmentSettings) -> HaproxyRouter:  # noqa: ARG001 - all take both
    """The router of an environment."""
    return HaproxyRouter(cast("HaproxySettings", environment.router))


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """Some of the answer; an answer that drips in is late as a whole."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection.recv(65536)


def _whole(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise Fault(Why.GARBLED, f"it is not a whole number but {value[:80]!r}")
    return int(value)


def _mend(answer: str) -> str:
    if "permission" in answer.casefold():
        return "give the stats socket `level admin`"
    return "look at backend and servers of router, and at HAProxy's own names"
