"""Sending traffic back: tried, read back, set again; and a person is called where it cannot be done."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from deploykit import returning
from deploykit.errors import Exit, RollbackIncompleteError
from deploykit.model import Json
from deploykit.returning import TRIES, is_split, send_back
from tests.world import LIVE, FakeRouter, Fault, World

BACK = "weights blue 0, green 100"


@pytest.fixture
def outside(world: World) -> World:
    """Green is live in the plan, and weights were split since."""
    world.plan(approved=False)
    world.shift(10)
    return world


def back(world: World, *, late: float = 0.0, wait: Callable[[float], None] = lambda _seconds: None) -> Json:
    return send_back(FakeRouter(world), world.run.plan, late=late, wait=wait)


def briefly(_seconds: float) -> None:
    time.sleep(0.001)


def test_it_sets_all_traffic_on_the_plans_live_and_tells_what_was_before(outside: World) -> None:
    facts = back(outside)
    assert outside.weights == LIVE
    assert facts["before"] == {"blue": 10, "green": 90}
    assert facts["weights"] == {"blue": 0, "green": 100}
    assert facts["late_landings"] == 0
    assert outside.effects == [BACK]


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED, Fault.LYING, Fault.LOST])
def test_it_tries_again_until_the_router_has_it_in_force(outside: World, fault: Fault) -> None:
    waits: list[float] = []
    outside.fail("router.set_weights", *[fault] * (TRIES - 1))
    back(outside, wait=waits.append)
    assert outside.weights == LIVE
    assert len(waits) == TRIES - 1
    assert waits == sorted(waits)


def test_weights_that_cannot_be_read_first_do_not_keep_it_from_acting(outside: World) -> None:
    outside.fail("router.weights", Fault.DOWN)
    facts = back(outside)
    assert facts["before"] == {}
    assert outside.effects == [BACK]


def test_a_late_landing_is_set_again_and_said(outside: World) -> None:
    landings = [{"blue": 10, "green": 90}, {"blue": 50, "green": 50}]

    def wait(_seconds: float) -> None:
        time.sleep(0.001)
        if landings:
            outside.weights.update(landings.pop())  # type: ignore[arg-type]  # the keys are colours

    facts = back(outside, late=0.3, wait=wait)
    assert facts["late_landings"] == 2
    assert outside.weights == LIVE
    assert outside.effects == [BACK] * 3


def test_it_goes_on_reading_back_for_as_long_as_a_late_effect_may_land(outside: World) -> None:
    began = time.monotonic()
    back(outside, late=0.05, wait=briefly)
    assert time.monotonic() - began >= 0.05


def test_a_router_that_falls_silent_while_it_is_read_back_is_set_again(outside: World) -> None:
    outside.fail("router.weights", *[Fault.SLOW] * 2, Fault.DOWN)
    facts = back(outside, late=0.2, wait=briefly)
    assert facts["late_landings"] == 0, "nothing landed; it was not to be seen"
    assert outside.effects == [BACK] * 2


@pytest.mark.parametrize("fault", [Fault.DOWN, Fault.REJECTED, Fault.LYING])
def test_a_router_that_cannot_be_made_to_calls_for_a_person_with_what_to_do(outside: World, fault: Fault) -> None:
    outside.broken["router.set_weights"] = fault
    waits: list[float] = []
    with pytest.raises(RollbackIncompleteError, match="could not be set back to green") as caught:
        back(outside, wait=waits.append)
    assert caught.value.exit_code is Exit.ROLLBACK_INCOMPLETE
    assert caught.value.mend == "set green to 100 and blue to 0 at the router by hand, now"
    assert len(waits) == TRIES - 1, "no wait after the last try: a person is called at once"


def test_a_router_that_dies_after_it_was_set_calls_for_a_person(outside: World) -> None:
    def wait(_seconds: float) -> None:
        outside.broken.update({"router.weights": Fault.DOWN})

    with pytest.raises(RollbackIncompleteError, match=r"router\.weights did not answer"):
        back(outside, late=0.05, wait=wait)


def test_a_person_is_called_within_seconds() -> None:
    waits = [0.1 * 2**attempt for attempt in range(1, returning.TRIES)]
    assert sum(waits) <= 3.0


def test_only_traffic_on_both_is_split() -> None:
    assert is_split({"blue": 1, "green": 99})
    assert not is_split({"blue": 0, "green": 100})
    assert not is_split({"blue": 100, "green": 0})
