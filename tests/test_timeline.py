"""Events as sentences: what is told, in which tone, and by whom."""

from __future__ import annotations

import pytest

from deploykit.journal.events import GENESIS, Actor, Event, Type
from deploykit.model import Json
from deploykit.timeline import moments

STEP = "blue-green.traffic/10"
SIGNED: Json = {"by": "person", "decision": {"comment": "seen at the router"}}


def event(kind: Type, data: Json, actor: str = "runner") -> Event:
    who = Actor.model_validate({"kind": actor, "id": "ann@example.com" if actor == "person" else "shop"})
    return Event(
        run="r-7f3a",
        seq=1,
        at="2026-11-23T03:10:00.000Z",
        boot="b",
        boot_ns=1,
        actor=who,
        host="h",
        type=kind,
        item="blue-green.traffic",
        step=STEP,
        data=data,
        prev=GENESIS,
    )


@pytest.mark.parametrize(
    ("kind", "data", "told", "tone"),
    [
        (Type.STEP_HAPPENED, {"weights": {"blue": 10}}, f"{STEP} happened", "good"),
        (Type.STEP_HAPPENED, {"by": "probe"}, f"{STEP} happened, says a probe", "care"),
        (Type.STEP_HAPPENED, SIGNED, f"{STEP} happened, says a person: seen at the router", "care"),
        (Type.STEP_REJECTED, SIGNED, f"{STEP} did not happen, says a person: seen at the router", "care"),
        (Type.STEP_REJECTED, {"reason": "no"}, f"{STEP} was refused by the outside system: no", "bad"),
        (Type.STEP_UNKNOWN, {"reason": "no answer"}, f"{STEP} ended unseen: no answer", "bad"),
        (Type.LOCK_BROKEN, SIGNED, "the lock was broken: seen at the router", "bad"),
        (Type.DRIFT_FOUND, {"text": "it landed late"}, "drift: it landed late", "bad"),
        (Type.NOTE_WRITTEN, {"text": "cold cache"}, "note: cold cache", "plain"),
        (Type.WITNESS_GIVEN, {"place": "chat"}, "journal witnessed: chat", "plain"),
    ],
)
def test_each_event_is_told_in_its_words_and_tone(kind: Type, data: Json, told: str, tone: str) -> None:
    (moment,) = moments([event(kind, data)])
    assert (moment.what, moment.tone) == (told, tone)


def test_a_signed_word_names_who_signed_it() -> None:
    (moment,) = moments([event(Type.STEP_HAPPENED, SIGNED, "person")])
    assert moment.who == "person ann@example.com"


def test_what_is_of_no_interest_is_left_out() -> None:
    assert list(moments([event(Type.LOCK_TAKEN, {})])) == []
