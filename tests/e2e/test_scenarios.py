"""Every scenario of the demo, as a person plays it, each in a sandbox of its own; `play` insists on how it ends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploykit.checklist import checklist
from deploykit.demo import play
from deploykit.model import Outcome
from deploykit.sandbox.project import Pace

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

#: A minute lasts half a second, and the first hour half a minute.
PACE = Pace(scale=120, step=4, watch=8, hold=8, guard=6, requests=20, error_rate=0.01)
#: A scenario goes through these phases; `healthy` goes through all.
PHASES = {
    "errors": {"blue-green"},
    "no-migration": {"database", "blue-green"},
    "slow": {"blue-green"},
    "leak": {"blue-green", "watch"},
    "failing-migration": {"readiness", "database"},
    "restore": {"readiness", "database", "blue-green"},
    "vendor-down": {"readiness"},
    "friday": {"blue-green"},
    "overrun": {"blue-green"},
}
#: What people sign in the watch waits for the first hour, which `healthy` shows.
SIGNED = {"watch.user-reports", "success.no-complaints"}


def spared(name: str) -> tuple[str, ...]:
    """What is left out, so that each scenario shows its own story and `healthy` the whole."""
    kept = PHASES.get(name)
    if kept is None:
        return ()
    items = (item for item in checklist().item if item.when == "always" and not item.id.startswith("rule."))
    return tuple(item.id for item in items if item.phase not in kept or item.id in SIGNED)


#: `make test` goes through the whole checklist; how it ends otherwise takes minutes more.
NAMES = ["healthy", *(pytest.param(name, marks=pytest.mark.long) for name in PHASES)]


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_ends_as_it_must(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A trend of memory takes a while to be told from none.
    pace = replace(PACE, watch=30) if name == "healthy" else PACE
    (folder,) = play(tmp_path / "demo", (name,), pace=pace, rate=150, left_out=spared(name))
    settled = {}
    for line in (folder / "journal.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["type"] == "item.settled":
            settled[event["item"]] = Outcome(event["data"]["outcome"])
    assert {item.id for item in checklist().item} <= set(settled), "every item has its outcome"
    if name == "healthy":
        opened = {Outcome.PASS, Outcome.NOT_NEEDED, Outcome.INCONCLUSIVE}
        assert {settled[item.id] for item in checklist().item} <= opened
        unsure = [item.id for item in checklist().item if settled[item.id] is Outcome.INCONCLUSIVE]
        assert unsure == [item.id for item in checklist().item if not item.automated], "only what people signed"
