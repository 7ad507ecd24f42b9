"""The demo: scenarios on this machine, played through the command line that a person would type."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit.demo.scenarios import SCENARIOS, Scenario, find
from deploykit.demo.stage import Stage, title
from deploykit.errors import UsageError
from deploykit.planning import packed_runbooks

if TYPE_CHECKING:
    from deploykit.sandbox import Sandbox
    from deploykit.sandbox.project import Pace

__all__ = ["ACTS", "SCENARIOS", "play"]

#: What is played where nobody names a scenario.
ACTS = ("healthy", "errors")


def play(  # noqa: PLR0913 - each is an option
    home: Path,
    names: tuple[str, ...] = ACTS,
    *,
    postgres_dsn: str | None = None,
    port: int | None = None,
    rate: float = 200.0,
    pace: Pace | None = None,
    left_out: tuple[str, ...] = (),
) -> tuple[Path, ...]:
    """Start the sandbox and play scenarios in it, one after the other.

    Args:
        home: Where settings and state of the demo are; the archive goes to `reports/` beside the folder it is run in.
        names: The scenarios.
        postgres_dsn: An own PostgreSQL server.
        port: Where the shop answers; else a free port.
        rate: Requests a second through the proxy.
        pace: How fast the runbook passes.
        left_out: Items that these performances leave out.

    Returns:
        The folders of the runs.

    Raises:
        UsageError: Something that the sandbox needs is missing or in use.
        DeploykitError: A scenario did not end as it must.
    """
    try:
        from deploykit.sandbox import Sandbox, SandboxError  # noqa: PLC0415 - an extra
        from deploykit.sandbox.project import Pace  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        missing = f"the sandbox is not installed: {error.name} is missing"
        raise UsageError(missing, mend="pip install 'deploykit-runbooks[sandbox]'") from error
    began, pace = time.monotonic(), pace or Pace()
    # A folder of its own for each performance: a lock or a journal of one that was broken off is in nobody's way.
    home = home.resolve() / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    title("Starting PostgreSQL, Envoy, a shop in two colours, its visitors, and stand-ins for the vendors")
    try:
        folder, ports = home / "sandbox", {"proxy": port} if port else {}
        with Sandbox.start(folder, rate=rate, postgres_dsn=postgres_dsn, load_seconds=900, ports=ports) as box:
            box.vendors.state("datadog", history=rate)  # or there would be no usual to hold the release against
            box.wait_for_metrics()
            stage = Stage(_settings(home, box, pace, left_out), box, pace)
            for number, scenario in enumerate(map(find, names), start=1):
                stage.play(_said(number, len(names), scenario), scenario)
    except SandboxError as error:
        raise UsageError(str(error), where="sandbox") from error
    _tell_what_is_left(stage.archived, time.monotonic() - began)
    return tuple(stage.archived)


def _settings(home: Path, box: Sandbox, pace: Pace, left_out: tuple[str, ...]) -> Path:
    from deploykit.sandbox.project import write_project  # noqa: PLC0415 - an extra

    archive, runbooks = os.path.relpath(Path("reports").resolve(), home), os.path.relpath(packed_runbooks(), home)
    file = write_project(home, box.addresses, archive=archive, runbooks=runbooks, pace=pace)
    with file.open("a", encoding="utf-8") as stream:
        stream.write("\n[left_out]\n" + "".join(f'"{item}" = "not what is shown"\n' for item in left_out))
    return file


def _tell_what_is_left(runs: list[Path], seconds: float) -> None:
    title(f"It is over, after {seconds:.0f} s. What is left to look at:")
    for run in runs:
        click.echo(f"  {run / 'report.html'}\n  {run / 'notebooks'}")


def _said(number: int, acts: int, scenario: Scenario) -> str:
    act = f"Act {number}: " if acts > 1 else ""
    return f"{act}{scenario.release} {scenario.story}"
