"""What bare papermill leaves behind, and what the engine leaves: the table of the facts, row by row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from deploykit.engine import CellStatus, execute, kernel

if TYPE_CHECKING:
    from tests.engine.conftest import Bench

KILL = "import os; os.kill(os.getpid(), 9)"
SLEEP = "import time; time.sleep(60)"


def bare(bench: Bench, **options: Any) -> None:
    papermill.execute_notebook(
        str(bench.source), str(bench.target), kernel_name="python3", progress_bar=False, **options
    )


class TestBarePapermill:
    """The reasons for an engine of our own; when one of these fails, papermill got better."""

    def test_calls_every_cell_completed_when_the_kernel_was_killed(self, bench: Bench) -> None:
        bench.write("1", KILL, "2")
        with pytest.raises(DeadKernelError):
            bare(bench)
        assert bench.theirs() == ["completed"] * 3
        assert bench.read()["metadata"]["papermill"]["exception"] is None

    def test_calls_every_cell_completed_after_a_time_out(self, bench: Bench) -> None:
        bench.write("1", SLEEP, "2")
        with pytest.raises(CellTimeoutError):
            bare(bench, execution_timeout=1)
        assert bench.theirs() == ["completed"] * 3

    def test_returns_as_if_nothing_were_wrong_after_sys_exit(self, bench: Bench) -> None:
        bench.write("1", "import sys; sys.exit(0)", "2")
        bare(bench)
        assert bench.theirs() == ["completed", "failed", "pending"]

    def test_runs_on_after_a_failure_tagged_raises_exception(self, bench: Bench) -> None:
        bench.write("1 / 0", "print('went on')", tags={0: "raises-exception"})
        with pytest.raises(papermill.PapermillExecutionError):
            bare(bench)
        assert "went on" in bench.shown(1)

    def test_runs_with_an_unknown_parameter(self, bench: Bench) -> None:
        bench.write("#:\nrelease = ''  # type: str", "print('ran')")
        bare(bench, parameters={"relaese": "1.2"})
        assert bench.theirs() == ["completed"] * 3


class TestEngine:
    """The same, told right."""

    def test_says_that_all_completed_only_when_all_did(self, bench: Bench) -> None:
        bench.write("print('one')", "print('two')")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.status is CellStatus.COMPLETED
        assert answer.error == ""
        assert bench.ours() == bench.theirs() == ["completed"] * 2

    def test_says_which_cell_raised_and_what(self, bench: Bench) -> None:
        bench.write("1", "1 / 0", "2")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert (answer.status, answer.error) == (CellStatus.FAILED, "ZeroDivisionError: division by zero")
        assert bench.ours() == ["completed", "failed", "never-run"]
        assert bench.theirs() == ["completed", "failed", "pending"]
        assert bench.shown(1).count('"output_type": "error"') == 1

    def test_says_that_the_kernel_was_killed_and_by_what(self, bench: Bench) -> None:
        bench.write("1", KILL, "2")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert (answer.status, answer.error) == (CellStatus.DIED, "the kernel is gone: killed by SIGKILL")
        assert [cell.status.value for cell in answer.cells] == bench.ours() == ["completed", "died", "never-run"]
        assert bench.theirs() == ["completed", "failed", "pending"]
        assert "killed by SIGKILL" in bench.shown(1)
        assert "never run" in bench.shown(2)
        assert bench.read()["metadata"]["papermill"]["exception"] is True

    def test_says_that_the_kernel_was_killed_for_want_of_memory(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        counter = bench.folder / "group" / "memory.events"
        counter.parent.mkdir()
        counter.write_text("oom 0\noom_kill 2\n")
        (bench.folder / "self").mkdir()
        (bench.folder / "self" / "cgroup").write_text("0::/group\n")
        monkeypatch.setattr(kernel, "PROC", bench.folder)
        monkeypatch.setattr(kernel, "CGROUPS", bench.folder)
        bench.write("1", f"open({str(counter)!r}, 'w').write('oom_kill 3\\n'); {KILL}", "2")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.status is CellStatus.OUT_OF_MEMORY
        assert answer.error == "the kernel was killed, and the system was out of memory"
        assert bench.ours() == ["completed", "out-of-memory", "never-run"]

    def test_says_that_a_cell_had_no_memory_left(self, bench: Bench) -> None:
        bench.write("1", "bytearray(2**62)", "2")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.status is CellStatus.OUT_OF_MEMORY
        assert bench.ours() == ["completed", "out-of-memory", "never-run"]
        assert "MemoryError" in bench.shown(1)

    def test_shows_the_last_words_of_a_kernel_that_crashed(self, bench: Bench) -> None:
        bench.write("import faulthandler; faulthandler._sigsegv()")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.error == "the kernel is gone: killed by SIGSEGV"
        assert "Fatal Python error" in bench.shown(0)

    def test_says_that_a_cell_took_too_long(self, bench: Bench) -> None:
        bench.write("1", f"print('before', flush=True); {SLEEP}", "2")
        answer = execute(bench.source, bench.target, {}, mode="run", cell_timeout=1)
        assert (answer.status, answer.error) == (CellStatus.TIMED_OUT, "the cell ran longer than 1 s")
        assert bench.ours() == ["completed", "timed-out", "never-run"]
        assert "before" in bench.shown(1)
        assert "longer than 1 s" in bench.shown(1)

    def test_lets_a_late_cell_put_its_things_in_order(self, bench: Bench) -> None:
        bench.write(f"try:\n    {SLEEP}\nfinally:\n    print('put back')")
        answer = execute(bench.source, bench.target, {}, mode="run", cell_timeout=1)
        assert answer.status is CellStatus.TIMED_OUT
        assert "put back" in bench.shown(0)

    @pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "exit()"])
    def test_a_cell_that_exits_did_not_complete(self, bench: Bench, leave: str) -> None:
        bench.write("1", leave, "2")
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.status is CellStatus.EXITED
        assert bench.ours() == ["completed", "exited", "never-run"]
        assert "exited" in bench.shown(1)

    def test_tags_neither_excuse_nor_skip_a_cell(self, bench: Bench) -> None:
        bench.write("print('ran')", "1 / 0", "2", tags={0: "skip-execution", 1: "raises-exception"})
        answer = execute(bench.source, bench.target, {}, mode="run")
        assert answer.status is CellStatus.FAILED
        assert bench.ours() == ["completed", "failed", "never-run"]
        assert "ran" in bench.shown(0)

    def test_a_kernel_that_cannot_start_is_told_on_the_first_cell(self, bench: Bench) -> None:
        bench.write("1", "2")
        answer = execute(bench.source, bench.target, {}, mode="run", env={"PYTHONHOME": "/nowhere"})
        assert answer.status is CellStatus.DIED
        assert bench.ours() == ["never-run"] * 2
        assert "the kernel is gone: exit code 1" in bench.shown(0)

    def test_is_silent(self, bench: Bench, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        bench.write("#:\nrelease: str = ''", "1 / 0")
        execute(bench.source, bench.target, {"release": "s3cret-looking"}, mode="run")
        assert capfd.readouterr() == ("", "")
        assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
