"""`backtest`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploykit import redact
from deploykit.cli import common
from deploykit.errors import UsageError

if TYPE_CHECKING:
    from deploykit.analysis.cases import Case

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("cases", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=False)
@click.option("--report", type=_FILE, help="A page with every case's pictures.")
@click.option("--from-datadog", is_flag=True, help="Judge your own past deployments, from the settings' metrics.")
@click.option("--environment", "-e", default="production", show_default=True, help="One of the settings' environments.")
@click.option("--at", "moments", multiple=True, help="A past deployment: its time, and =blue or =green if known.")
@click.option("--run", "runs", multiple=True, help="A past run of this project.")
@click.option("--before", default="4h", show_default=True, help="How much of live's past to learn from.")
@click.option("--after", default="30m", show_default=True, help="How much to judge.")
@click.option("--keep", type=_FILE, help="Write the cases to this file too.")
@click.pass_context
def backtest(
    ctx: click.Context,
    cases: Path | None,
    report: Path | None,
    from_datadog: bool,
    environment: str,
    moments: tuple[str, ...],
    runs: tuple[str, ...],
    before: str,
    after: str,
    keep: Path | None,
) -> None:
    """Judge the recorded deployments in CASES (JSON Lines, may be gzipped): one verdict a line, in JSON.

    With --from-datadog, past deployments are cut out of your own metrics instead, at --at or of a --run.
    """
    from deploykit import backtest as judged_again

    if from_datadog == (cases is not None) or from_datadog != bool(moments or runs):
        mend = "give a file of cases, or --from-datadog with --at or --run"
        raise UsageError("nothing, or two things, to judge", where="backtest", mend=mend)
    given = judged_again.read(cases) if cases else _past(ctx, environment, (moments, runs), (before, after), keep)
    counted = judged_again.run(given, lambda judged: click.echo(redact.text(json.dumps(judged.line()))), report)
    said = ", ".join(f"{count} {answer}" for answer, count in sorted(counted.items())) or "no cases"
    click.echo(said + (f"; pictures in {report}" if report else ""), err=True)


def _past(
    ctx: click.Context,
    environment: str,
    named: tuple[tuple[str, ...], tuple[str, ...]],
    window: tuple[str, str],
    keep: Path | None,
) -> Iterator[Case]:
    from deploykit.backtest import from_metrics, moment_of
    from deploykit.measure.past import moment
    from deploykit.settings.types import seconds

    moments, runs = named
    try:
        before, after = map(seconds, window)
    except ValueError as error:
        raise UsageError(str(error), where="--before, --after", mend="such as 4h") from error
    given = [*map(moment, moments), *(moment_of(common.find(ctx, run)) for run in runs)]
    return from_metrics(common.settings(ctx), environment, given, (before, after), keep)
