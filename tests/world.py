"""The outside world in memory: a fake of every port, with faults on order, and a run of a small team in it.

The fakes come in where the product looks for adapters (`providers.ADAPTERS`), so nothing else is replaced.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploykit import planning, providers, redact
from deploykit.checklist import Item, checklist
from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable
from deploykit.execution import make_context
from deploykit.journal.chain import follow
from deploykit.journal.events import Actor, Event, Type
from deploykit.journal.store import FILE
from deploykit.model import Colour, DecisionKind, Json, Series
from deploykit.ports import (
    Answered,
    Certificate,
    Change,
    Comparison,
    Deployment,
    ErrorProject,
    Incident,
    Issue,
    LogLine,
    Message,
    Metrics,
    Monitor,
    OnCall,
    PullRequest,
    Recorded,
    RecordedDeploy,
    Review,
    Scan,
    Test,
    Thread,
    Weights,
)
from deploykit.ports.database import (
    BEGIN,
    COMMIT,
    Applied,
    Backup,
    Contents,
    Copy,
    Finding,
    Linted,
    Migrations,
    Revision,
    Statement,
    Statistics,
)
from deploykit.providers import connect
from deploykit.returning import send_back
from deploykit.run import Run
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

[rules]
quiet_days = []
# One of 60 minutes would be over in 0.6 s.
window = "10000h"
"""

VENDORS = """
[errors]
organization = "example"
project = "shop"
token = "env:SENTRY_TOKEN"
[pager]
token = "env:PAGERDUTY_TOKEN"
from = "deploy@example.com"
escalation_policy = "PPOLICY"
service = "PSERVIC"
[flags]
url = "https://flags.example.com"
token = "env:UNLEASH_TOKEN"
"""

#: Production's database, for those who set it up: the release brings it a revision.
DATABASE = """
[environments.production.database]
url = "env:DATABASE_URL"
scratch = "env:SCRATCH_URL"
alembic = "alembic.ini"
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
        units: What the metrics say that a query's values are in.
        unreported: Queries whose metric nobody ever reported.
        messages: What stands in the chat, with its kind; `answers` are those under a message, by its ts.
        under: In which thread each message stands, by its ts.
        channels: The channels that the chat has.
        lines: What stands in the logs; a word in quotes finds those whose message has it.
        contents: What the database holds; `backups` are those of it, `aside` the names of what a restore took away,
            and `findings` what its migrations' linter says.
        watching: The monitors.
        marks: The events that were posted, by key.
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
    units: dict[str, str] = field(default_factory=dict)
    unreported: set[str] = field(default_factory=set)
    points_age: float = 0.0
    deployments: dict[str, list[Deployment]] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    logs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    stopped: bool = False
    lands: str = "running"
    pages: dict[str, Answered] = field(default_factory=dict)
    changes: tuple[Change, ...] = CHANGES
    reviews: tuple[Review, ...] = (Review("bob", "approved", HEAD, counts=True, url=f"{PAGE}/pull/7"),)
    threads: tuple[Thread, ...] = ()
    tests: tuple[Test, ...] = (Test("tests", "passed", "success", f"{PAGE}/runs/1"),)
    scans: dict[str, Scan] = field(default_factory=dict)
    recorded: dict[tuple[str, str, str], Recorded] = field(default_factory=dict)
    messages: list[tuple[str, Message]] = field(default_factory=list)
    project: ErrorProject = field(
        default_factory=lambda: ErrorProject("shop", "active", active=True, url="https://errors.example")
    )
    keys: int = 1
    registered: set[str] = field(default_factory=lambda: {"v1", "v2"})
    sessions: dict[str, int] = field(default_factory=lambda: {"v1": 500, "v2": 500})
    new_issues: dict[str, tuple[Issue, ...]] = field(default_factory=dict)
    fatal_issues: tuple[Issue, ...] = ()
    deploys: dict[tuple[str, str], RecordedDeploy] = field(default_factory=dict)
    lines: list[LogLine] = field(default_factory=list)
    turns: list[OnCall] = field(default_factory=lambda: [turn("Ines")])
    incidents: dict[str, Incident] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    under: dict[str, str | None] = field(default_factory=dict)
    channels: set[str] = field(default_factory=lambda: {"deployments", "support", "database-oncall", "infra-oncall"})
    answers: dict[str, list[Message]] = field(default_factory=dict)
    contents: Contents = Contents("0001", {"public.orders": 7}, ("TABLE public.orders | id bigint",))  # noqa: RUF009 - frozen
    backups: list[Backup] = field(default_factory=list)
    aside: set[str] = field(default_factory=set)
    findings: tuple[Finding, ...] = ()
    watching: list[Monitor] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)
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

    def plan(self, *, approved: bool = True, begin: str = "blue-green", rehearse: bool = False) -> Run:
        """A fresh run of v2, planned by olga; where ann approved it, the phases before `begin` are over."""
        run = planning.make(self.settings(), "production", "v2", SERVICE, rehearse=rehearse)
        self._runs.append(run)
        if approved:
            for phase in takewhile(lambda phase: phase.id != begin, checklist().phase):
                run.append(Type.PHASE_ENDED, item=phase.id, data={"result": "passed"})
            decide(run, "plan", DecisionKind.SIGNED, key=self.key("ann"))
        return run

    def metrics(self) -> Metrics:
        """The metrics alone, for what needs no run."""
        return FakeMetrics(self)

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
            incident=lambda: ("# Incident\n\nIt went back.\n", {"incident/1.png": b"a picture"}),
            write=run.write,
            read=run.read,
            repeat=make_context(run).repeat,
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


def log_line(status: str = "critical", message: str = "out of memory") -> LogLine:
    return LogLine(datetime.now(UTC), status, "shop", message)


def issue(title: str = "KeyError: 'price'", level: str = "error") -> Issue:
    seen = datetime.now(UTC)
    return Issue("1", title, level, 3, 2, seen, seen, "https://errors.example/1")


def turn(name: str, start: float | None = None, end: float | None = None, **more: Any) -> OnCall:
    """Somebody's turn, in seconds from now; always where there is none."""
    ends = (None if at is None else datetime.now(UTC) + timedelta(seconds=at) for at in (start, end))
    given = {"level": 1, "reachable": True, "url": f"https://pager.example/{name}", **more}
    return OnCall(name.lower(), name, start=next(ends), end=next(ends), **given)


class FakeGuard:
    """Notes what it is told."""

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self) -> None:
        self.world.ask("guard.start")
        self.world.guard_calls.append("start")

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
        for colour in () if world.stopped else world.counters:
            share = world.weights[colour] / 100 if world.sends is None else world.sends[colour]
            world.counters[colour] += world.rate * share
        return {colour: round(count) for colour, count in world.counters.items()}

    def stop(self) -> None:
        self.world.change("router.stop", "stop traffic", lambda: self._stopped(on=True))

    def resume(self) -> None:
        self.world.change("router.resume", "resume traffic", lambda: self._stopped(on=False))

    def stopped(self) -> bool:
        self.world.ask("router.stopped")
        return self.world.stopped

    def _stopped(self, *, on: bool) -> None:
        self.world.stopped = on


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

    def restart(self, deployment: str) -> None:
        for service, known in self.world.deployments.items():
            for index, old in enumerate(known):
                if old.id == deployment:
                    changed = f"{old.changed}, restarted"
                    new = replace(old, changed=changed, status=self.world.lands.upper(), state=self.world.lands)
                    self.world.change("platform.restart", f"restart {service}", partial(known.__setitem__, index, new))
                    return
        raise Rejected(f"no deployment {deployment}")

    def logs(self, deployment: str, *, limit: int = 100) -> tuple[str, ...]:
        self.world.ask("platform.logs")
        return self.world.logs.get(deployment, ())[-limit:]

    def variables(self, service: str) -> Mapping[str, str]:
        self.world.ask("platform.variables")
        return {name: redact.learn(value) for name, value in self.world.variables.get(service, {}).items()}

    def _add(self, service: str, new: Deployment) -> None:
        self.world.deployments[service].insert(0, new)


class FakeTls(_Port):
    """Each host shows a good certificate of sixty days, but for those that the world knows."""

    def certificate(self, name: str, *, address: str = "", port: int = 443) -> Certificate:  # noqa: ARG002 - the port's
        self.world.ask("tls.certificate")
        good = Certificate("", (name,), "CN=Test authority", datetime.now(UTC) + timedelta(days=60, hours=1))
        return self.world.certificates.get(name, good)


class FakeHttp(_Port):
    """Each colour at its own address; the service's address goes through the router."""

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float = 5.0) -> Answered:  # noqa: ARG002 - the port's
        return self.get(url, timeout=timeout)

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:  # noqa: ARG002 - the port's
        self.world.ask("http.get")
        host, _, path = url.removeprefix("https://").partition("/")
        self.world.ask(f"http.get {host}")
        if url in self.world.pages:
            return self.world.pages[url]
        if host == "shop.example.com" and self.world.stopped:
            return answered(503, text="closed for maintenance")
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

    def unit(self, query: str, start: datetime, end: datetime) -> str:  # noqa: ARG002 - the port's
        self.world.ask("metrics.unit")
        return self.world.units.get(query, "")

    def unknown(self, query: str) -> tuple[str, ...]:
        self.world.ask("metrics.unknown")
        return (query.split(maxsplit=1)[0],) if query in self.world.unreported else ()


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


class FakeLogs(_Port):
    """Finds the lines that have the words in quotes, and one of the statuses where a query names some."""

    def count(self, query: str, start: datetime, end: datetime) -> int:
        self.world.ask("logs.count")
        return len(self._found(query, start, end))

    def search(self, query: str, start: datetime, end: datetime, *, limit: int = 100) -> tuple[LogLine, ...]:
        self.world.ask("logs.search")
        return tuple(self._found(query, start, end)[:limit])

    def _found(self, query: str, start: datetime, end: datetime) -> list[LogLine]:
        words, statuses = re.findall(r'"([^"]*)"', query), query.partition("status:")[2]
        found = [line for line in self.world.lines if start <= line.at <= end]
        found = [line for line in found if not statuses or line.status in statuses]
        found = [line for line in found if all(word in line.message for word in words)]
        return sorted(found, key=lambda line: line.at, reverse=True)


class FakeErrors(_Port):
    def project(self) -> ErrorProject:
        self.world.ask("errors.project")
        return self.world.project

    def active_keys(self) -> int:
        self.world.ask("errors.active_keys")
        return self.world.keys

    def registered(self, release: str) -> bool:
        self.world.ask("errors.registered")
        return release in self.world.registered

    def sessions(self, release: str, start: datetime, end: datetime) -> int:
        self.world.ask("errors.sessions")
        assert start < end
        return self.world.sessions.get(release, 0)

    def new_issues(self, release: str) -> tuple[Issue, ...]:
        self.world.ask("errors.new_issues")
        return self.world.new_issues.get(release, ())

    def fatal_issues(self, since: datetime) -> tuple[Issue, ...]:
        self.world.ask("errors.fatal_issues")
        return tuple(one for one in self.world.fatal_issues if one.last_seen is None or one.last_seen >= since)

    def deploy(self, release: str, name: str) -> RecordedDeploy | None:
        self.world.ask("errors.deploy")
        return self.world.deploys.get((release, name))

    def record_deploy(self, release: str, name: str, *, start: datetime, end: datetime) -> RecordedDeploy:
        assert start <= end
        known = self.world.deploys
        if (release, name) not in known:
            made = RecordedDeploy(str(len(known) + 1), name, "production", end)
            self.world.change("errors.record_deploy", f"record {name}", lambda: known.update({(release, name): made}))
            self.world.registered.add(release)
            return made
        return known[release, name]


class FakePager(_Port):
    def on_call(self, start: datetime, end: datetime) -> tuple[OnCall, ...]:
        self.world.ask("pager.on_call")
        seen = [t for t in self.world.turns if (t.start is None or t.start < end) and (t.end is None or t.end > start)]
        return tuple(sorted(seen, key=lambda t: (t.level, t.start or start)))

    def find(self, key: str) -> Incident | None:
        self.world.ask("pager.find")
        return self.world.incidents.get(key)

    def open(self, key: str, title: str, details: str) -> Incident:  # noqa: ARG002 - the port's
        known = self.world.incidents
        if key in known and known[key].status != "resolved":
            raise Rejected(f"an incident {key} is open", where="pager")
        number = f"Q{len(known) + 1}"
        made = Incident(number, "triggered", title, f"https://pager.example/incidents/{number}")
        self.world.change("pager.open", f"open {key}", lambda: known.update({key: made}))
        return made


class FakeFlags(_Port):
    def enabled(self, name: str) -> bool | None:
        self.world.ask("flags.enabled")
        return self.world.flags.get(name)


class FakeChat(_Port):
    def find(self, channel: str, run: str, *, kind: str) -> Message | None:
        self.world.ask("chat.find")
        found = [m for k, m in self.world.messages if (k, m.channel, m.run) == (kind, channel, run)]
        return found[0] if found else None

    def post(self, channel: str, text: str, *, run: str, kind: str, thread: str | None = None) -> Message:
        now = datetime.now(UTC)
        message = Message(channel, f"{len(self.world.messages)}.0", "deploykit", text, run, now)
        self.world.change("chat.post", f"post {kind}", lambda: self.world.messages.append((kind, message)))
        self.world.under[message.ts] = thread
        return message

    def channel(self, name: str) -> str | None:
        self.world.ask("chat.channel")
        return name.removeprefix("#") if name.removeprefix("#") in self.world.channels else None

    def history(self, channel: str, since: datetime, until: datetime | None = None) -> tuple[Message, ...]:
        self.world.ask("chat.history")
        if channel.removeprefix("#") not in self.world.channels:
            raise Rejected(f"there is no channel {channel!r}", where="chat")
        end = until or datetime.max.replace(tzinfo=UTC)
        found = [(m.at, m) for _, m in self.world.messages if m.channel == channel.removeprefix("#") and m.at]
        return tuple(m for at, m in sorted(found, key=lambda one: one[0]) if since < at < end)

    def thread(self, channel: str, ts: str) -> tuple[Message, ...]:  # noqa: ARG002 - the port's
        self.world.ask("chat.thread")
        return tuple(self.world.answers.get(ts, ()))


class FakeMonitors(_Port):
    def monitors(self, tags: tuple[str, ...]) -> tuple[Monitor, ...]:
        self.world.ask("monitors.monitors")
        return tuple(monitor for monitor in self.world.watching if set(tags) <= set(monitor.tags))


class FakeEvents(_Port):
    def find(self, key: str) -> str | None:
        self.world.ask("events.find")
        return self.world.marks.get(key)

    def post(self, title: str, text: str, *, key: str, tags: tuple[str, ...]) -> str:  # noqa: ARG002 - the port's
        name = f"event-{len(self.world.marks)}"
        if key not in self.world.marks:
            self.world.change("events.post", f"event {key}", lambda: self.world.marks.update({key: name}))
        return self.world.marks.get(key, name)


class FakeDatabase(_Port):
    """Production at 0001, and a release that brings 0002, which adds a column."""

    REVISION = Revision(
        id="0002",
        before="0001",
        title="Notes on orders",
        flag="",
        up=(BEGIN, "ALTER TABLE orders ADD COLUMN note text", "UPDATE alembic_version SET version_num='0002'", COMMIT),
        down=(BEGIN, "ALTER TABLE orders DROP COLUMN note", "UPDATE alembic_version SET version_num='0001'", COMMIT),
    )

    def _ask(self, call: str) -> None:
        self.world.ask("database")
        self.world.ask(f"database.{call}")

    def contents(self) -> Contents:
        self._ask("contents")
        return self.world.contents

    def upgrade(self, revision: Revision) -> Applied:
        return self._go("upgrade", revision, revision.before, revision.id)

    def downgrade(self, revision: Revision) -> Applied:
        return self._go("downgrade", revision, revision.id, revision.before)

    def _go(self, call: str, revision: Revision, start: str, end: str) -> Applied:
        self._ask(call)
        now = self.world.contents
        if now.revision != start:
            raise Rejected(f"the database is at {now.revision}, and {revision.id} starts from {start}")
        column = "TABLE public.orders | note text"
        rest = tuple(line for line in now.schema if line != column)
        new = replace(now, revision=end, schema=(*rest, column) if call == "upgrade" else rest)
        self.world.change(f"database.{call}d", f"{call} {revision.id}", partial(setattr, self.world, "contents", new))
        return Applied(revision.id, 0.01, ("orders AccessExclusiveLock",))

    def revision(self) -> str:
        return self.contents().revision

    def migrating(self) -> bool:
        self._ask("migrating")
        return False

    def release(self, release: str, commit: str, *, since: str | None = None) -> Migrations:
        self._ask(f"release {release}")
        start = self.world.contents.revision if since is None else since
        return Migrations(start, "0002", commit, () if start == "0002" else (self.REVISION,))

    def lint(self, revisions: tuple[Revision, ...]) -> Linted:
        self._ask("lint")
        known = {revision.id for revision in revisions}
        return Linted("linter 1", tuple(finding for finding in self.world.findings if finding.revision in known))

    def try_out(self, revisions: tuple[Revision, ...]) -> tuple[Applied, ...]:
        self._ask("try_out")
        if not all(revision.transactional for revision in revisions):
            raise Rejected("not all of it is one transaction")
        return tuple(Applied(revision.id, 0.01, ()) for revision in revisions)

    def backups(self) -> tuple[Backup, ...]:
        self._ask("backups")
        return tuple(reversed(self.world.backups))

    def back_up(self, name: str) -> Backup:
        self._ask("back_up")
        if name in {known.name for known in self.world.backups}:
            raise Rejected(f"{name}.dump is there already")
        made = Backup(name, 4096, datetime.now(UTC), "5" * 64, self.world.contents)
        self.world.change("database.backed_up", f"back up {name}", lambda: self.world.backups.append(made))
        return made

    @contextmanager
    def scratch(self, backup: Backup) -> Iterator[Copy]:
        self._ask("scratch")
        copy = FakeDatabase(World(self.world.home))
        copy.world.contents = backup.contents or self.world.contents
        yield copy

    def restore(self, backup: Backup, aside: str) -> None:
        def swap() -> None:
            self.world.contents = backup.contents or self.world.contents
            self.world.aside.add(aside)

        self._ask("restore")
        self.world.change("database.restored", f"restore {backup.name}", swap)

    def restored(self, aside: str) -> bool:
        self._ask("restored")
        return aside in self.world.aside

    def statistics(self) -> Statistics:
        self._ask("statistics")
        return Statistics("2026-11-23", (Statement("1", "SELECT $1", 100, 50.0),))


FAKES: dict[str, type[_Port]] = {
    "http": FakeHttp,
    "tls": FakeTls,
    "router": FakeRouter,
    "platform": FakePlatform,
    "metrics": FakeMetrics,
    "logs": FakeLogs,
    "monitors": FakeMonitors,
    "events": FakeEvents,
    "repository": FakeRepository,
    "chat": FakeChat,
    "errors": FakeErrors,
    "pager": FakePager,
    "flags": FakeFlags,
    "database": FakeDatabase,
}


def inject(world: World, patch: pytest.MonkeyPatch) -> None:
    """Have every port be a fake of this world, wherever the product connects; and no retry takes its time."""
    adapters = {}
    for port, fake in FAKES.items():
        module = ModuleType(f"fake_{port}")
        made = fake(world)
        module.connect = lambda _settings, _environment, made=made: made  # type: ignore[attr-defined]  # ours
        patch.setitem(sys.modules, module.__name__, module)
        names = providers.ADAPTERS.get(port) or ("datadog",)
        adapters[port] = dict.fromkeys(names, module.__name__)
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
        'p95 = "p"': 'p95 = "p95 $colour"',
        'router = {url = "https://router.example.com"}': 'router = {url = "https://router.example.com", '
        'late = "20ms"}\nsmoke = [{path = "/products", contains = "answers"}, {path = "/cart"}]',
        'token = "env:RAILWAY_TOKEN"}': 'token = "env:RAILWAY_TOKEN", deploy_timeout = "200ms"}',
    }.items():
        assert old in text
        text = text.replace(old, new)
    (home / "deploykit.toml").write_text(text + SHIFT + VENDORS, "utf-8")
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
