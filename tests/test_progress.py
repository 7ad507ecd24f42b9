"""The last line of what is under way: it decides nothing, and stops nothing."""

from __future__ import annotations

import pytest

from deploykit import progress, redact
from deploykit.run import Run
from tests.world import World


@pytest.fixture
def run(world: World) -> Run:
    return world.plan(approved=False)


def test_the_newest_line_is_kept(run: Run) -> None:
    assert progress.last(run) == ""
    for line in ("10 %", "50 %"):
        progress.say(run, line)
    assert progress.last(run) == "50 %"


def test_secrets_and_controls_do_not_get_in(run: Run) -> None:
    redact.learn("hunter2-hunter2")
    progress.say(run, "hunter2-hunter2 \x1b[31mred\x07")
    assert progress.last(run) == "[redacted] red\\u0007"


def test_a_torn_line_is_read_all_the_same(run: Run) -> None:
    progress.say(run, "…")
    progress._file(run).write_bytes("…".encode()[:2])
    assert progress.last(run) == "\N{REPLACEMENT CHARACTER}"


def test_where_it_cannot_be_written_the_work_goes_on(run: Run) -> None:
    run.settings.path(run.settings.state).joinpath("progress").write_text("a file in the folder's place", "utf-8")
    progress.say(run, "10 %")
    assert progress.last(run) == ""
