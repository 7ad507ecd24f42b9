"""Actions: what is done, what is found, and what is said of it; what the journal holds of it is execution's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploykit.actions import finish
from deploykit.actions.deploy import Deploy
from deploykit.actions.incident import IncidentReport
from deploykit.actions.notify import RolledBack
from deploykit.actions.restore import MIGRATION
from deploykit.actions.rollback import Platform
from deploykit.actions.step import Step, Unseen
from deploykit.actions.traffic import Traffic
from deploykit.checklist import Item, checklist
from deploykit.context import Context, StopAskedError
from deploykit.databases import MIGRATE
from deploykit.errors import Rejected, Unreachable, UsageError
from deploykit.journal.events import Type
from deploykit.model import Kind, Outcome, Result, canonical, now
from deploykit.platforms import newest, wait_for
from deploykit.ports import Incident
from deploykit.run import Run
from tests.world import COMMITS, DATABASE, Fault, World, answered, deployment


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


@pytest.fixture
def context(world: World, run: Run) -> Context:
    return world.context(run)


def only(action: Any) -> Step:
    (step,) = action.steps()
    assert isinstance(step, Step)
    return step


# --- waiting for the platform


def test_a_deployment_is_waited_for_until_it_ended(world: World, run: Run, context: Context) -> None:
    world.deployments["shop-blue"].insert(0, deployment("new", run.plan.commit, "pending"))
    ends = deployment("new", run.plan.commit)
    world.pauses = [lambda: None, lambda: world.deployments["shop-blue"].__setitem__(0, ends)]
    assert wait_for(context, "shop-blue", run.plan.commit) == ends
    assert "PENDING after" in world.progress[0]


def test_a_platform_that_does_not_answer_for_a_while_is_asked_again(world: World, run: Run, context: Context) -> None:
    world.deployed(run)
    world.fail("platform.deployments", Fault.DOWN, Fault.DOWN)
    assert wait_for(context, "shop-blue", run.plan.commit).id == "release"
    assert "did not answer" in world.progress[0]


@pytest.mark.parametrize("broken", [True, False])
def test_waiting_ends_with_the_last_word_when_it_took_too_long(
    world: World, run: Run, context: Context, *, broken: bool
) -> None:
    world.deployments["shop-blue"].insert(0, deployment("new", run.plan.commit, "pending"))
    if broken:
        world.broken["platform.deployments"] = Fault.DOWN
    with pytest.raises(Unreachable, match=r"was not ready within 0 s; last word: .*(PENDING|did not answer)"):
        wait_for(context, "shop-blue", run.plan.commit)


def test_waiting_ends_when_somebody_asks_to_stop(world: World, run: Run, context: Context) -> None:
    def stop() -> None:
        raise StopAskedError("bob says so")

    world.pauses = [stop]
    with pytest.raises(StopAskedError):
        wait_for(context, "shop-blue", run.plan.commit)


def test_a_service_without_deployments_is_named(world: World, context: Context) -> None:
    world.deployments["shop-blue"] = []
    with pytest.raises(Rejected, match="no deployment of shop-blue"):
        newest(context.ports.platform, "shop-blue")


# --- deploy


def test_deploying_names_service_release_and_commit_before_it_begins(run: Run, context: Context) -> None:
    assert only(Deploy(context)).intent == {"service": "shop-blue", "release": "v2", "commit": run.plan.commit}


def test_a_deployment_passes_when_the_candidate_says_that_it_is_the_release(world: World, context: Context) -> None:
    step = only(Deploy(context))
    assert step.probe() is False
    assert step.do("op") == {"deployment": "deployment-1"}
    assert step.probe() is True
    result = step.settle()
    assert (result.outcome, result.summary) == (Outcome.PASS, f"blue runs v2 ({'c' * 9})")
    assert world.effects == ["deploy shop-blue"]


@pytest.mark.parametrize("state", ["failed", "gone"])
def test_a_deployment_that_did_not_come_up_fails_with_the_platforms_word(
    world: World, context: Context, state: str
) -> None:
    world.lands = state
    step = only(Deploy(context))
    step.do("op")
    result = step.settle()
    assert (result.outcome, result.summary) == (Outcome.FAIL, f"the platform says {state.upper()} for v2")
    assert result.mend


def test_a_candidate_that_says_another_release_fails(world: World, context: Context) -> None:
    step = only(Deploy(context))
    step.do("op")
    world.pages["https://blue.example.com/version"] = answered(body={"version": "v1"})
    assert step.settle().summary == "the candidate says v1, not v2"


def test_a_service_that_never_ran_is_not_deployed_to(world: World, context: Context) -> None:
    world.deployments["shop-blue"] = []
    with pytest.raises(Rejected, match="never ran here"):
        only(Deploy(context)).do("op")
    assert world.effects == []


# --- roll the platform back


def test_the_platform_goes_back_to_the_newest_other_deployment_that_it_can(
    world: World, run: Run, context: Context
) -> None:
    world.deployments["shop-blue"] = [
        deployment("bad", run.plan.commit),
        deployment("bad-before", run.plan.commit),
        deployment("expired", COMMITS["v1"], can_roll_back=False),
        deployment("good", COMMITS["old"]),
    ]
    step = only(Platform(context))
    assert step.probe() is False
    assert step.do("op") == {"deployment": "good", "commit": COMMITS["old"]}
    assert step.probe() is True
    result = step.settle()
    assert (result.outcome, result.evidence.facts["deployment"]) == (Outcome.PASS, "back-to-good")


def test_where_the_release_does_not_run_nothing_is_rolled_back(world: World, context: Context) -> None:
    step = only(Platform(context))
    assert step.do("op") == {"done": "nothing: the release is not what runs there"}
    assert step.settle().outcome is Outcome.PASS
    assert world.effects == []


def test_a_night_of_many_tries_hides_no_way_back(world: World, run: Run, context: Context) -> None:
    tries = [deployment(f"try-{number}", run.plan.commit) for number in range(20)]
    world.deployments["shop-blue"] = [*tries, deployment("good", COMMITS["v1"])]
    assert only(Platform(context)).do("op")["deployment"] == "good"


def test_without_an_earlier_deployment_there_is_nothing_to_go_back_to(world: World, run: Run, context: Context) -> None:
    world.deployments["shop-blue"] = [deployment("bad", run.plan.commit)]
    with pytest.raises(Rejected, match="no earlier deployment") as caught:
        only(Platform(context)).do("op")
    assert "traffic is on live" in caught.value.mend


def test_a_rollback_that_does_not_come_up_fails_and_says_that_traffic_is_on_live(
    world: World, run: Run, context: Context
) -> None:
    world.deployed(run)
    world.lands = "failed"
    step = only(Platform(context))
    step.do("op")
    result = step.settle()
    assert result.outcome is Outcome.FAIL
    assert "traffic is on live" in result.mend


# --- tell the team


def without_pager(context: Context) -> Context:
    return replace(context, settings=context.settings.model_copy(update={"pager": None}))


def test_the_team_is_told_once_with_reason_and_run(world: World, run: Run, context: Context) -> None:
    run.append("rollback.asked", data={"reason": "10 % failed"})  # type: ignore[arg-type]  # the word itself
    chat, pager = RolledBack(context).steps()
    assert (chat.probe(), pager.probe()) == (False, False)
    first, opened = chat.do("op"), pager.do("op")
    assert chat.do("op") == {**first, "found": "posted before"}
    assert pager.do("op") == {**opened, "found": "opened before"}
    assert world.effects == ["post rolled-back", f"open deploykit/{run.id}"]
    text = world.messages[0][1].text
    assert "shop v2 in production was rolled back; v1 serves. Reason: 10 % failed." in text
    assert run.id in text
    assert [step.probe() for step in (chat, pager)] == [True, True]
    results = [step.settle() for step in (chat, pager)]
    assert [(result.item, result.outcome) for result in results] == [
        ("rollback.notified/chat", Outcome.PASS),
        ("rollback.notified/pager", Outcome.PASS),
    ]
    assert results[1].evidence.links == {"incident Q1": "https://pager.example/incidents/Q1"}


def test_without_a_pager_the_chat_is_told_and_says_so(world: World, context: Context) -> None:
    step = only(RolledBack(without_pager(context)))
    step.do("op")
    result = step.settle()
    assert (step.id, result.outcome) == ("rollback.notified/chat", Outcome.PASS)
    assert "[pager]" in str(result.evidence.facts["pager"])
    assert world.effects == ["post rolled-back"]


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED])
def test_a_pager_that_fails_fails_alone(world: World, context: Context, fault: Fault) -> None:
    world.broken["pager.find"] = world.broken["pager.open"] = fault
    chat, pager = RolledBack(context).steps()
    chat.do("op")
    assert chat.settle().outcome is Outcome.PASS
    with pytest.raises((Unreachable, Rejected)):
        pager.do("op")
    assert world.effects == ["post rolled-back"]


def test_an_incident_whose_answer_was_lost_is_found_and_not_opened_again(world: World, context: Context) -> None:
    world.fail("pager.open", Fault.LOST)
    _, pager = RolledBack(context).steps()
    with pytest.raises(Unreachable):
        pager.do("op")
    assert pager.probe() is True
    assert "found" in pager.do("op")
    assert len(world.incidents) == 1


@pytest.mark.parametrize(
    ("call", "number", "mend"),
    [("chat.post", 0, "tell #deployments yourself"), ("pager.open", 1, "open the incident yourself")],
)
def test_what_is_not_there_afterwards_fails(world: World, context: Context, call: str, number: int, mend: str) -> None:
    world.fail(call, Fault.LYING)
    step = RolledBack(context).steps()[number]
    step.do("op")
    result = step.settle()
    assert (result.outcome, result.mend) == (Outcome.FAIL, mend)


# --- the incident report


def test_the_incident_report_is_written_whole_and_links_the_incident(world: World, run: Run, context: Context) -> None:
    RolledBack(context).steps()[1].do("op")
    step = only(IncidentReport(context))
    assert step.probe is Unseen.REPEAT, "writing it again does no harm"
    facts = step.do("op")
    assert (run.folder / "incident.md").read_text("utf-8") == (
        "# Incident\n\nIt went back.\n\n## At the pager\n\n"
        "- Incident Q1, triggered: shop v2 in production was rolled back <https://pager.example/incidents/Q1>\n"
        "\n## To talk about\n\nThe post-mortem is in `post-mortem.ics` beside this file. "
        "What could have shown it earlier, and what took long?\n"
    )
    assert (run.folder / "incident" / "1.png").read_bytes() == b"a picture"
    assert step.settle().summary == "incident.md lies in the run's folder, 11 lines"
    assert only(IncidentReport(context)).settle().outcome is Outcome.PASS
    assert only(IncidentReport(context)).do("op") == facts


@pytest.mark.parametrize(
    ("fault", "said"),
    [(Fault.DOWN, "It could not be asked: pager.find did not answer"), (None, "No incident was opened.")],
)
def test_the_incident_report_is_written_whatever_the_pager_says(
    world: World, run: Run, context: Context, fault: Fault | None, said: str
) -> None:
    world.broken |= {"pager.find": fault} if fault else {}
    only(IncidentReport(context)).do("op")
    assert said in (run.folder / "incident.md").read_text("utf-8")
    only(IncidentReport(without_pager(context))).do("op")
    assert "No pager is set." in (run.folder / "incident.md").read_text("utf-8")


def test_what_the_pager_says_is_neither_markup_nor_a_link_in_the_report(
    world: World, run: Run, context: Context
) -> None:
    hostile = "[click](https://evil.example) <script>\u202e\n# Heading"
    world.incidents[f"deploykit/{run.id}"] = Incident(hostile, hostile, hostile, "javascript:alert(1)>")
    only(IncidentReport(context)).do("op")
    written = (run.folder / "incident.md").read_text("utf-8").partition("## At the pager")[2]
    written = written.partition("\n## To talk about")[0]
    assert "<script>" not in written.replace("\\<", "")
    assert "[click]" not in written.replace("\\[", "")
    assert "\n#" not in written
    assert "\u202e" not in written
    assert "<javascript" not in written


# --- traffic


def test_traffic_is_one_step_a_share_from_what_was_before_to_what_comes_next(context: Context) -> None:
    steps = Traffic(context).steps()
    assert [step.id for step in steps] == [f"blue-green.traffic/{share}" for share in (10, 50, 100)]
    assert steps[0].intent == {"from": {"green": 100, "blue": 0}, "to": {"blue": 10, "green": 90}}
    assert steps[2].intent == {"from": {"blue": 50, "green": 50}, "to": {"blue": 100, "green": 0}}
    assert all(step.moves_traffic for step in steps)


@pytest.mark.parametrize(
    ("blue", "answer"),
    [(0, False), (10, True), (50, None), (11, None)],
)
def test_a_shifts_probe_tells_before_and_after_and_nothing_else(
    world: World, context: Context, blue: int, *, answer: bool | None
) -> None:
    world.shift(blue)
    assert Traffic(context).steps()[0].probe() is answer


def test_a_guard_is_seen_to_before_the_intent_and_only_where_weights_are_split(world: World, context: Context) -> None:
    first, second, last = Traffic(context).steps()
    assert last.ready is None
    for step in (first, second):
        assert step.ready is not None
        step.ready()
    assert world.guard_calls == ["start", "start"]
    assert world.effects == []


@pytest.mark.parametrize("blue", [1, 50, 100])
def test_weights_that_somebody_else_moved_are_not_shifted_from(world: World, context: Context, blue: int) -> None:
    """Such as an effect of a holder who was paused past his lock, and landed late."""
    first, *_ = Traffic(context).steps()
    world.shift(blue)
    with pytest.raises(Rejected, match="somebody else moved the weights"):
        first.do("op")
    assert world.effects == []


# --- how an unseen end is settled


@pytest.fixture
def needed(world: World) -> Context:
    """A run that migrated, and that goes back with its database: every action has something to do."""
    world.edit('window = "10000h"', f'window = "10000h"\n{DATABASE}')
    run, step = world.plan(approved=False), f"{MIGRATE}/0002"
    run.intend(item=MIGRATE, step=step, op="op", data={"from": "0001", "to": "0002"})
    run.append(Type.STEP_HAPPENED, item=MIGRATE, step=step, op="op")
    run.append(Type.ROLLBACK_ASKED, data={"reason": "10 % failed", "database": True})
    run.settle(Result(item=MIGRATION, outcome=Outcome.FAIL, summary="it did not go back"))
    return world.context(run)


@pytest.mark.parametrize("item", [item for item in checklist().item if item.kind is Kind.ACTION], ids=lambda i: i.id)
def test_every_step_of_every_action_says_how_an_unseen_end_is_settled_and_the_same_intent_twice(
    needed: Context, item: Item
) -> None:
    steps, again = item.load()(needed).steps(), item.load()(needed).steps()
    assert steps
    assert all(callable(step.probe) for step in steps)
    assert all(step.id == item.id or step.id.startswith(f"{item.id}/") for step in steps)
    assert [(step.id, canonical(step.intent)) for step in steps] == [(s.id, canonical(s.intent)) for s in again]


def _never() -> Result:
    raise AssertionError


@pytest.mark.parametrize("probe", [None, "", True])
def test_a_step_that_does_not_say_how_cannot_be_made(probe: Any) -> None:
    with pytest.raises(UsageError, match="does not say how an unseen end is settled"):
        Step(id="x", intent={}, do=lambda _op: {}, probe=probe, settle=_never)
    with pytest.raises(TypeError, match="probe"):
        Step(id="x", intent={}, do=lambda _op: {}, settle=_never)  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize("unseen", Unseen)
def test_where_there_is_nothing_to_look_at_looking_tells_nothing(unseen: Unseen) -> None:
    assert unseen() is None


def test_a_step_passes_no_earlier_than_its_time(world: World, context: Context) -> None:
    looks = 0

    def counted(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        world.pause(0.0)

    slower = context.plan.model_copy(update={"time_scale": 1000.0})
    step = Traffic(world.context(world.run, plan=slower, pause=counted)).steps()[0]
    step.do("op")
    result = step.settle()
    assert result.outcome is Outcome.PASS
    assert float(str(result.evidence.facts["seconds"])) >= 0.1 - 0.05
    assert world.guard_calls == ["start"] * looks


@pytest.mark.parametrize(("blue", "outcome"), [(0.10, Outcome.PASS), (0.11, Outcome.PASS), (0.30, Outcome.FAIL)])
def test_the_counted_share_may_differ_by_chance_and_no_more(
    world: World, context: Context, blue: float, outcome: Outcome
) -> None:
    world.sends = {"blue": blue, "green": 1 - blue}
    step = Traffic(context).steps()[0]
    step.do("op")
    result = step.settle()
    assert result.outcome is outcome
    assert f"{blue:.1%} of " in result.summary
    assert "requests went to the candidate" in result.summary


def test_a_step_is_held_until_enough_requests_were_counted_to_show_where_they_go(
    world: World, context: Context
) -> None:
    world.rate = 10
    patient = context.plan.model_copy(update={"hold_limit_seconds": 6000.0})
    step = Traffic(replace(context, plan=patient)).steps()[0]
    step.do("op")
    result = step.settle()
    assert result.outcome is Outcome.PASS
    assert int(str(result.evidence.facts["counted"])) >= 99
    assert any("requests, and 99 show where they go" in line for line in world.progress)


def test_a_quiet_night_is_a_hold_and_not_a_pass(world: World, context: Context) -> None:
    world.rate = 0
    step = Traffic(context).steps()[0]
    step.do("op")
    result = step.settle()
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "held too long: the router counted 0 requests, and 99 show where they go" in result.summary


def test_weights_that_a_restart_of_the_router_lost_are_set_again_and_said(world: World, context: Context) -> None:
    def restart() -> None:
        world.counters = dict.fromkeys(world.counters, 0.0)
        world.shift(0)

    world.counters = {"blue": 9000.0, "green": 9000.0}
    step = Traffic(context).steps()[0]
    step.do("op")
    world.pauses = [lambda: None, restart]
    result = step.settle()
    assert result.outcome is Outcome.PASS
    assert world.effects == ["weights blue 10, green 90"] * 2
    (drift,) = world.said(Type.DRIFT_FOUND)
    assert str(drift.data["text"]).startswith("the router was restarted and had the weights {'blue': 0, 'green': 100}")


def test_a_restart_that_kept_the_weights_begins_the_count_anew(world: World, context: Context) -> None:
    world.counters = {"blue": 9000.0, "green": 9000.0}
    step = Traffic(context).steps()[0]
    step.do("op")
    world.pauses = [lambda: None, lambda: world.counters.update(dict.fromkeys(world.counters, 0.0))]
    assert step.settle().outcome is Outcome.PASS
    assert world.effects == ["weights blue 10, green 90"]


def test_weights_that_were_moved_without_a_restart_are_somebody_elses(world: World, context: Context) -> None:
    step = Traffic(context).steps()[0]
    step.do("op")
    world.pauses = [lambda: None, lambda: world.shift(0)]
    result = step.settle()
    assert (result.outcome, world.effects) == (Outcome.FAIL, ["weights blue 10, green 90"])
    assert "somebody else moved the weights" in result.summary


# --- the log


def test_what_was_written_a_moment_ago_is_waited_for_before_it_is_taken_for_not_written(
    world: World, run: Run, context: Context
) -> None:
    step = written_last(context)
    run.intend(item="finish.log", step=step.id, op="op", data=step.intent)
    world.pauses = [lambda: None, lambda: world.marks.update({run.id: "event-0"})]
    assert (step.probe(), world.pauses) == (True, [])


def test_what_was_written_long_ago_would_show_by_now(
    world: World, run: Run, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = written_last(context)
    run.intend(item="finish.log", step=step.id, op="op", data=step.intent)
    monkeypatch.setattr(finish, "now", lambda: now() + timedelta(minutes=2))
    world.pauses = [lambda: pytest.fail("there is nothing to wait for")]
    assert step.probe() is False


def written_last(context: Context) -> Step:
    step = finish.Log(context).steps()[-1]
    assert step.id == "finish.log/events"
    return step
