"""What the commands share."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deploykit import redact
from deploykit import settings as settings_module
from deploykit.errors import UsageError
from deploykit.journal.events import Actor, Event
from deploykit.journal.state import State, fold
from deploykit.journal.store import PATIENCE, RunRow, Store
from deploykit.run import Run, login
from deploykit.settings import Settings

key = click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False), help="Your key; a .pub lets the agent sign."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def settings(ctx: click.Context) -> Settings:
    """The settings file in force."""
    return settings_module.load(ctx.obj)


def person() -> Actor:
    """Whoever is logged in; a name that proves nothing, and is recorded as such."""
    return Actor(kind="person", id=login())


def find(ctx: click.Context, run: str, *, patience: float = PATIENCE) -> Run:
    """The run that was named; `patience` is how long to wait for a store that another process keeps busy."""
    return Run.find(settings(ctx), run, person(), patience=patience)


def signing_key(settings: Settings, given: Path | None) -> Path:
    """The key that was given, from where one stands, else the settings'.

    Raises:
        UsageError: There is neither.
    """
    if given is not None:
        return given.expanduser().absolute()
    if settings.signing.key is not None:
        return settings.path(settings.signing.key)
    raise UsageError("no key is named", where="--key", mend="give --key ~/.ssh/id_ed25519.pub, or set signing.key")


def state(store: Store, row: RunRow) -> State:
    """Where a run stands, from its journal alone: its folder may have been moved to the archive's own place."""
    return fold(Event.parse(line) for line in store.lines(row.run))


class Teller:
    """Lines of progress on stderr, so that `--json` stays alone on stdout.

    A passing line (`  … `) is replaced in place on a terminal; elsewhere one is kept every few seconds.
    """

    EVERY = 5.0

    def __init__(self) -> None:
        self._passing = False
        self._kept_at = 0.0

    def __call__(self, line: str) -> None:
        """Tell one line."""
        line = redact.visible(redact.text(line))
        passing, terminal = line.startswith("  … "), sys.stderr.isatty()
        if passing and not terminal:
            if time.monotonic() - self._kept_at < self.EVERY:
                return
            self._kept_at = time.monotonic()
        clear = "\r\033[K" if self._passing else ""
        self._passing = passing and terminal
        if self._passing:
            line = line[: shutil.get_terminal_size().columns - 1]
        click.echo(f"{clear}{line}", err=True, nl=not self._passing)


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith(os.pardir) else near


def put(value: Any) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def put_rows(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A plain table on stdout."""
    shown = [tuple(line(cell) for cell in row) for row in [columns, *rows]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(columns))]
    for row in shown:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def line(text: str) -> str:
    """Text from outside as one line, which cannot pass for another row or reach the terminal's controls."""
    return " ".join(redact.visible(text).split())
