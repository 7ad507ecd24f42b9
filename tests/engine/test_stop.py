"""Signals: while a cell runs, twice, too late, and the one that nobody can hear."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from deploykit import executed
from deploykit.engine import CellStatus, execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import Bench

    Until = Callable[[Callable[[], object]], None]

CHILD = "import subprocess; open('child', 'w').write(str(subprocess.Popen(['sleep', '600']).pid))\n"
BUSY = "print('busy', flush=True)\nopen('said', 'w').close()\nimport time\ntime.sleep(60)"
DEAF = """
print('busy', flush=True)
open('said', 'w').close()
import time
while True:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print('no', flush=True)
"""
BARE = ("-m", "papermill", "in.ipynb", "out/out.ipynb", "--no-progress-bar")


def gone(process: psutil.Process) -> bool:
    """Whether it ended; a zombie has, too."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def send(bench: Bench, until: Until, *signals: signal.Signals) -> threading.Thread:
    """Send signals to this process once the cell is busy; the next ones when it said that it does not care."""

    def sender() -> None:
        until((bench.folder / "said").exists)
        for number, one in enumerate(signals):
            if number:
                until(lambda: bench.running(1, "no"))
            os.kill(os.getpid(), one)

    thread = threading.Thread(target=sender)
    thread.start()
    return thread


class TestBarePapermill:
    def test_calls_every_cell_completed_after_an_interrupt(self, bench: Bench, until: Until) -> None:
        bench.write("1", BUSY, "2")
        process = bench.start(*BARE)
        until(lambda: bench.running(1))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert bench.theirs() == ["completed"] * 3

    @pytest.mark.parametrize("one", [signal.SIGTERM, signal.SIGKILL])
    def test_loses_what_a_cell_said_and_leaves_its_child_after_a_kill(
        self, bench: Bench, until: Until, one: signal.Signals
    ) -> None:
        bench.write("1", CHILD + BUSY, "2")
        process = bench.start(*BARE)
        until((bench.folder / "said").exists)
        child = psutil.Process(int((bench.folder / "child").read_text()))
        kernel = child.parent()
        assert kernel is not None
        process.send_signal(one)
        process.wait(timeout=30)
        assert bench.theirs() == ["completed", "running", "pending"]
        assert bench.shown(1) == "[]"
        until(lambda: gone(kernel))
        assert not gone(child)
        child.kill()
        process.communicate()


class TestEngine:
    @pytest.mark.parametrize("one", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_interrupts_the_cell_and_the_notebook_says_so(
        self, bench: Bench, until: Until, one: signal.Signals
    ) -> None:
        bench.write("1", BUSY, "2")
        before = signal.getsignal(one)
        thread = send(bench, until, one)
        answer = execute(bench.source, bench.target, {}, mode="run")
        thread.join()
        assert (answer.status, answer.error, answer.signal) == (CellStatus.INTERRUPTED, f"{one.name} came", one)
        assert bench.ours() == ["completed", "interrupted", "never-run"]
        assert bench.theirs() == ["completed", "failed", "pending"]
        assert "busy" in bench.shown(1)
        assert one.name in bench.shown(1)
        assert signal.getsignal(one) is before

    def test_a_second_signal_does_not_wait_for_a_cell_that_will_not_stop(self, bench: Bench, until: Until) -> None:
        bench.write("1", DEAF, "2")
        thread = send(bench, until, signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
        answer = execute(bench.source, bench.target, {}, mode="run")
        thread.join()
        assert answer.status is CellStatus.INTERRUPTED
        assert answer.cells[1].seconds < 5
        assert bench.ours() == ["completed", "interrupted", "never-run"]

    def test_a_signal_before_the_first_cell_is_heard(self, bench: Bench) -> None:
        bench.write("1", "2")
        terminate = lambda _: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731 - what happens at the start
        answer = execute(bench.source, bench.target, {}, mode="run", on_start=terminate)
        assert answer.status is CellStatus.INTERRUPTED
        assert bench.ours() == ["never-run"] * 2
        assert "SIGTERM came" in bench.shown(0)

    def test_a_kill_leaves_a_whole_file_that_is_mended_and_ends_the_child(self, bench: Bench, until: Until) -> None:
        bench.write("1", CHILD + BUSY, "2")
        process = bench.start("-c", bench.RUN)
        until(lambda: bench.running(1, "busy"))
        child = psutil.Process(int((bench.folder / "child").read_text()))
        process.kill()
        process.communicate(timeout=30)
        assert bench.ours() == ["completed", "running", "never-run"]
        assert bench.read()["metadata"]["deploykit"]["status"] == "running"
        assert "the process that executed this notebook was killed" in bench.shown(1)
        executed.mend(bench.target)
        assert bench.ours() == ["completed", "died", "never-run"]
        assert bench.theirs() == ["completed", "failed", "pending"]
        assert "busy" in bench.shown(1)
        until(lambda: gone(child))

    def test_another_thread_executes_without_hearing_signals(self, bench: Bench) -> None:
        bench.write("1")
        answers = []
        thread = threading.Thread(target=lambda: answers.append(execute(bench.source, bench.target, {}, mode="run")))
        thread.start()
        thread.join()
        assert [answer.status for answer in answers] == [CellStatus.COMPLETED]
