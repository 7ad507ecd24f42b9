"""The scenarios, the releases that they deploy, and their page say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploykit.checklist import checklist
from deploykit.demo import ACTS, SCENARIOS
from deploykit.demo.scenarios import Scenario
from deploykit.model import Outcome
from deploykit.sandbox.releases import find_release

PAGE = Path(__file__).parents[1] / "runbooks" / "scenarios.md"
ROWS = dict(re.findall(r"^\| ([a-z-]+) \| (v[\d.]+ \| .* \| \d.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE))


def test_the_page_has_every_scenario_in_their_order() -> None:
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    assert sorted(ROWS) == sorted(by_name)
    assert len(by_name) == len(SCENARIOS)
    assert list(ROWS)[: len(ACTS)] == list(ACTS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_is_what_its_page_says(scenario: Scenario) -> None:
    release, _, ends = ROWS[scenario.name].split(" | ")
    assert release == scenario.release
    assert ends.startswith(str(scenario.ends.value))
    assert ("rollback --database" in ends) == scenario.undoes


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_names_what_there_is(scenario: Scenario) -> None:
    assert find_release(scenario.release) is not None
    assert scenario.outcomes
    for item, outcome in scenario.outcomes.items():
        assert checklist().find(item).id == item
        assert Outcome(outcome)
    if scenario.overrides:
        assert checklist().find(scenario.overrides).id.startswith("rule.")
