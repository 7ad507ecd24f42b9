"""Killed at every point of every step of every action, as a plain process: resumed or unknown, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from deploykit.checklist import Item
from tests.kills.filed import ACTIONS, POINTS
from tests.kills.matrix import Tally, matrix, plainly, survive


@pytest.mark.parametrize("item", ACTIONS, ids=lambda item: item.id)
def test_a_kill_at_any_point_of_an_action_repeats_and_loses_nothing(
    item: Item, team_folder: Path, tmp_path: Path
) -> None:
    ends = matrix(team_folder, tmp_path, item, plainly)
    assert len(ends) >= len(POINTS)
    assert set(ends) <= {"resumed", "unknown"}


def test_kills_at_random_instants_repeat_and_lose_nothing(team_folder: Path, tmp_path: Path) -> None:
    tally = Tally()
    while tally.kills < 25:
        survive(team_folder, tmp_path / f"team-{tally.runs}", Random(tally.runs), tally)
