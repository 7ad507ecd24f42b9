"""Counts the real traffic: what Envoy and the services' processes say, every second."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from deploykit.sandbox.addresses import Addresses, local_url
from deploykit.sandbox.edge import QUERIES
from deploykit.sandbox.proxy import COPIES, LATENCY_EDGES

# By colour, or "staging": the version active there, and its process.
Running = Callable[[], Mapping[str, tuple[str, int | None]]]
FILTER = r"^cluster\.(green|blue|staging)\.upstream_rq_(completed|5xx|time)$"
# A second's counts are read just after it ended.
SLACK_SECONDS = 0.03


@dataclass
class Sample:
    """What happened in one second on one colour while one version ran there.

    Attributes:
        at: The second.
        colour: Where; "staging" for the staging copy.
        version: Which version was active there.
        requests: Requests that ended.
        errors: Of these, answered with 5xx.
        buckets: How many took how long: those up to each edge and above the one before.
        cpu: Percent of one core, where measured.
        memory: Resident bytes, where measured.
        query: Milliseconds that a query took on average, where any was made.
    """

    at: int
    colour: str
    version: str
    requests: int = 0
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(LATENCY_EDGES))
    cpu: float | None = None
    memory: float | None = None
    query: float | None = None


@dataclass
class Counters:
    """A colour's counters as Envoy gives them, counted since it started."""

    requests: int = 0
    errors: int = 0
    below: tuple[int, ...] = (0,) * len(LATENCY_EDGES)

    @property
    def buckets(self) -> list[int]:
        """Cumulative counts turned into counts a bucket."""
        return [high - low for low, high in zip((0, *self.below), self.below, strict=False)]


class Collector:
    """Keeps a sample a second, colour and version.

    Attributes:
        running: Says which version runs on each colour, in which process.
    """

    def __init__(self, addresses: Addresses) -> None:
        self.url = addresses.envoy_admin_url + "/stats"
        self.running: Running = dict
        self.samples: dict[tuple[int, str, str], Sample] = {}
        self.before: dict[str, Counters] = {}
        ports = addresses.ports
        self.ports = {"green": ports["green"], "blue": ports["blue"], "staging": ports["staging_copy"]}
        self.watched: dict[str, psutil.Process] = {}
        self.queries: dict[str, tuple[int, float]] = {}
        self.turn = asyncio.Lock()

    async def run(self) -> None:
        """Reads every second, for ever. While Envoy does not answer there is nothing to keep."""
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as self.client:
            while True:
                await asyncio.sleep(1.0 - time.time() % 1.0 + SLACK_SECONDS)
                await self.tick(gauges=True)

    async def tick(self, *, gauges: bool = False) -> None:
        """Reads the counters now."""
        async with self.turn:
            now = await self.read()
            second = int(time.time() - 2 * SLACK_SECONDS)
            for colour, (version, pid) in self.running().items():
                sample = self.samples.setdefault((second, colour, version), Sample(second, colour, version))
                if colour in now and colour in self.before:
                    add(sample, self.before[colour], now[colour])
                if gauges and pid:
                    self.measure(sample, colour, pid)
                    await self.time_queries(sample, colour)
            self.before = now or self.before

    async def read(self) -> dict[str, Counters]:
        """Envoy's counters by colour; none while it does not answer."""
        asked = {"filter": FILTER, "format": "json", "histogram_buckets": "cumulative"}
        try:
            answer = await self.client.get(self.url, params=asked)
        except httpx.TransportError:
            return {}
        return {colour: counters(answer.json()["stats"], colour) for colour in COPIES}

    def measure(self, sample: Sample, colour: str, pid: int) -> None:
        """Adds the process's CPU and memory."""
        known = self.watched.get(colour)
        try:
            if known is None or known.pid != pid:
                known = self.watched[colour] = psutil.Process(pid)
                known.cpu_percent()  # the first call only begins to count
                return
            sample.cpu, sample.memory = known.cpu_percent(), float(known.memory_info().rss)
        except psutil.NoSuchProcess:
            self.watched.pop(colour, None)

    async def time_queries(self, sample: Sample, colour: str) -> None:
        """Adds how long the queries of the last second took, as the process itself counts them."""
        try:
            said = (await self.client.get(local_url(self.ports[colour]) + QUERIES)).json()
        except httpx.TransportError:
            return  # it is just being replaced
        before, now = self.queries.get(colour, (0, 0.0)), (int(said["queries"]), float(said["milliseconds"]))
        self.queries[colour] = now
        if now[0] < before[0]:
            before = (0, 0.0)  # another process began to count
        if now[0] > before[0]:
            sample.query = (now[1] - before[1]) / (now[0] - before[0])


def counters(stats: list[dict[str, Any]], colour: str) -> Counters:
    """A colour's counters out of Envoy's answer."""
    prefix = f"cluster.{colour}.upstream_rq_"
    plain = {s["name"]: int(s["value"]) for s in stats if "value" in s}
    shapes = [h for s in stats for h in s.get("histograms", {}) if h["name"] == prefix + "time"]
    below = dict.fromkeys(LATENCY_EDGES, 0)
    for bucket in shapes[0]["buckets"] if shapes else []:
        below[int(bucket["upper_bound"])] = int(bucket["cumulative"])
    return Counters(plain.get(prefix + "completed", 0), plain.get(prefix + "5xx", 0), tuple(below.values()))


def add(sample: Sample, before: Counters, now: Counters) -> None:
    """Adds the difference; counters that went back began again."""
    if now.requests < before.requests:
        before = Counters()
    sample.requests += now.requests - before.requests
    sample.errors += now.errors - before.errors
    for index, (new, old) in enumerate(zip(now.buckets, before.buckets, strict=True)):
        sample.buckets[index] += new - old
