"""The demo: two acts on this machine, played through the command line that a person would type."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from deploykit import settings as settings_module
from deploykit.errors import DeploykitError, Exit, UsageError
from deploykit.journal.events import Actor
from deploykit.journal.store import Store
from deploykit.planning import packed_runbooks
from deploykit.run import Run

GOOD, BAD = "v1.5.0", "v1.6.0"


def play(home: Path, *, postgres_dsn: str | None = None, rate: float = 200.0) -> None:
    """Start the sandbox, deploy a healthy release, then one that fails a tenth of its requests.

    Args:
        home: Where settings and state of the demo are; the archive goes to `reports/` beside the folder it is run in.
        postgres_dsn: An own PostgreSQL server.
        rate: Requests a second through the proxy.

    Raises:
        UsageError: Something that the sandbox needs is missing or in use.
        DeploykitError: An act did not end as it must.
    """
    try:
        from deploykit.sandbox import Sandbox, SandboxError  # noqa: PLC0415 - an extra
        from deploykit.sandbox.project import write_project  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        mend = "pip install 'deploykit-runbooks[sandbox]'"
        raise UsageError(f"the sandbox is not installed: {error.name} is missing", mend=mend) from error
    began = time.monotonic()
    # A folder of its own for each performance: a lock or a journal of one that was broken off is in nobody's way.
    home = home.resolve() / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    archive, runbooks = os.path.relpath(Path("reports").resolve(), home), os.path.relpath(packed_runbooks(), home)
    _title("Starting PostgreSQL, Envoy, two copies of a shop, its visitors, and stand-ins for four vendors")
    try:
        with Sandbox.start(home / "sandbox", rate=rate, postgres_dsn=postgres_dsn, load_seconds=900) as box:
            file = write_project(home, box.addresses, archive=archive, runbooks=runbooks)
            stage = _Stage(file)
            stage.act_one()
            stage.act_two()
    except SandboxError as error:
        raise UsageError(str(error), where="sandbox") from error
    _title(f"Both acts are over, after {time.monotonic() - began:.0f} s. What is left to look at:")
    for folder in stage.archived:
        click.echo(f"  {folder / 'report.html'}")
        click.echo(f"  {folder / 'notebooks'}")


class _Stage:
    def __init__(self, settings: Path) -> None:
        self.settings = settings
        self.archived: list[Path] = []

    def act_one(self) -> None:
        _title(f"Act one: {GOOD} is healthy. Without a signature nothing happens; with one it gets all traffic")
        self._type(Exit.DONE, "plan", "--environment", "production", "--release", GOOD)
        self._type(Exit.WAITING, "run", self._run)
        self._sign_run_close(Exit.DONE)

    def act_two(self) -> None:
        _title(f"Act two: {BAD} fails one request in ten. It is stopped at 10 %, and everything goes back")
        self._type(Exit.DONE, "plan", "--environment", "production", "--release", BAD)
        self._sign_run_close(Exit.ROLLED_BACK)

    def _sign_run_close(self, ends: Exit) -> None:
        number = self._run
        self._type(Exit.DONE, "sign", number, "plan", "--key", self._beside("keys/anna"))
        self._type(ends, "run", number)
        self._type(Exit.DONE, "close", number)
        folder = self._folder(number)
        self._type(Exit.DONE, "verify", str(folder), "--allowed-signers", self._beside("allowed_signers"))
        self._check_sums(folder)
        self.archived.append(folder)

    def _check_sums(self, folder: Path) -> None:
        """The same without our software, where the machine has coreutils."""
        program = shutil.which("sha256sum")
        if program is None:
            return
        click.secho(f"\n$ cd {folder} && sha256sum -c --quiet SHA256SUMS", bold=True)
        done = subprocess.run([program, "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
        if done.returncode:
            raise DeploykitError("the sums do not hold", where=str(folder), mend="read the lines above")
        click.secho("  (every file is what it was)", dim=True)

    def _beside(self, name: str) -> str:
        """A file beside the settings, as a person would type it."""
        return os.path.relpath(self.settings.parent / name)

    @property
    def _run(self) -> str:
        return str(self._newest().plan.number)

    def _folder(self, number: str) -> Path:
        folder = self._newest(number).folder
        return Path(os.path.relpath(folder))

    def _newest(self, number: str = "") -> Run:
        settings = settings_module.load(self.settings)
        name = number or Store(settings.path(settings.state)).runs()[0].run
        return Run.find(settings, name, Actor(kind="service", id="demo"))

    def _type(self, ends: Exit, *words: str) -> None:
        """Run one command as a person would, and insist on how it ends."""
        click.secho(f"\n$ deploykit {' '.join(words)}", bold=True)
        environment = {**os.environ, settings_module.VARIABLE: str(self.settings)}
        done = subprocess.run([sys.executable, "-m", "deploykit", *words], env=environment, check=False)
        if done.returncode != ends:
            raise DeploykitError(
                f"`deploykit {words[0]}` ended with {done.returncode}, expected {ends.value} ({ends.name.lower()})",
                where="demo",
                mend=f"read the lines above; the sandbox's logs are in {self.settings.parent / 'sandbox'}",
            )
        click.secho(f"  (exit code {done.returncode}: {ends.name.lower().replace('_', ' ')})", dim=True)


def _title(text: str) -> None:
    click.secho(f"\n── {text}", fg="cyan", bold=True)
