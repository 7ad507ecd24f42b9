"""The team's own pytest file as a smoke test: what it says of each test counts, and nothing else does."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from deploykit.checks.smoke import KEPT, _judged, smoke
from deploykit.context import Context
from deploykit.model import Outcome, Result
from tests.world import Fault, World

PASS, FAIL, INCONCLUSIVE, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR

FILES: dict[str, tuple[str, Outcome, str]] = {
    "all pass": ("def test_a(): pass\ndef test_b(): pass", PASS, "2 passed"),
    "some are skipped": (
        "import pytest\ndef test_a(): pass\n@pytest.mark.skip(reason='not here')\ndef test_b(): pass",
        PASS,
        "1 passed, 1 skipped",
    ),
    "one fails": ("def test_a(): pass\ndef test_b(): assert 1 == 2, 'no bread'", FAIL, "1 passed, 1 failed"),
    "one cannot be set up": (
        "import pytest\n@pytest.fixture\ndef f(): 1 / 0\ndef test_a(f): pass\ndef test_b(): pass",
        ERROR,
        "1 passed, 1 error",
    ),
    "none": ("x = 1", INCONCLUSIVE, "no test was found"),
    "all are skipped": ("import pytest\npytestmark = pytest.mark.skip\ndef test_a(): pass", INCONCLUSIVE, "1 skipped"),
    "it is no Python": ("def test_a(:", ERROR, "1 error"),
    "it ends itself well": ("import os\ndef test_a(): os._exit(0)", ERROR, "left no results"),
    "a session that ends early and claims to be well": (
        "import pytest\ndef test_a(): pytest.exit('enough', returncode=0)\ndef test_b(): assert 0",
        INCONCLUSIVE,
        "1 passed, of 2 that were found",
    ),
}


@pytest.fixture(autouse=True)
def _without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest that starts fast."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def given(world: World, text: str, **changes: object) -> Context:
    """A run whose team has this file, and no list of requests."""
    (world.home / "checks").mkdir(exist_ok=True)
    (world.home / "checks" / "smoke.py").write_text(text)
    context = world.context(world.plan(approved=False))
    update = {"smoke": (), "smoke_tests": Path("checks/smoke.py"), **changes}
    return replace(context, environment=context.environment.model_copy(update=update))


def rows(result: Result) -> dict[str, str]:
    return {str(row[0]): str(row[1]) for row in result.evidence.tables[-1].rows}


@pytest.mark.parametrize("situation", FILES)
def test_each_test_of_the_file_counts(world: World, situation: str) -> None:
    text, outcome, said = FILES[situation]
    result = smoke(given(world, text))
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert bool(result.mend) is (outcome is not PASS)


def test_the_file_is_run_against_the_candidate_and_its_results_are_kept(world: World) -> None:
    text = """
import os
def test_where(): assert os.environ["DEPLOYKIT_URL"] == "https://blue.example.com"
def test_what(): assert os.environ["DEPLOYKIT_RELEASE"] == "v2"
def test_bread(): assert False, "no bread today"
"""
    result = smoke(given(world, text))
    assert rows(result) == {"test_where": "passed", "test_what": "passed", "test_bread": "failed"}
    assert "no bread today" in str(result.evidence.tables[0].rows[2][3])
    assert "no bread today" in result.evidence.text


def test_a_file_that_is_not_there_is_an_error(world: World) -> None:
    context = given(world, "")
    (world.home / "checks" / "smoke.py").unlink()
    result = smoke(context)
    assert (result.outcome, result.summary) == (ERROR, "there is no smoke.py")


def test_what_takes_too_long_is_an_error(world: World) -> None:
    result = smoke(given(world, "import time\ndef test_slow(): time.sleep(600)", smoke_timeout=1.0))
    assert (result.outcome, result.summary) == (ERROR, "smoke.py was not done within 1 s")


def test_what_a_test_started_ends_with_it(world: World) -> None:
    text = """
import subprocess, sys, pathlib
def test_careless():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path("pid").write_text(str(child.pid))
"""
    assert smoke(given(world, text)).outcome is PASS
    pid = int((world.home / "checks" / "pid").read_text())
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and is reaped by nobody does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_what_a_team_sets_for_its_other_tests_does_not_reach_it(world: World) -> None:
    (world.home / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    assert smoke(given(world, "def test_a(): assert 0")).outcome is FAIL


@pytest.mark.parametrize(
    ("code", "said", "outcome"),
    [
        (0, "collected 1 item\n", PASS),
        (0, "collected 5 items / 4 deselected / 1 selected\n", PASS),
        (1, "collected 1 item\n", ERROR),
        (0, "collected 2 items\n", INCONCLUSIVE),
        (0, "", INCONCLUSIVE),
    ],
)
def test_results_count_only_with_all_that_was_found_and_an_exit_code_that_agrees(
    code: int, said: str, outcome: Outcome
) -> None:
    passed = ET.Element("testcase", name="test_a", time="0.1")
    assert _judged("smoke.py", code, [passed], said).outcome is outcome


def test_requests_and_file_are_both_done_and_the_worse_counts(world: World) -> None:
    context = given(world, "def test_a(): pass")
    requests = world.settings().environment("production").smoke
    both = replace(context, environment=context.environment.model_copy(update={"smoke": requests}))
    result = smoke(both)
    assert (result.outcome, len(result.evidence.tables)) == (PASS, 2)
    assert result.summary == "2 of 2 requests answered as they must; smoke.py: 1 passed"
    world.broken["http.get blue.example.com"] = Fault.DOWN
    assert smoke(both).outcome is ERROR


def test_long_output_is_cut_and_hostile_text_stays_data(world: World) -> None:
    text = "def test_a():\n    print('x' * 100_000)\n    assert 0, '<script>alert(1)</script> \\x1b[31m ]]>'"
    result = smoke(given(world, text))
    assert result.outcome is FAIL
    assert len(result.evidence.text) <= KEPT
    assert "<script>" in str(result.evidence.tables[0].rows[0][3])
