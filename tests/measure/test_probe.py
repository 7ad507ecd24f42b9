"""Every query is tried before the deployment: what does not exist is an error that names its key."""

from __future__ import annotations

import pytest

from deploykit import measure, planning
from deploykit.errors import UsageError
from tests.world import SERVICE, Fault, World


def probe(world: World, *, serving: bool = True) -> tuple[str, ...]:
    settings = world.settings()
    return measure.probe(world.metrics(), settings.metrics, "green", serving=serving)


def test_queries_that_answer_are_fine(world: World) -> None:
    assert probe(world) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unreported": {"errors green"}}, "metrics.errors: no metric errors was ever reported"),
        (
            {"served": {"requests green": None}},
            "metrics.requests: no points of green in the last hour, though it serves",
        ),
        ({"served": {"p95 green": None}}, "metrics.p95: no points of green in the last hour, though it serves"),
        ({"units": {"p95 green": "s"}}, "metrics.p95: the vendor says that it is in s, not in ms"),
        ({"units": {"p95 green": "request"}}, "metrics.p95: the vendor says that it is in request, not in ms"),
        ({"units": {"requests green": "ms"}}, "metrics.requests: the vendor says that it is in ms, where requests"),
    ],
)
def test_a_query_that_cannot_be_right_is_an_error_that_names_its_key(
    world: World, change: dict[str, object], said: str
) -> None:
    for name, value in change.items():
        setattr(world, name, value)
    with pytest.raises(UsageError) as caught:
        probe(world)
    assert said in caught.value.what
    assert "deploykit.toml" in caught.value.mend


def test_a_query_that_gives_both_colours_the_same_is_an_error(world: World) -> None:
    world.edit('slow = "slow $colour"', 'slow = "slow"')
    with pytest.raises(UsageError, match=r"metrics\.slow: it lacks \$colour"):
        probe(world)


def test_a_shared_database_needs_no_colour(world: World) -> None:
    world.edit('p95 = "p95 $colour"', 'p95 = "p95 $colour"\nquery_time = "queries"')
    assert probe(world) == ()


def test_a_query_that_the_vendor_refuses_is_an_error_with_the_vendors_words(world: World) -> None:
    world.fail("metrics.series", Fault.REJECTED)
    with pytest.raises(UsageError, match=r"metrics\.requests: metrics\.series said no"):
        probe(world)


def test_every_fault_is_named_at_once(world: World) -> None:
    world.unreported = {"errors green", "slow green"}
    with pytest.raises(UsageError, match=r"(?s)metrics\.errors: .*metrics\.slow: "):
        probe(world)


def test_silence_where_nothing_has_to_be_told_is_said_but_no_fault(world: World) -> None:
    world.served = {"errors green": None}
    (note,) = probe(world)
    assert note.startswith("metrics.errors: the metric is known, but has no points in the last day")


def test_a_service_that_nobody_uses_is_not_refused_for_it(world: World) -> None:
    world.served = {"requests green": None, "p95 green": None}
    assert len(probe(world, serving=False)) == 2


def test_a_known_unit_that_agrees_or_one_of_things_that_are_counted_is_fine(world: World) -> None:
    world.units = {"p95 green": "ms", "requests green": "request", "errors green": "error"}
    assert probe(world) == ()


def test_a_plan_is_not_made_with_a_query_that_does_not_exist(world: World) -> None:
    world.rate = 0
    world.counters["green"] = 50
    world.unreported = {"errors green"}
    with pytest.raises(UsageError, match="errors was ever reported"):
        planning.make(world.settings(), "production", "v2", SERVICE)
    world.unreported = set()
    world.served = {"requests green": None}
    with pytest.raises(UsageError, match="though it serves requests"):
        planning.make(world.settings(), "production", "v2", SERVICE)
