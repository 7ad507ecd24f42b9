"""Kills: around every step of every action in every way, at a thousand random instants, and in the full sandbox.

`DEPLOYKIT_KILLS` is how many random ones there are.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.kills.filed import ACTIONS
from tests.kills.kernels import in_jupyter, under_papermill
from tests.kills.matrix import Tally, Way, matrix, plainly, survive

WAYS: dict[str, tuple[Way, bool]] = {
    "a plain process": (plainly, False),
    "papermill, runner and kernel": (under_papermill, True),
    "a person's kernel": (in_jupyter, False),
}


def say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


@pytest.mark.parametrize("way", WAYS)
def test_the_matrix(way: str, team_folder: Path, tmp_path: Path) -> None:
    kill, with_parent = WAYS[way]
    ends: Counter[str] = Counter()
    for item in ACTIONS:
        ends.update(matrix(team_folder, tmp_path / item.id, item, kill, with_parent=with_parent))
    good = ends["resumed"] + ends["unknown"]
    told = ", ".join(f"{count} {end}" for end, count in ends.items())
    say(f"{way}: {good} of {ends.total()} ({told}); 0 effects twice, 0 acknowledged events lost")
    assert good == ends.total()


def test_random_instants(team_folder: Path, tmp_path: Path) -> None:
    tally, wanted = Tally(), int(os.environ.get("DEPLOYKIT_KILLS", "1000"))
    while tally.kills < wanted:
        survive(team_folder, tmp_path / f"team-{tally.runs}", Random(tally.runs), tally)
    say(str(tally))
