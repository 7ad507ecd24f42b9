"""Envoy as the router: weights in its runtime, over its admin interface.

The listener's route needs `weighted_clusters` with `runtime_key_prefix`, clusters named `blue` and `green`, and a
`layered_runtime` whose static layer holds both weights and whose last layer is an `admin_layer`. For the maintenance
answer, a route before that one has a `direct_response` of 503 and matches by a `runtime_fraction` of
`router.maintenance_key`, in hundredths, which the static layer holds as 0. Overrides are lost when Envoy restarts.
Source: https://www.envoyproxy.io/docs/envoy/latest/operations/admin

A rollback waits for this module, so it speaks through the standard library: importing it and making its first
connection takes a tenth of what httpx takes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, urlencode, urlsplit

from deploykit.errors import Rejected, UsageError
from deploykit.providers._answers import listing, mapping, number, parse, said
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client
from deploykit.providers._weights import COLOURS, checked, require_applied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploykit.model import Colour
    from deploykit.ports import Weights
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.router import EnvoySettings

#: Seconds for the connection, and for each answer.
TIMEOUT = 2.0
#: Seconds between a change and the look at it. Envoy answers from its main thread; its workers take the new runtime
#: over at the next turn of their own loops. On a busy machine one request in a hundred shifts was routed before that.
SETTLES = 0.02

T = TypeVar("T")


class EnvoyRouter:
    """A `ports.Router`.

    Args:
        url: The admin interface.
        prefix: The route's `runtime_key_prefix`.
        maintenance: The runtime's key of the maintenance answer.
        timeout: Seconds for the connection, and for each answer.

    Raises:
        UsageError: The address is none.
    """

    def __init__(
        self, url: str, prefix: str, maintenance: str = "routing.maintenance", *, timeout: float = TIMEOUT
    ) -> None:
        try:
            self._url = urlsplit(url)
            self._port = self._url.port
        except ValueError as error:
            raise UsageError(f"is no address: {error}", where="deploykit.toml: router.url", mend="mend it") from error
        self._keys = {colour: f"{prefix}.{colour}" for colour in COLOURS}
        self._maintenance = maintenance
        self._call = Call("Envoy", "", address=f"router.url ({self._url.hostname})", timeout=timeout)

    def weights(self) -> Weights:
        """The weights in force, as the runtime's topmost layer has them.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: The runtime has no such keys, or no whole numbers in them.
        """
        return attempt(replace(self._call, what="GET /runtime"), self._weights)

    def set_weights(self, weights: Weights) -> None:
        """Set both weights with one request, and read them back.

        Raises:
            UsageError: They are not two whole percentages that sum to 100; nothing was sent.
            Unreachable: It is not known whether they are set.
            Rejected: Envoy refused, or accepted and does not apply them.
        """
        checked(weights, "Envoy")
        found = self._modify({self._keys[colour]: weights[colour] for colour in COLOURS}, self._weights)
        mend = "see that the admin layer is the last one in layered_runtime and that nobody else sets weights"
        require_applied(weights, found, where="Envoy, POST /runtime_modify", mend=mend)

    def counts(self) -> Mapping[Colour, int]:
        """Requests sent to each colour since Envoy started.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: A colour has no counter.
        """
        return attempt(replace(self._call, what="GET /stats"), self._counts)

    def stop(self) -> None:
        """Have every request met by the maintenance answer, and read that back.

        A route that listens to the key is taken for granted: whether it answers, only real requests tell.

        Raises:
            Unreachable: It is not known whether it is in force.
            Rejected: Envoy refused, or accepted and does not apply it.
        """
        self._set_maintenance(100)

    def resume(self) -> None:
        """Let requests through again, and read that back.

        Raises:
            ProviderError: As `stop`.
        """
        self._set_maintenance(0)

    def stopped(self) -> bool:
        """Whether every request meets the maintenance answer.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: The runtime has no such key, or no whole number in it.
        """
        return attempt(replace(self._call, what="GET /runtime"), self._maintained) >= 100

    def _set_maintenance(self, percent: int) -> None:
        found = self._modify({self._maintenance: percent}, self._maintained)
        if found != percent:
            raise Rejected(
                f"it accepted {self._maintenance} {percent} and does not apply it: in force is {found}",
                where="Envoy, POST /runtime_modify",
                mend="see that the admin layer is the last one in layered_runtime",
            )

    def _modify(self, values: Mapping[str, int], read: Callable[[], T]) -> T:
        """Set values of the runtime with one request, and read back what is in force."""
        query = urlencode(values, quote_via=quote)
        change = replace(self._call, what="POST /runtime_modify", changes=True, patience=0.0)
        attempt(change, lambda: self._exchange("POST", f"/runtime_modify?{query}"))
        sleep(SETTLES)
        # A question, but one whose failure leaves the change in doubt; asking twice is harmless.
        return attempt(replace(change, what="GET /runtime after POST /runtime_modify", again=True), read)

    def _entries(self) -> dict[str, Any]:
        answer = mapping(parse(self._exchange("GET", "/runtime?format=json")), "the answer")
        return mapping(answer.get("entries"), "entries")

    def _maintained(self) -> int:
        return _whole(self._entries(), self._maintenance)

    def _weights(self) -> dict[Colour, int]:
        entries = self._entries()
        return {colour: _whole(entries, key) for colour, key in self._keys.items()}

    def _counts(self) -> dict[Colour, int]:
        raw = self._exchange("GET", "/stats?filter=upstream_rq_total&format=json")
        counts: dict[Colour, int] = {}
        for entry in listing(mapping(parse(raw), "the answer").get("stats"), "stats"):
            stat = mapping(entry, "an entry of stats")
            for colour in COLOURS:
                if stat.get("name") == f"cluster.{colour}.upstream_rq_total":
                    counts[colour] = counts.get(colour, 0) + int(number(stat.get("value"), f"value of {stat['name']}"))
        if missing := [colour for colour in COLOURS if colour not in counts]:
            raise Fault(Why.REFUSED, f"no counter of {', '.join(missing)}", mend="name the clusters blue and green")
        return counts

    def _exchange(self, method: str, path: str) -> bytes:
        """One request over a connection of its own: an idle one may die just when a rollback needs it."""
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._port, timeout=self._call.timeout)
        try:
            connection.request(method, self._url.path.rstrip("/") + path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise of_client(error) from error
        finally:
            connection.close()
        if answer.status == 503 and b"admin layer" in body:
            raise Fault(Why.REFUSED, said(body), mend="add an admin_layer as the last one to Envoy's layered_runtime")
        if answer.status != 200:
            headers = {name.lower(): value for name, value in answer.getheaders()}
            raise Fault.of_status(answer.status, said(body), headers)
        return body


def connect(settings: Settings, environment: EnvironmentSettings) -> EnvoyRouter:  # noqa: ARG001 - all take both
    """The router of an environment."""
    router = cast("EnvoySettings", environment.router)
    return EnvoyRouter(router.url, router.runtime_prefix, router.maintenance_key)


def _whole(entries: dict[str, Any], key: str) -> int:
    """One value: what the topmost layer that has the key says."""
    mend = "put it into the static layer of layered_runtime, and look at runtime_prefix and maintenance_key of router"
    if key not in entries:
        raise Fault(Why.REFUSED, f"the runtime has no {key}", mend=mend)
    value = mapping(entries[key], key).get("final_value")
    # Envoy itself takes anything else as absent and falls back to what the route says.
    if not isinstance(value, str | int) or isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value)):
        raise Fault(Why.REFUSED, f"{key} is not a whole number but {str(value)[:80]!r}", mend=mend)
    return int(value)
