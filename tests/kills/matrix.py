"""Every step of an action killed at every point in one way, and a whole plan killed at random instants."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from deploykit.checklist import Item
from deploykit.model import Colour
from tests.kills.filed import POINTS, Aim, Filed, killed, planned, start, was_killed

#: Does the work on an item that is aimed at; whether it was killed.
Way = Callable[[Filed, Item, Aim], bool]


def plainly(filed: Filed, item: Item, aim: Aim) -> bool:
    """As a plain process."""
    return killed(filed, lambda: filed.resume(item), aim)


def matrix(template: Path, folder: Path, item: Item, way: Way, *, with_parent: bool = False) -> list[str]:
    """Kill around each step of an action at each point, and go on; how each ended.

    Each is killed for certain, does nothing twice, and loses no event that was acknowledged.
    """
    ends = []
    with planned(template, folder / "team") as filed:
        run = filed.run()
        filed.perform(run, until=item.id)
        run.store.close()
        filed.save(snapshot := folder / "snapshot")
        steps = filed.steps(item)
        for aim in [Aim(step, point, with_parent) for step in steps for point in POINTS]:
            filed.restore(snapshot)
            assert way(filed, item, aim), aim
            ends.append(filed.resume(item))
            assert (filed.twice(), filed.lost()) == ([], []), aim
    return ends


@dataclass
class Tally:
    """How many kills there were, in how many runs, and what the longest undisturbed run took in seconds."""

    kills: int = 0
    runs: int = 0
    longest: float = 0.1
    effects: int = 0
    events: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.runs} runs, each resumed to its end: {self.effects} effects, 0 twice; "
            f"{sum(self.events)} acknowledged events, 0 lost"
        )


def survive(template: Path, home: Path, random: Random, tally: Tally) -> None:
    """Plan a run, and go on with it after each kill until it ends by itself; every second one is rolled back."""
    rolled_back = bool(tally.runs % 2)
    with planned(template, home) as filed:
        while _kill(filed, random.uniform(0, tally.longest), rolled_back=rolled_back, tally=tally):
            tally.kills += 1
        assert (filed.twice(), filed.lost()) == ([], [])
        with filed.disk.turn() as world:
            serving: dict[Colour, int] = {"blue": 0, "green": 100} if rolled_back else {"blue": 100, "green": 0}
            assert (world.weights, world.stopped) == (serving, False)
        tally.runs += 1
        tally.effects += len(filed.effects())
        tally.events.append(len((home / "acknowledged").read_text().splitlines()))


def _kill(filed: Filed, seconds: float, *, rolled_back: bool, tally: Tally) -> bool:
    """Go on for so long at most; whether it was killed."""

    def work() -> None:
        filed.perform(filed.run(), rolled_back=rolled_back)

    began = time.monotonic()
    pid = start(work)
    ended = 0
    while time.monotonic() - began < seconds:
        done, ended = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        time.sleep(0.001)
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        ended = os.waitpid(pid, 0)[1]
    if was_killed(ended):
        tally.longest = min(tally.longest * 1.2, 3.0)
        return True
    assert ended == 0, "it did not go on to its end"
    tally.longest = max(tally.longest / 1.5, 0.05)
    return False
