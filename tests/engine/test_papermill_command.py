"""`papermill --engine deploykit` without anything else of ours."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from deploykit.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import Bench

COMMAND = ("-m", "papermill", "--engine", "deploykit", "--no-progress-bar", "in.ipynb", "out/out.ipynb")


def test_executes_a_notebook(bench: Bench) -> None:
    bench.write("#:\nrun: str = ''", "import os; print(os.environ['DEPLOYKIT_MODE'], os.getcwd(), run)")
    process = bench.start(*COMMAND, "-p", "run", "x", "--execution-timeout", "60", "--log-output")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert bench.ours() == ["completed"] * 3
    assert bench.code()[2]["outputs"][0]["text"] == [f"run {bench.folder} x\n"]


def test_refuses_wrong_parameters_before_anything_starts(bench: Bench) -> None:
    bench.write("#:\nrun: str = ''", "1")
    process = bench.start(*COMMAND, "-p", "typo", "1")
    _, error = process.communicate(timeout=60)
    assert process.returncode == Exit.USAGE
    assert "\nError: in.ipynb: " in error
    assert "Traceback" not in error
    assert not bench.target.exists()


def test_a_dead_kernel_is_a_failure(bench: Bench) -> None:
    bench.write("1", "import os; os._exit(0)", "2")
    process = bench.start(*COMMAND)
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the kernel is gone: exit code 0" in error
    assert bench.ours() == ["completed", "died", "never-run"]


def test_a_termination_is_told_and_is_a_failure(bench: Bench, until: Callable[[Callable[[], object]], None]) -> None:
    bench.write("1", "import time; time.sleep(60)", "2")
    process = bench.start(*COMMAND)
    until(lambda: bench.running(1))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode > 0
    assert bench.ours() == ["completed", "interrupted", "never-run"]
    assert bench.read()["metadata"]["papermill"]["output_path"] == "out.ipynb"


def test_the_engine_loads_whoever_is_imported_first(bench: Bench) -> None:
    say = "print(deploykit.engine.DeploykitEngine in papermill.engines.papermill_engines._engines.values())"
    for first, second in (("papermill", "deploykit.engine"), ("deploykit.engine.files", "papermill")):
        process = bench.start("-c", f"import {first}, {second}, papermill.engines, deploykit.engine, sys; {say}")
        output, error = process.communicate(timeout=60)
        assert output == "True\n", error


def test_nothing_else_loads_papermill(bench: Bench) -> None:
    look = "import sys, deploykit, deploykit.run, deploykit.model; print(json.dumps('papermill' in sys.modules))"
    process = bench.start("-c", f"import json; {look}")
    output, error = process.communicate(timeout=60)
    assert json.loads(output) is False, error
