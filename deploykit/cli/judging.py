"""`backtest`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deploykit import redact


@click.command()
@click.argument("cases", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="A page with every case's pictures.")
def backtest(cases: Path, report: Path | None) -> None:
    """Judge the recorded deployments in CASES (JSON Lines, may be gzipped): one verdict a line, in JSON."""
    from deploykit.backtest import run

    counted = run(cases, lambda judged: click.echo(redact.text(json.dumps(judged.line()))), report)
    said = ", ".join(f"{count} {answer}" for answer, count in sorted(counted.items())) or "no cases"
    click.echo(said + (f"; pictures in {report}" if report else ""), err=True)
