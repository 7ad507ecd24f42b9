"""The outside world in memory: a fake of every port, with faults on order, and a run of a small team in it.

The fakes come in where the product looks for adapters (`providers.ADAPTERS`), so nothing else is replaced.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploykit import planning, providers
from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable
from deploykit.journal.chain import follow
from deploykit.journal.events import Actor, Event, Type
from deploykit.journal.store import FILE
from deploykit.model import Colour, DecisionKind, Json, Series
from deploykit.ports import (
    Answered,
    Change,
    Comparison,
    Deployment,
    Message,
    PullRequest,
    Recorded,
    Review,
    Scan,
    Test,
    Thread,
    Weights,
)
from deploykit.providers import connect
from deploykit.returning import send_back
from deploykit.run import Run, write_atomically
from deploykit.settings import Settings
from deploykit.settings import load as load_settings
from deploykit.signoff import ssh
from deploykit.signoff.policy import decide
from tests.signoff.team import Team

LIVE: dict[Colour, int] = {"blue": 0, "green": 100}
COMMITS = {"v1": "a" * 40, "v2": "c" * 40, "old": "0" * 40}
PAGE = "https://github.example.com/example/shop"
HEAD = "b" * 40
PULL = PullRequest(7, "Faster cart", "dev", HEAD, "main", "merged", f"{PAGE}/pull/7", COMMITS["v2"])
CHANGES = (Change(COMMITS["v2"], "Faster cart (#7)", ("dev",), (), merge=False, url=f"{PAGE}/commit/c", pulls=(PULL,)),)
SERVICE = Actor(kind="service", id="test")

#: 60 s of the runbook last 10 ms.
SHIFT = """
[shift]
time_scale = 6000
steps = [
  { percent = 10, seconds = 60, requests = 100 },
  { percent = 50, seconds = 60, requests = 100 },
  { percent = 100, seconds = 60, requests = 100 },
]
watch = "60s"
hold_limit = "120s"
guard = "1s"
"""


class Fault(StrEnum):
    """What goes wrong with a call."""

    #: No answer, and nothing happened.
    DOWN = "down"
    #: It happened, and the answer was lost.
    LOST = "lost"
    #: The answer is yes, and nothing happened.
    LYING = "lying"
    #: The answer is no, and nothing happened.
    REJECTED = "rejected"
    #: It happens, but later than usual.
    SLOW = "slow"


@dataclass
class World:
    """Every outside system, and what was done to them.

    Attributes:
        effects: Each change that really happened, in order.
        journal_then: For each of them, the newest event of the journal at that moment.
        at_effect: Called at the moment of each effect.
        sends: How the router really splits; None is as its weights say.
        rate: Requests that pass the router between two readings of its counters.
        served: What the metrics answer to a query; None is no points at all.
        pauses: What happens in the next pauses of the work under way, one a pause.
    """

    home: Path
    file: str = "deploykit.toml"
    weights: dict[Colour, int] = field(default_factory=lambda: dict(LIVE))
    effects: list[str] = field(default_factory=list)
    journal_then: list[Event] = field(default_factory=list)
    at_effect: Callable[[str], None] = lambda _effect: None
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    broken: dict[str, Fault] = field(default_factory=dict)
    sends: Mapping[Colour, float] | None = None
    rate: int = 1000
    counters: dict[Colour, float] = field(default_factory=lambda: {"blue": 0.0, "green": 0.0})
    served: dict[str, float | None] = field(default_factory=dict)
    points_age: float = 0.0
    deployments: dict[str, list[Deployment]] = field(default_factory=dict)
    lands: str = "running"
    pages: dict[str, Answered] = field(default_factory=dict)
    changes: tuple[Change, ...] = CHANGES
    reviews: tuple[Review, ...] = (Review("bob", "approved", HEAD, counts=True, url=f"{PAGE}/pull/7"),)
    threads: tuple[Thread, ...] = ()
    tests: tuple[Test, ...] = (Test("tests", "passed", "success", f"{PAGE}/runs/1"),)
    scans: dict[str, Scan] = field(default_factory=dict)
    recorded: dict[tuple[str, str, str], Recorded] = field(default_factory=dict)
    messages: list[tuple[str, Message]] = field(default_factory=list)
    pauses: list[Callable[[], None]] = field(default_factory=list)
    guard_calls: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    _runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        for colour, release in (("green", "v1"), ("blue", "old")):
            self.deployments[f"shop-{colour}"] = [deployment(f"first-{colour}", COMMITS[release])]

    # --- faults

    def fail(self, call: str, *faults: Fault) -> None:
        """These faults befall the next calls, one each."""
        self.faults.setdefault(call, []).extend(faults)

    def ask(self, call: str) -> Fault | None:
        """A call that may fail before anything happens."""
        queue = self.faults.get(call)
        fault = queue.pop(0) if queue else self.broken.get(call)
        if fault is Fault.DOWN:
            raise Unreachable(f"{call} did not answer", where=call, mend="look at it")
        if fault is Fault.REJECTED:
            raise Rejected(f"{call} said no", where=call, mend="ask for something else")
        if fault is Fault.SLOW:
            time.sleep(0.05)
        return fault

    def shift(self, blue: int) -> None:
        """Weights are set past deploykit, as by somebody else."""
        self.weights.update({"blue": blue, "green": 100 - blue})

    def change(self, call: str, effect: str, happen: Callable[[], None]) -> None:
        """A call that changes something."""
        fault = self.ask(call)
        if fault is not Fault.LYING:
            if self._runs:
                self.journal_then.append(self.events()[-1])
            self.effects.append(effect)
            happen()
            self.at_effect(effect)
        if fault is Fault.LOST:
            raise Unreachable(f"the answer of {call} was lost", where=call, mend="look at it")

    # --- a run in it

    @property
    def settings_file(self) -> Path:
        return self.home / self.file

    def settings(self) -> Settings:
        return load_settings(self.settings_file)

    def edit(self, old: str, new: str) -> None:
        """Change the settings file."""
        text = self.settings_file.read_text("utf-8")
        assert old in text
        self.settings_file.write_text(text.replace(old, new), "utf-8")

    def key(self, name: str) -> Path:
        return self.home / "keys" / name

    def plan(self, *, approved: bool = True) -> Run:
        """A fresh run of v2, planned by olga and approved by ann."""
        run = planning.make(self.settings(), "production", "v2", SERVICE)
        self._runs.append(run)
        if approved:
            decide(run, "plan", DecisionKind.SIGNED, key=self.key("ann"))
        return run

    def again(self, run: Run) -> Run:
        """The same run as another process finds it, which knows only what was written."""
        found = Run.find(self.settings(), run.id, SERVICE)
        self._runs.append(found)
        return found

    @property
    def run(self) -> Run:
        """The newest run."""
        return self._runs[-1]

    def events(self) -> tuple[Event, ...]:
        """The events of the newest run, read past the product's own memory of them."""
        with closing(sqlite3.connect(self.run.store.folder / FILE)) as connection:
            query = "SELECT line FROM events WHERE run = ? ORDER BY seq"
            return tuple(follow(line for (line,) in connection.execute(query, (self.run.id,))))

    def said(self, kind: Type) -> list[Event]:
        return [event for event in self.events() if event.type is kind]

    def context(self, run: Run, **changes: Any) -> Context:
        """What a check or an action of the run is given."""
        made = Context(
            plan=run.plan,
            settings=run.settings,
            environment=run.environment,
            ports=connect(run.settings, run.environment),
            guard=FakeGuard(self),
            progress=lambda line, _evidence: self.progress.append(line),
            pause=self.pause,
            timeline=lambda: tuple(event.model_dump(mode="json") for event in run.events()),
            incident=lambda: "# Incident\n\nIt went back.\n",
            write=lambda name, data: write_atomically(run.folder / name, data),
        )
        return replace(made, **changes)

    def pause(self, _seconds: float) -> None:
        """No pause, but for what the test has happen in it."""
        if self.pauses:
            self.pauses.pop(0)()
        else:
            time.sleep(0.001)

    def deployed(self, run: Run) -> None:
        """The release runs where it is brought in."""
        self.deployments["shop-blue"].insert(0, deployment("release", run.plan.commit))

    def close(self) -> None:
        for run in self._runs:
            run.store.close()


def item(name: str) -> Item:
    return checklist().find(name)


def deployment(name: str, commit: str, state: str = "running", *, can_roll_back: bool = True) -> Deployment:
    return Deployment(name, commit, state.upper(), state, datetime.now(UTC), can_roll_back)


def answered(status: int = 200, body: Json | None = None, text: str = "", seconds: float = 0.01) -> Answered:
    return Answered(status, body, text, seconds, {})


class FakeGuard:
    """Notes what it is told."""

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self) -> None:
        self.world.ask("guard.start")
        self.world.guard_calls.append("start")

    def beat(self) -> None:
        self.world.guard_calls.append("beat")

    def stand_down(self) -> None:
        self.world.guard_calls.append("stand down")


@dataclass
class _Port:
    world: World


class FakeRouter(_Port):
    def weights(self) -> Weights:
        self.world.ask("router.weights")
        return dict(self.world.weights)

    def set_weights(self, weights: Weights) -> None:
        effect = f"weights blue {weights['blue']}, green {weights['green']}"
        self.world.change("router.set_weights", effect, lambda: self.world.weights.update(weights))

    def counts(self) -> Mapping[Colour, int]:
        self.world.ask("router.counts")
        world = self.world
        for colour in world.counters:
            share = world.weights[colour] / 100 if world.sends is None else world.sends[colour]
            world.counters[colour] += world.rate * share
        return {colour: round(count) for colour, count in world.counters.items()}


class FakePlatform(_Port):
    def deployments(self, service: str, *, limit: int = 10) -> tuple[Deployment, ...]:
        self.world.ask("platform.deployments")
        return tuple(self.world.deployments[service][:limit])

    def deploy(self, service: str, commit: str) -> str:
        name = f"deployment-{len(self.world.deployments[service])}"
        new = deployment(name, commit, self.world.lands)
        self.world.change("platform.deploy", f"deploy {service}", lambda: self._add(service, new))
        return name

    def roll_back(self, deployment: str) -> None:
        for service, known in self.world.deployments.items():
            for old in known:
                if old.id == deployment:
                    new = replace(old, id=f"back-to-{old.id}", status=self.world.lands.upper(), state=self.world.lands)
                    self.world.change("platform.roll_back", f"roll back {service}", partial(self._add, service, new))
                    return
        raise Rejected(f"no deployment {deployment}")

    def _add(self, service: str, new: Deployment) -> None:
        self.world.deployments[service].insert(0, new)


class FakeHttp(_Port):
    """Each colour at its own address; the service's address goes through the router."""

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:  # noqa: ARG002 - the port's
        self.world.ask("http.get")
        host, _, path = url.removeprefix("https://").partition("/")
        self.world.ask(f"http.get {host}")
        if url in self.world.pages:
            return self.world.pages[url]
        if host == "shop.example.com":
            colour: Colour = max(self.world.weights, key=self.world.weights.__getitem__)
            self.world.counters[colour] += 1
        else:
            colour = "blue" if host.startswith("blue") else "green"
        if path == "version":
            return answered(body={"version": self._release(colour)})
        return answered(text=f"{colour} answers /{path}")

    def _release(self, colour: Colour) -> str:
        commit = self.world.deployments[f"shop-{colour}"][0].commit
        return next(release for release, known in COMMITS.items() if known == commit)


class FakeMetrics(_Port):
    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:  # noqa: ARG002 - the port's
        self.world.ask("metrics.series")
        value = self.world.served.get(query, 1000.0 if query.startswith("requests") else 0.0)
        points = () if value is None else ((end.timestamp() - self.world.points_age, value),)
        return Series(name=name, unit=unit, query=query, points=points)


class FakeRepository(_Port):
    """One commit by dev since live, with a pull request that bob approved; all of it passed, nothing is open."""

    def commit(self, ref: str) -> str:
        self.world.ask("repository.commit")
        known = {**COMMITS, **{commit: commit for commit in COMMITS.values()}}
        if ref not in known:
            raise Rejected(f"no such ref: {ref}", where="repository")
        return known[ref]

    def compare(self, base: str, head: str) -> Comparison:
        self.world.ask("repository.compare")
        same = base == "main" or self.commit(base) == self.commit(head)
        return Comparison(base, head, () if same else self.world.changes, 0, f"{PAGE}/compare")

    def authors(self, base: str, head: str) -> tuple[str, ...]:
        self.world.ask("repository.authors")
        changes = self.compare(base, head).changes
        if any(change.strangers for change in changes):
            raise Rejected("it does not know who wrote a commit", where="repository", mend="add the address")
        return tuple(sorted({author for change in changes for author in change.authors}))

    def reviews(self, pull: int) -> tuple[Review, ...]:  # noqa: ARG002 - the port's
        self.world.ask("repository.reviews")
        return self.world.reviews

    def threads(self, pull: int) -> tuple[Thread, ...]:  # noqa: ARG002 - the port's
        self.world.ask("repository.threads")
        return self.world.threads

    def mergeable(self, pull: int) -> bool | None:  # noqa: ARG002 - the port's
        self.world.ask("repository.mergeable")
        return True

    def tests(self, commit: str) -> tuple[Test, ...]:  # noqa: ARG002 - the port's
        self.world.ask("repository.tests")
        return self.world.tests

    def required_tests(self, branch: str) -> tuple[str, ...]:  # noqa: ARG002 - the port's
        self.world.ask("repository.required_tests")
        return ("tests",)

    def scan(self, scanner: str, branch: str) -> Scan:  # noqa: ARG002 - the port's
        self.world.ask("repository.scan")
        return self.world.scans.get(scanner, Scan(scanner, ()))

    def find_deployment(self, run: str, commit: str, environment: str) -> Recorded | None:
        self.world.ask("repository.find_deployment")
        return self.world.recorded.get((run, commit, environment))

    def record_deployment(self, run: str, commit: str, environment: str, *, state: str, url: str = "") -> Recorded:
        key, made = (run, commit, environment), Recorded("1", state, url)
        if self.world.recorded.get(key) != made:
            effect = f"record {environment} {state}"
            self.world.change("repository.record_deployment", effect, lambda: self.world.recorded.update({key: made}))
        return made


class FakeChat(_Port):
    def find(self, channel: str, run: str, *, kind: str) -> Message | None:
        self.world.ask("chat.find")
        found = [m for k, m in self.world.messages if (k, m.channel, m.run) == (kind, channel, run)]
        return found[0] if found else None

    def post(self, channel: str, text: str, *, run: str, kind: str, thread: str | None = None) -> Message:  # noqa: ARG002 - the port's
        message = Message(channel, f"{len(self.world.messages)}.0", "deploykit", text, run)
        self.world.change("chat.post", f"post {kind}", lambda: self.world.messages.append((kind, message)))
        return message


FAKES: dict[str, type[_Port]] = {
    "http": FakeHttp,
    "router": FakeRouter,
    "platform": FakePlatform,
    "metrics": FakeMetrics,
    "repository": FakeRepository,
    "chat": FakeChat,
}


def inject(world: World, patch: pytest.MonkeyPatch) -> None:
    """Have every port be a fake of this world, wherever the product connects; and no retry takes its time."""
    adapters = {}
    for port, fake in FAKES.items():
        module = ModuleType(f"fake_{port}")
        made = fake(world)
        module.connect = lambda _settings, _environment, made=made: made  # type: ignore[attr-defined]  # ours
        patch.setitem(sys.modules, module.__name__, module)
        adapters[port] = dict.fromkeys(providers.ADAPTERS[port], module.__name__)
    patch.setattr(providers, "ADAPTERS", adapters)
    patch.setattr(ssh, "verify", _remembering(ssh.verify))
    assert send_back.__kwdefaults__ is not None
    patch.setitem(send_back.__kwdefaults__, "wait", lambda seconds: time.sleep(min(seconds, 0.005)))


def _remembering(verify: Callable[..., None]) -> Callable[..., None]:
    """A signature that held once holds for the same bytes, person and list of keys; OpenSSH is asked once for each."""
    held = set()

    def verified(data: bytes, signature: bytes, principal: str, namespace: str, signers: Path, *rest: Any) -> None:
        key = (data, signature, principal, namespace, signers.read_bytes(), *rest)
        if key not in held:
            verify(data, signature, principal, namespace, signers, *rest)
            held.add(key)

    return verified


def make_team(home: Path) -> None:
    """Settings, keys and allowed signers; made once and copied, since keys take their time."""
    team = Team(home)
    text = (home / "deploykit.toml").read_text("utf-8")
    for old, new in {
        'requests = "r"': 'requests = "requests $colour"',
        'errors = "e"': 'errors = "errors $colour"',
        'slow = "s"': 'slow = "slow $colour"',
        'router = {url = "https://router.example.com"}': 'router = {url = "https://router.example.com", '
        'late = "20ms"}\nsmoke = [{path = "/products", contains = "answers"}, {path = "/cart"}]',
        'token = "env:RAILWAY_TOKEN"}': 'token = "env:RAILWAY_TOKEN", deploy_timeout = "200ms"}',
    }.items():
        assert old in text
        text = text.replace(old, new)
    (home / "deploykit.toml").write_text(text + SHIFT, "utf-8")
    assert team.settings().shift.time_scale == 6000


@contextmanager
def made(template: Path, home: Path) -> Iterator[World]:
    """A world whose team's folder is a copy of the template."""
    shutil.copytree(template, home, dirs_exist_ok=True)
    world = World(home)
    with pytest.MonkeyPatch.context() as patch:
        inject(world, patch)
        yield world
    world.close()
