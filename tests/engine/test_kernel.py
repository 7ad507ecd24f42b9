"""The kernel process: which one, what it knows, what it opens, and what it leaves behind."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from deploykit.engine import MODE, CellStatus, execute
from deploykit.engine.kernel import Kernel
from deploykit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.conftest import Bench

    Until = Callable[[Callable[[], object]], None]

TELL = """
import json, os, sys
from pathlib import Path
told = {"mode": os.environ.get("DEPLOYKIT_MODE"), "extra": os.environ.get("EXTRA"), "python": sys.executable,
        "cwd": os.getcwd(), "arguments": sys.argv, "pid": os.getpid(), "sid": os.getsid(0)}
Path("telling").write_text(json.dumps(told))
Path("telling").rename("told.json")
"""


def told(bench: Bench) -> Any:
    return json.loads((bench.folder / "told.json").read_bytes())


def gone(process: psutil.Process) -> bool:
    """Whether it ended; a zombie has, too."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("mode", ["run", "replay"])
def test_the_kernel_knows_the_mode_and_what_it_was_given(bench: Bench, mode: Any) -> None:
    bench.write(TELL)
    pids: list[int] = []
    execute(bench.source, bench.target, {}, mode=mode, env={"EXTRA": "1", MODE: "lie"}, on_start=pids.append)
    said = told(bench)
    assert (said["mode"], said["extra"], said["pid"], said["sid"]) == (mode, "1", *pids * 2)
    assert said["cwd"] == str(bench.folder)


def test_it_is_this_python_whatever_kernelspec_is_installed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = bench.folder / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(bench.folder / "jupyter"))
    bench.write(TELL)
    assert execute(bench.source, bench.target, {}, mode="run").status is CellStatus.COMPLETED
    assert told(bench)["python"] == sys.executable


def test_a_persons_own_start_up_files_do_not_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    startup = bench.folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "own.py").write_text("surprise = 1")
    monkeypatch.setenv("IPYTHONDIR", str(bench.folder / "ipython"))
    bench.write("assert 'surprise' not in globals()")
    assert execute(bench.source, bench.target, {}, mode="run").status is CellStatus.COMPLETED


def test_a_parameter_named_like_a_magic_is_python(bench: Bench) -> None:
    bench.write("run: str = ''", "assert run == 'x'", tags={0: "parameters"})
    assert execute(bench.source, bench.target, {"run": "x"}, mode="run").status is CellStatus.COMPLETED


def test_no_port_is_opened_and_the_sockets_are_private_and_removed(bench: Bench, until: Until) -> None:
    bench.write("import time", TELL, "while not Path('looked').exists(): time.sleep(0.01)")
    seen: list[Any] = []

    def look(pid: int) -> None:
        kernel = psutil.Process(pid)
        folder = Path(kernel.cmdline()[3]).parent
        seen.append((folder, folder.stat().st_mode & 0o077, len(os.fsencode(folder))))

    def look_later() -> None:
        until((bench.folder / "told.json").exists)
        kernel = psutil.Process(told(bench)["pid"])
        seen.append([one for one in kernel.net_connections("inet") if one.status == psutil.CONN_LISTEN])
        seen.append([str(one.laddr) for one in kernel.net_connections("unix")])
        (bench.folder / "looked").touch()

    later = threading.Thread(target=look_later)
    later.start()
    assert execute(bench.source, bench.target, {}, mode="run", on_start=look).status is CellStatus.COMPLETED
    later.join()
    (folder, others, length), listening, sockets = seen
    assert listening == []
    assert len([name for name in sockets if name.startswith(str(folder))]) >= 5
    assert (others, folder.exists()) == (0, False)
    assert length < 103


def test_a_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    kernel = Kernel()
    assert long not in kernel.folder.parents
    assert list(long.iterdir()) == []
    kernel.folder.rmdir()


def test_no_folder_is_a_usage_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploykit.engine.kernel._parents", lambda: iter(["/nowhere"]))
    bench.write("1")
    with pytest.raises(UsageError, match="temporary folder"):
        execute(bench.source, bench.target, {}, mode="run")
    assert not bench.target.exists()


def test_a_kernel_that_cannot_be_ended_is_not_a_completed_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Kernel.stop

    async def fail(self: Kernel, *, at_once: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        await stop(self, at_once=at_once)
        raise RuntimeError("it is still there")

    monkeypatch.setattr(Kernel, "stop", fail)
    bench.write("1")
    with pytest.raises(RuntimeError, match="still there"):
        execute(bench.source, bench.target, {}, mode="run")
    assert bench.read()["metadata"]["deploykit"]["status"] == "failed"


@pytest.mark.parametrize("end", ["", "; os.kill(os.getpid(), 9)"])
def test_a_child_does_not_outlive_the_kernel_unseen(bench: Bench, end: str) -> None:
    bench.write(
        "import os, subprocess",
        "child = subprocess.Popen(['sleep', '600'])\n"
        "group = subprocess.Popen(['sleep', '601'], process_group=0)\n"
        "apart = subprocess.Popen(['sleep', '602'], start_new_session=True)\n"
        "open('pids', 'w').write(f'{child.pid} {group.pid} {apart.pid}')",
        f"1{end}",
    )
    answer = execute(bench.source, bench.target, {}, mode="run")
    child, group, apart = map(int, (bench.folder / "pids").read_text().split())
    assert set(answer.terminated) == {f"sleep (pid {child})", f"sleep (pid {group})"}
    assert not psutil.pid_exists(child) or gone(psutil.Process(child))
    assert not psutil.pid_exists(group) or gone(psutil.Process(group))
    assert psutil.Process(apart).is_running()
    psutil.Process(apart).kill()
    told = bench.read()["metadata"]["deploykit"]
    assert set(told["terminated"]) == set(answer.terminated)
    if sys.platform == "linux":  # elsewhere nobody tells what a process was given
        assert tuple(told["left"]) == answer.left == (f"sleep (pid {apart})",)
        names = [cell["metadata"]["deploykit"].get("children", []) for cell in bench.code()]
        assert names == [[], [f"sleep (pid {pid})" for pid in (child, group, apart)], []]


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells what a process was given")
def test_our_own_guard_is_no_stray(bench: Bench) -> None:
    (bench.folder / "deploykit").mkdir()
    (bench.folder / "deploykit" / "guard.py").write_text("import time; time.sleep(600)")
    guard = "[sys.executable, '-m', 'deploykit.guard'], start_new_session=True"
    bench.write(f"import subprocess, sys; print(subprocess.Popen({guard}).pid)")
    answer = execute(bench.source, bench.target, {}, mode="run", env={"PYTHONPATH": str(bench.folder)})
    pid = int(bench.code()[0]["outputs"][0]["text"][0])
    assert psutil.Process(pid).is_running()
    psutil.Process(pid).kill()
    assert answer.left == ()


def test_nothing_outlives_an_executing_process_that_was_killed(bench: Bench, until: Until) -> None:
    bench.write("import subprocess; child = subprocess.Popen(['sleep', '600']); print('pid', child.pid); child.wait()")
    process = bench.start("-c", bench.RUN)
    until(lambda: bench.running(0, "pid"))
    child = psutil.Process(int(bench.code()[0]["outputs"][0]["text"][0].split()[1]))
    kernel = child.parent()
    assert kernel is not None
    folder = Path(kernel.cmdline()[3]).parent
    assert folder.exists()
    process.kill()
    process.communicate(timeout=30)
    until(lambda: gone(child) and gone(kernel) and not folder.exists())


def test_a_forked_child_is_heard(bench: Bench) -> None:
    bench.write(
        "import multiprocessing as m; p = m.get_context('fork').Process(target=print, args=['hi']); p.start(); p.join()"
    )
    assert execute(bench.source, bench.target, {}, mode="run").status is CellStatus.COMPLETED
    assert "hi" in bench.shown(0)
