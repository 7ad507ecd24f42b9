"""The tracker of errors, asked over the wire: each situation has its one outcome, and only health passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from deploykit.checklist import Item
from deploykit.checks.errors import CRITICAL, PROJECT, deployed_at
from deploykit.context import Context
from deploykit.execution import run_check
from deploykit.model import Kind, Outcome, Result
from deploykit.run import Run
from tests.standins import BROKEN, StandIns
from tests.world import Fault, World, log_line

ITEMS = {PROJECT: "checks.errors:project_set_up", CRITICAL: "checks.errors:none_critical"}
Ask = Callable[..., Result]
HEARD = {"v2": 50}


@pytest.fixture
def stand_ins(stand_ins: StandIns) -> StandIns:
    """Sentry knows the releases, and hears of the new one."""
    stand_ins.state("sentry", releases=["v1", "v2"], sessions=HEARD)
    return stand_ins


@pytest.fixture
def run(world: World) -> Run:
    """A run whose service logs."""
    planned = world.plan(approved=False)
    world.lines.append(log_line("info", "GET /products 200"))
    return planned


@pytest.fixture
def context(world: World, run: Run) -> Context:
    return world.context(run)


@pytest.fixture
def ask(run: Run, context: Context, stand_ins: StandIns) -> Ask:
    """The outcome of an item, as a run records it."""

    def asked(item: str, **given: Any) -> Result:
        row = Item(id=item, phase="watch", kind=Kind.CHECK, title="", proof="", provider="", by=ITEMS[item])
        return run_check(run, stand_ins.context(context, **given), row)

    return asked


def issue(title: str = "KeyError: 'price'", **known: Any) -> dict[str, Any]:
    return {"title": title, "release": "v2", **known}


# --- the project is set up


def test_an_active_project_with_a_key_that_knows_the_release_passes(ask: Ask) -> None:
    result = ask(PROJECT)
    assert (result.outcome, result.mend) == (Outcome.PASS, "")
    assert result.summary == "shop is active with 1 active key, and knows v2"
    assert "project" in result.evidence.links


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"status": "pending_deletion"}, "the project is pending_deletion"),
        ({"status": "disabled", "keys": [False]}, "the project is disabled; no key may send errors"),
        ({"keys": []}, "no key may send errors"),
        ({"keys": [False, False]}, "no key may send errors"),
        ({"releases": ["v1"]}, "release v2 is not registered"),
        ({"releases": [{"version": "v2", "projects": ["other"]}]}, "release v2 is not registered"),
    ],
)
def test_what_is_not_set_up_fails_and_is_named(ask: Ask, stand_ins: StandIns, state: dict[str, Any], said: str) -> None:
    stand_ins.state("sentry", **{"releases": ["v1", "v2"], **state})
    result = ask(PROJECT)
    assert (result.outcome, result.summary) == (Outcome.FAIL, said)
    assert result.mend


def test_one_active_key_on_the_last_page_is_enough(ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("sentry", releases=["v2"], keys=[False] * 7 + [True], page=2)
    assert ask(PROJECT).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("state", "mend"),
    [
        ({"status": None}, "errors.project"),
        ({"scopes": ["event:read"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"limit": 0}, "wait"),
    ],
)
def test_a_project_that_may_not_be_seen_is_an_error_with_its_mend(
    ask: Ask, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], mend: str
) -> None:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _: None)
    stand_ins.state("sentry", **state)
    result = ask(PROJECT)
    assert result.outcome is Outcome.ERROR
    assert mend in result.mend


# --- nothing critical


def test_a_release_that_is_heard_of_and_quiet_passes(ask: Ask) -> None:
    result = ask(CRITICAL)
    assert result.outcome is Outcome.PASS
    assert "0 new issues in v2, 0 fatal and 0 critical log lines" in result.summary
    assert result.evidence.facts["sessions of the release"] == 50


@pytest.mark.parametrize(
    "quiet",
    [
        issue(release="v1"),
        issue(status="resolved"),
        issue(level="fatal", release="v1", age=3600),
        issue(environment="staging"),
    ],
)
def test_what_is_old_dealt_with_or_elsewhere_does_not_count(
    ask: Ask, stand_ins: StandIns, quiet: dict[str, Any]
) -> None:
    stand_ins.state("sentry", sessions=HEARD, issues=[quiet])
    assert ask(CRITICAL).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("bad", "table"),
    [
        (issue(), "New in the release"),
        (issue(level="warning"), "New in the release"),
        (issue(level="fatal", release="v1"), "Fatal since the deploy"),
        (issue(level="fatal", release="v1", status="resolved"), "Fatal since the deploy"),
        (issue(level="fatal", release="v1", status="ignored"), "Fatal since the deploy"),
    ],
)
def test_a_new_or_a_fatal_issue_fails(ask: Ask, stand_ins: StandIns, bad: dict[str, Any], table: str) -> None:
    stand_ins.state("sentry", sessions=HEARD, issues=[bad])
    result = ask(CRITICAL)
    assert result.outcome is Outcome.FAIL
    assert table in [shown.title for shown in result.evidence.tables]
    assert "rollback" in result.mend


def test_a_fatal_issue_on_the_last_page_is_seen(ask: Ask, stand_ins: StandIns) -> None:
    issues = [issue(f"E{n}: old", level="fatal", release="v1", age=0) for n in range(7)]
    stand_ins.state("sentry", sessions=HEARD, issues=issues, page=2)
    assert "7 fatal" in ask(CRITICAL).summary


@pytest.mark.parametrize("status", ["emergency", "alert", "critical"])
def test_a_fatal_log_line_fails_and_is_shown(world: World, run: Run, ask: Ask, status: str) -> None:
    world.lines.append(log_line(status))
    result = ask(CRITICAL)
    assert result.outcome is Outcome.FAIL
    assert result.evidence.tables[0].rows[0][1:] == (status, "out of memory")


def test_silence_says_nothing(world: World, ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("sentry", sessions={"v1": 500})
    result = ask(CRITICAL)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "no session of the release" in result.summary
    stand_ins.state("sentry", sessions=HEARD)
    world.lines = []
    result = ask(CRITICAL)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "no log line" in result.summary


def test_a_fatal_issue_fails_even_where_nothing_else_is_heard(ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("sentry", issues=[issue(level="fatal")])
    assert ask(CRITICAL).outcome is Outcome.FAIL


@pytest.mark.parametrize("call", ["logs.count", "logs.search"])
@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED])
def test_logs_that_cannot_be_looked_at_are_an_error(world: World, ask: Ask, call: str, fault: Fault) -> None:
    world.lines.append(log_line("critical"))
    world.broken[call] = fault
    assert ask(CRITICAL).outcome is Outcome.ERROR


def test_hostile_words_of_the_tracker_stay_words(ask: Ask, stand_ins: StandIns) -> None:
    hostile = "<script>alert(1)</script> {{ plan }} $x$ \u202e"
    stand_ins.state("sentry", sessions=HEARD, issues=[issue(hostile)])
    result = ask(CRITICAL)
    assert result.outcome is Outcome.FAIL
    assert result.evidence.tables[0].rows[0][0] == hostile
    assert hostile not in result.summary + result.mend


def test_the_deploy_began_when_its_step_was_intended(run: Run, context: Context) -> None:
    assert deployed_at(context) == run.plan.made_at
    run.intend(item="blue-green.deploy", step="blue-green.deploy", op="o", data={})
    assert deployed_at(context) == datetime.fromisoformat(run.events()[-1].at)


# --- what both have in common


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_tracker_that_does_not_answer_is_an_error_and_never_a_pass(
    ask: Ask, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch, item: str, fault: str
) -> None:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _: None)
    stand_ins.fault("sentry", BROKEN[fault])
    result = ask(item, timeout=0.2)
    assert result.outcome is Outcome.ERROR
    assert result.mend


@pytest.mark.parametrize("item", ITEMS)
def test_a_wrong_token_is_an_error_that_names_its_setting(ask: Ask, item: str) -> None:
    result = ask(item, token="wrong-token")
    assert result.outcome is Outcome.ERROR
    assert "errors.token" in result.mend


@pytest.mark.parametrize("item", ITEMS)
def test_without_its_section_it_is_inconclusive_and_names_it(world: World, run: Run, item: str) -> None:
    context = world.context(run, settings=run.settings.model_copy(update={"errors": None}))
    row = Item(id=item, phase="watch", kind=Kind.CHECK, title="", proof="", provider="", by=ITEMS[item])
    result = run_check(run, context, row)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "[errors]" in result.mend


def test_looking_changes_nothing(ask: Ask, stand_ins: StandIns) -> None:
    ask(PROJECT)
    ask(CRITICAL)
    assert stand_ins.changed() == []
