"""Types the commands of a scenario as people would, and insists on how each ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploykit import settings as settings_module
from deploykit.errors import DeploykitError, Exit
from deploykit.journal.events import Actor
from deploykit.journal.state import State
from deploykit.journal.store import Store
from deploykit.model import now
from deploykit.run import Run

if TYPE_CHECKING:
    from deploykit.demo.scenarios import Scenario
    from deploykit.sandbox import Sandbox
    from deploykit.sandbox.project import Pace

#: Who signs what: approvals are for somebody else than the operator.
APPROVER, OPERATOR = "keys/anna", "keys/olga"
APPROVALS = {"plan", "database.migrations-reviewed"}


class Stage:
    """One sandbox, one team's settings, and the runs that were played in it.

    Args:
        settings: The team's settings file.
        box: The sandbox.
        pace: How fast the runbook passes.
    """

    def __init__(self, settings: Path, box: Sandbox, pace: Pace) -> None:
        self.settings, self.box, self.pace = settings, box, pace
        self.archived: list[Path] = []
        self._plain = settings.read_text("utf-8")

    def play(self, said: str, scenario: Scenario) -> None:
        """Play one scenario from plan to seal.

        Raises:
            DeploykitError: A command or an item did not end as the scenario says.
        """
        title(said)
        if self.archived:  # another night has passed since the last migration
            self.box.back_up()
        self.settings.write_text(scenario.edit(self._plain, self.pace), "utf-8")
        self.type(Exit.DONE, "plan", "--environment", "production", "--release", scenario.release)
        if not self.archived:
            self.type(Exit.WAITING, "run", self._run)
        self._sign("plan", "--comment", "read the plan")
        if scenario.breaks is not None:
            scenario.breaks(self.box)
        self._go_on(scenario)
        if scenario.undoes:
            self.type(Exit.DONE, "rollback", self._run, "--database", "--reason", "customers miss their orders")
        elif scenario.ends is Exit.FAILED:
            self.type(Exit.DONE, "abort", self._run, "--comment", "it is for tomorrow")
        self._close()
        self._compare(scenario)

    def _go_on(self, scenario: Scenario) -> None:
        """Run, sign what waits for somebody, and go on, until it ends as it must."""
        said = self.type(None, "run", self._run)
        while said in {Exit.WAITING, Exit.REFUSED}:
            waited_for = [scenario.overrides] if said is Exit.REFUSED else self._waits_for()
            if not any(waited_for):
                break  # nobody's signature would help
            for item in waited_for:
                self._sign(item, *self._words(said))
            said = self.type(None, "resume", self._run)
        if said is not scenario.ends:
            raise self._unexpected("run", said, scenario.ends)

    @staticmethod
    def _words(said: Exit) -> tuple[str, ...]:
        """How it is signed: over evidence, or breaking the glass."""
        if said is Exit.REFUSED:
            return "--override", "--comment", "payments are down, this mends them"
        return "--comment", "looked at it"

    def _waits_for(self) -> list[str]:
        """What is to be signed; what only the first hour keeps back is waited for, and gathered by `sign`."""
        said: dict[str, Any] = json.loads(self._call("status", self._run, "--json", capture_output=True).stdout)
        items: list[str] = said["to_sign"]
        run = self._newest()
        for item, settled in run.state().items.items():
            until = None if settled.gathered else run.evidence(settled.evidence).facts.get("until")
            if isinstance(until, str):
                seconds = max((datetime.fromisoformat(until) - now()).total_seconds(), 0.0)
                click.secho(f"\n(waiting {seconds:.0f} s for the end of the first hour)", dim=True)
                time.sleep(seconds + 0.5)
                items.append(item)
        return items

    def _sign(self, item: str, *words: str) -> None:
        key = APPROVER if item in APPROVALS or "--override" in words else OPERATOR
        self.type(Exit.DONE, "sign", self._run, item, "--key", self._beside(key), *words)

    def _close(self) -> None:
        self.type(Exit.DONE, "close", self._run)
        folder = self._folder()
        self.type(Exit.DONE, "verify", str(folder), "--allowed-signers", self._beside("allowed_signers"))
        self._check_sums(folder)
        self.archived.append(folder)

    def _compare(self, scenario: Scenario) -> None:
        state = self._newest().state()
        for item, outcome in scenario.outcomes.items():
            found = _outcome(state, item)
            if found != outcome:
                raise DeploykitError(f"{item} is {found}, expected {outcome}", where=f"scenario {scenario.name}")

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

    def type(self, ends: Exit | None, *words: str) -> Exit:
        """Run one command as a person would, and insist on how it ends, where that is known."""
        click.secho(f"\n$ deploykit {' '.join(words)}", bold=True)
        said = Exit(self._call(*words).returncode)
        click.secho(f"  (exit code {said.value}: {said.name.lower().replace('_', ' ')})", dim=True)
        if ends is not None and said is not ends:
            raise self._unexpected(words[0], said, ends)
        return said

    def _call(self, *words: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, settings_module.VARIABLE: str(self.settings)}
        return subprocess.run([sys.executable, "-m", "deploykit", *words], env=environment, check=False, **how)

    def _unexpected(self, command: str, said: Exit, ends: Exit) -> DeploykitError:
        return DeploykitError(
            f"`deploykit {command}` ended with {said.value}, expected {ends.value} ({ends.name.lower()})",
            where="demo",
            mend=f"read the lines above; the sandbox's logs are in {self.settings.parent / 'sandbox'}",
        )

    def _beside(self, name: str) -> str:
        """A file beside the settings, as a person would type it."""
        return os.path.relpath(self.settings.parent / name)

    @property
    def _run(self) -> str:
        return str(self._newest().plan.number)

    def _folder(self) -> Path:
        return Path(os.path.relpath(self._newest().folder))

    def _newest(self) -> Run:
        settings = settings_module.load(self.settings)
        newest = Store(settings.path(settings.state)).runs()[0].run
        return Run.find(settings, newest, Actor(kind="service", id="demo"))


def _outcome(state: State, item: str) -> str:
    settled = state.items.get(item)
    return settled.outcome.value if settled else "missing"


def title(text: str) -> None:
    """A line that heads what follows."""
    click.secho(f"\n── {text}", fg="cyan", bold=True)
