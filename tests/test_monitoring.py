"""Whether somebody would be told: each situation over the wire, against Datadog's stand-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploykit.checks import monitoring
from deploykit.context import Context
from deploykit.errors import ProviderError, Unreachable, UsageError
from deploykit.execution import could_not_look
from deploykit.model import Outcome, Result
from deploykit.ports import Answered, Http, LogLine, Monitor, Mute
from deploykit.run import Run
from deploykit.sandbox.calls import Fault
from tests.standins import StandIns
from tests.world import Fault as WorldFault
from tests.world import World, answered

SETTINGS = """
[monitoring]
tags = ["service:shop", "env:production"]
required = ["alert:errors", "alert:latency"]

[logs]
query = "service:shop env:production"
within = "300ms"
"""
HOUR = 3600.0


@dataclass
class Ports:
    """The stand-ins' adapters, and a service that writes a log line for each request."""

    stand_ins: StandIns
    written: Callable[[str], str | None] = lambda url: f"GET {url} 200"
    status: int = 200
    asked: list[str] = field(default_factory=list)

    @property
    def http(self) -> Http:
        return self

    def get(self, url: str, *, timeout: float = 5.0) -> Answered:  # noqa: ARG002 - the port's
        if not self.status:
            raise Unreachable("the service did not answer", where="http", mend="look at it")
        self.asked.append(url)
        message = self.written(url)
        if message is not None:
            entry = {"message": message, "service": "shop", "ddtags": "env:production"}
            self.stand_ins.datadog.logs.take([entry])
        return answered(self.status)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stand_ins, name)


@pytest.fixture
def run(world: World) -> Run:
    world.settings_file.write_text(world.settings_file.read_text("utf-8") + SETTINGS, "utf-8")
    return world.plan(approved=False)


@pytest.fixture
def ports(stand_ins: StandIns) -> Ports:
    return Ports(stand_ins)


@pytest.fixture
def context(world: World, run: Run, ports: Ports) -> Context:
    # Real time: a downtime in half an hour lies within the window.
    return world.context(run, ports=ports, plan=run.plan.model_copy(update={"time_scale": 1.0}))


def look(context: Context, check: Callable[[Context], Result]) -> Result:
    """As the runner does it: what cannot be looked at is an error."""
    try:
        return check(context)
    except ProviderError as error:
        return could_not_look("x", error)


# --- monitors

ERRORS, LATENCY = "Shop fails requests", "Shop is slow"


@pytest.mark.parametrize(
    ("differences", "outcome", "said"),
    [
        ({}, Outcome.PASS, "all 2 required monitors can tell somebody"),
        ({"monitors": {"errors": {"overall_state": "Warn"}}}, Outcome.PASS, "all 2"),
        ({"monitors": {"memory": {"overall_state": "Alert"}}}, Outcome.PASS, "all 2"),
        ({"monitors": {"errors": None}}, Outcome.FAIL, "no monitor carries alert:errors"),
        ({"monitors": {"errors": {"tags": ["service:shop", "alert:errors"]}}}, Outcome.FAIL, "carries alert:errors"),
        ({"monitors": {"errors": {"tags": None}}}, Outcome.FAIL, "no monitor carries alert:errors"),
        ({"monitors": {"errors": {"overall_state": "No Data"}}}, Outcome.FAIL, f"{ERRORS}: it has no data"),
        ({"monitors": {"errors": {"overall_state": "Alert"}}}, Outcome.FAIL, f"{ERRORS}: it alerts already"),
        ({"monitors": {"errors": {"overall_state": "Ignored"}}}, Outcome.INCONCLUSIVE, "its state is Ignored"),
        ({"monitors": {"errors": {"overall_state": "Skipped"}}}, Outcome.INCONCLUSIVE, "its state is Skipped"),
        ({"monitors": {"errors": {"overall_state": None}}}, Outcome.INCONCLUSIVE, "its state is without a state"),
        ({"monitors": {"errors": {"message": "Look!"}}}, Outcome.FAIL, f"{ERRORS}: it tells nobody"),
        ({"monitors": {"errors": {"message": None}}}, Outcome.FAIL, f"{ERRORS}: it tells nobody"),
        (
            {"monitors": {"errors": {"message": "Well again {{#is_recovery}}@pagerduty-shop{{/is_recovery}}"}}},
            Outcome.FAIL,
            f"{ERRORS}: it tells nobody",
        ),
        ({"monitors": {"errors": {"draft_status": "draft"}}}, Outcome.FAIL, "it is a draft, which notifies nobody"),
        ({"monitors": {"errors": {"options": {"silenced": {"*": None}}}}}, Outcome.FAIL, "muted for *, without an end"),
        ({"monitors": {"errors": {"options": {"silenced": {"*": 1}}}}}, Outcome.PASS, "all 2"),
        ({"monitors": {"errors": {"options": {"silenced": {"host:a": None}}}}}, Outcome.PASS, "all 2"),
        ({"monitors": {"errors": {"options": None}}}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"monitor": "errors", "message": "moving"}]}, Outcome.FAIL, "downtime for *: moving, from"),
        ({"downtimes": [{"tags": ["service:shop"], "scope": "env:production"}]}, Outcome.FAIL, LATENCY),
        ({"downtimes": [{"monitor": "errors", "start": HOUR / 2, "end": HOUR}]}, Outcome.FAIL, ERRORS),
        ({"downtimes": [{"monitor": "errors", "start": 9 * HOUR, "end": 10 * HOUR}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"monitor": "errors", "start": -9 * HOUR, "end": -HOUR}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"monitor": "errors", "status": "canceled"}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"monitor": "staging"}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"tags": ["*"], "scope": "env:staging"}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"tags": ["*"], "scope": "host:web-1"}]}, Outcome.PASS, "all 2"),
        ({"downtimes": [{"tags": ["*"], "scope": "env:(staging OR production)"}]}, Outcome.FAIL, ERRORS),
        ({"rights": ["monitors_read"]}, Outcome.ERROR, "it answered 403: Failed permission"),
        ({"rights": []}, Outcome.ERROR, "it answered 403"),
        ({"limits": {"monitors": [0, 3600]}}, Outcome.ERROR, "too many requests"),
    ],
)
def test_monitors(
    context: Context, stand_ins: StandIns, differences: dict[str, Any], outcome: Outcome, said: str
) -> None:
    stand_ins.state("datadog", **differences)
    result = look(context, monitoring.alerts)
    assert said in result.summary
    assert result.outcome is outcome
    assert bool(result.mend) is (outcome is not Outcome.PASS)


BROKEN = [
    (Fault(status=500), "500"),
    (Fault(garbage=True), "cannot be used"),
    (Fault(reset=True), "broke"),
    (Fault(status=429), "too many requests"),
    (None, "nothing was sent"),
]


@pytest.mark.parametrize("check", [monitoring.alerts, monitoring.logs_arrive], ids=lambda check: check.__name__)
@pytest.mark.parametrize(("fault", "said"), BROKEN)
def test_what_cannot_be_asked_is_an_error(
    context: Context,
    stand_ins: StandIns,
    monkeypatch: pytest.MonkeyPatch,
    check: Callable[[Context], Result],
    fault: Fault | None,
    said: str,
) -> None:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _seconds: None)
    stand_ins.fault("datadog", fault)
    result = look(context, check)
    assert result.outcome is Outcome.ERROR
    assert said in result.summary
    assert result.mend


def test_many_pages_of_monitors_and_downtimes_are_read(context: Context, stand_ins: StandIns) -> None:
    tags = ["service:shop", "env:production", "alert:latency"]
    many = {f"more-{n}": {"tags": tags, "message": "@x", "name": f"more {n}"} for n in range(120)}
    downtimes = [{"tags": ["service:other"]} for _ in range(130)] + [{"monitor": "more-119"}]
    stand_ins.state("datadog", monitors=many, downtimes=downtimes)
    result = monitoring.alerts(context)
    assert result.outcome is Outcome.FAIL
    assert result.summary.startswith("more 119: downtime for *")
    assert len(result.evidence.tables[0].rows) == 122


def test_a_hostile_monitor_is_data(context: Context, stand_ins: StandIns) -> None:
    name = "<script>alert(1)</script>\n# heading {{ 7*7 }}"
    stand_ins.state("datadog", monitors={"errors": {"name": name, "overall_state": "No Data"}})
    result = monitoring.alerts(context)
    assert result.evidence.tables[0].rows[0][0] == name
    assert result.evidence.links == {
        name: "https://app.example.com/monitors/150000001",
        LATENCY: "https://app.example.com/monitors/150000002",
    }


# --- logs


@pytest.mark.parametrize(
    ("written", "status", "outcome", "said"),
    [
        (lambda url: f"GET {url} 200", 200, Outcome.PASS, "the line was found after"),
        (lambda url: f"GET {url} 404", 404, Outcome.PASS, "the line was found after"),
        (lambda url: f'{{"level": "info", "message": "GET {url} 200"}}', 200, Outcome.PASS, "the line was found"),
        (lambda url: f"GET {url}0 200", 200, Outcome.FAIL, "not found within 0.3 s, though 1 others of the service"),
        (lambda url: f"GET {url.partition('?')[0]} 200", 200, Outcome.FAIL, "though 1 others"),
        (lambda _url: None, 200, Outcome.FAIL, "no line of the service came within 0.3 s"),
        (lambda url: f"GET {url} 200", 0, Outcome.ERROR, "the service did not answer"),
    ],
)
def test_logs(
    context: Context,
    ports: Ports,
    written: Callable[[str], str | None],
    status: int,
    outcome: Outcome,
    said: str,
) -> None:
    ports.written, ports.status = written, status
    result = look(context, monitoring.logs_arrive)
    assert said in result.summary
    assert result.outcome is outcome
    assert bool(result.mend) is (outcome is not Outcome.PASS)
    assert len(ports.asked) == (1 if status else 0)


def test_each_look_uses_a_word_of_its_own(context: Context, ports: Ports) -> None:
    first, second = (monitoring.logs_arrive(context).evidence.facts["marker"] for _ in range(2))
    assert first != second
    assert ports.asked == [f"https://shop.example.com/version?deploykit={marker}" for marker in (first, second)]


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        ({"log_delay": 0.05}, Outcome.PASS),
        ({"log_delay": 60}, Outcome.FAIL),
        ({"lost": True}, Outcome.FAIL),
        ({"rights": []}, Outcome.ERROR),
    ],
)
def test_lines_that_come_late_or_never(
    context: Context, stand_ins: StandIns, differences: dict[str, Any], outcome: Outcome
) -> None:
    stand_ins.state("datadog", **differences)
    assert look(context, monitoring.logs_arrive).outcome is outcome


def test_a_search_that_finds_what_was_never_written_proves_nothing(
    world: World, context: Context, ports: Ports, stand_ins: StandIns
) -> None:
    world.edit('within = "300ms"', 'within = "300ms"\nmarked = "($marker OR *)"')
    stand_ins.datadog.logs.take([{"message": "any", "service": "shop", "ddtags": "env:production"}])
    result = monitoring.logs_arrive(replace(context, settings=world.settings()))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "logs.marked" in result.mend
    assert ports.asked == []


def test_a_passing_fault_while_waiting_is_not_the_end(context: Context, ports: Ports, stand_ins: StandIns) -> None:
    def written(url: str) -> str:
        stand_ins.fault("datadog", Fault(status=500, times=2))
        return f"GET {url} 200"

    ports.written = written
    assert monitoring.logs_arrive(context).outcome is Outcome.PASS


def test_a_hostile_line_is_data(context: Context, ports: Ports) -> None:
    ports.written = lambda url: f"GET {url} 200 <img src=x onerror=alert(1)>"
    result = monitoring.logs_arrive(context)
    assert result.evidence.text.endswith("<img src=x onerror=alert(1)>")
    assert "<img" not in result.summary


# --- what is not set up, and other vendors


def test_what_is_not_set_up_is_inconclusive_and_says_what_to_write(world: World) -> None:
    context = world.context(world.plan(approved=False))
    for check, section in ((monitoring.alerts, "[monitoring]"), (monitoring.logs_arrive, "[logs]")):
        result = check(context)
        assert result.outcome is Outcome.INCONCLUSIVE
        assert section in result.mend


def test_any_other_vendor_is_judged_alike(world: World, run: Run) -> None:
    context = world.context(run)
    good = Monitor("1", "m", "ok", "Fine", ("service:shop", "env:production", "alert:errors"), ("@a",), (), "")
    also = Monitor("2", "n", "ok", "Fine", ("service:shop", "env:production", "alert:latency"), ("@a",), (), "")
    world.watching = [good, also]
    assert monitoring.alerts(context).outcome is Outcome.PASS
    over = Mute("lunch", end=datetime.now(UTC) - timedelta(seconds=1))
    world.watching = [good, Monitor(**{**vars(also), "mutes": (over, Mute("part of it", whole=False))})]
    assert monitoring.alerts(context).outcome is Outcome.PASS
    world.watching = [good, Monitor(**{**vars(also), "state": "odd", "word": "Odd"})]
    assert monitoring.alerts(context).outcome is Outcome.INCONCLUSIVE
    world.lines = [LogLine(datetime.now(UTC), "info", "shop", "something else")]
    assert monitoring.logs_arrive(context).outcome is Outcome.FAIL
    world.fail("logs.search", WorldFault.SLOW, *[WorldFault.DOWN] * 10_000)
    assert monitoring.logs_arrive(context).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('within = "300ms"', "within = 300", "logs.within"),
        ('within = "300ms"', 'path = "/version"', "logs.path"),
        ('within = "300ms"', 'marked = "@path:*"', "logs.marked"),
        ('within = "300ms"', 'wihtin = "300ms"', "logs.wihtin: unknown key"),
        ('required = ["alert:errors", "alert:latency"]', "required = []", "monitoring.required"),
        ('tags = ["service:shop", "env:production"]', "", "monitoring.tags"),
    ],
)
def test_settings_that_prove_nothing_are_refused(world: World, old: str, new: str, place: str) -> None:
    world.settings_file.write_text(world.settings_file.read_text("utf-8") + SETTINGS.replace(old, new), "utf-8")
    with pytest.raises(UsageError) as caught:
        world.settings()
    assert place in caught.value.what
