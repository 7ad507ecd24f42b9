"""What the commands share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from deploykit import redact
from deploykit import settings as settings_module
from deploykit.journal.events import Actor
from deploykit.run import Run, login
from deploykit.settings import Settings

as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def settings(ctx: click.Context) -> Settings:
    """The settings file in force."""
    return settings_module.load(ctx.obj)


def person() -> Actor:
    """Whoever is logged in; a name that proves nothing, and is recorded as such."""
    return Actor(kind="person", id=login())


def find(ctx: click.Context, run: str) -> Run:
    """The run that was named."""
    return Run.find(settings(ctx), run, person())


def say(line: str) -> None:
    """A line of progress; to stderr, so that `--json` stays alone on stdout."""
    click.echo(redact.visible(redact.text(line)), err=True)


def put(value: Any) -> None:
    """JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def put_rows(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """A plain table on stdout."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(redact.visible(line))
