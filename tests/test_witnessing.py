"""Each message that is posted bears witness: it says how long the journal is, and can be read back."""

from __future__ import annotations

import pytest

from deploykit.checklist import checklist
from deploykit.errors import Unreachable
from deploykit.execution import run_action
from deploykit.journal import witness
from deploykit.journal.events import Type
from deploykit.providers import connect
from deploykit.witnessing import witnessed
from tests.world import Fault, World


def test_a_message_carries_the_head_and_the_journal_says_which_message_knows(world: World) -> None:
    run = world.plan()
    ports = witnessed(connect(run.settings, run.environment), run)
    before = world.events()[-1]
    posted = ports.chat.post("deployments", "It begins.", run=run.id, kind="announced")
    text, _, head = posted.text.partition("\n")
    assert (text, witness.heads(head, run.id)) == ("It begins.", (before.head,))
    (given,) = world.said(Type.WITNESS_GIVEN)
    assert given.data == {**before.head.model_dump(), "place": f"chat deployments {posted.ts}"}
    found = ports.chat.find("deployments", run.id, kind="announced")
    assert found is not None
    assert witness.read(found.text, run.id) == (before.head,)


def test_an_actions_message_is_witnessed_between_its_intent_and_its_end(world: World) -> None:
    run = world.plan()
    ports = witnessed(connect(run.settings, run.environment), run)
    run_action(run, world.context(run, ports=ports), checklist().find("rollback.notified"))
    kinds = [event.type for event in world.events()]
    start = kinds.index(Type.STEP_INTENDED)
    assert kinds[start : start + 3] == [Type.STEP_INTENDED, Type.WITNESS_GIVEN, Type.STEP_HAPPENED]
    assert world.said(Type.WITNESS_GIVEN)[0].data["seq"] == start + 1


def test_a_message_that_may_not_have_been_posted_is_no_witness(world: World) -> None:
    run = world.plan()
    chat = witnessed(connect(run.settings, run.environment), run).chat
    world.fail("chat.post", Fault.LOST)
    with pytest.raises(Unreachable):
        chat.post("deployments", "It begins.", run=run.id, kind="announced")
    assert world.said(Type.WITNESS_GIVEN) == []


def test_everything_else_is_handed_on_as_it_is(world: World) -> None:
    run = world.plan()
    own = connect(run.settings, run.environment)
    ports = witnessed(own, run)
    assert (ports.router, ports.platform, ports.chat) == (own.router, own.platform, ports.chat)
    with pytest.raises(AttributeError):
        _ = ports.chat.nothing_like_it  # type: ignore[attr-defined]  # that is the point
