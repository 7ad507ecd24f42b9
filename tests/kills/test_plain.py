"""Killed at every point of every step of every action, as a plain process: resumed or unknown, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from deploykit.checklist import Item, checklist
from deploykit.journal.events import Type
from deploykit.model import Kind
from tests.kills.filed import POINTS, Aim, Filed, killed, planned
from tests.kills.random_kills import Tally, survive

ACTIONS = [item for item in checklist().item if item.kind is Kind.ACTION]


def steps_of(filed: Filed, item: Item, snapshot: Path) -> list[str]:
    """The steps that the action takes in this world."""
    filed.resume(item)
    run = filed.run()
    steps = [event.step for event in run.events() if event.type is Type.STEP_INTENDED and event.item == item.id]
    run.store.close()
    filed.restore(snapshot)
    return steps


@pytest.mark.parametrize("item", ACTIONS, ids=lambda item: item.id)
def test_a_kill_at_any_point_of_an_action_repeats_and_loses_nothing(
    item: Item, team_folder: Path, tmp_path: Path
) -> None:
    ends = []
    with planned(team_folder, tmp_path / "team") as filed:
        run = filed.run()
        filed.perform(run, until=item.id)
        run.store.close()
        filed.save(snapshot := tmp_path / "snapshot")
        steps = steps_of(filed, item, snapshot)
        assert steps, "nothing of it is done in this world"
        for aim in [Aim(step, point) for step in steps for point in POINTS]:
            filed.restore(snapshot)
            assert killed(filed, lambda: filed.resume(item), aim), aim
            ends.append(filed.resume(item))
            assert ends[-1] in {"resumed", "unknown"}, aim
            assert (filed.twice(), filed.lost()) == ([], []), aim
    print(f"{item.id}: {len(ends)} of {len(steps) * len(POINTS)} kills, {ends.count('unknown')} of them unknown")


def test_kills_at_random_instants_repeat_and_lose_nothing(team_folder: Path, tmp_path: Path) -> None:
    tally = Tally()
    while tally.kills < 25:
        survive(team_folder, tmp_path / f"team-{tally.runs}", Random(tally.runs), tally)
    print(tally)
