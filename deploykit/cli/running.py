"""`run`, `resume`, `rollback` and `close`."""

from __future__ import annotations

import click

from deploykit import settings as settings_module
from deploykit.cli import common
from deploykit.errors import UsageError
from deploykit.journal.state import Status
from deploykit.run import Run


@click.command()
@click.argument("run")
@click.pass_context
def run(ctx: click.Context, run: str) -> None:
    """Execute the phases of RUN headless, up to the next gate that does not open."""
    _forward(common.find(ctx, run))


@click.command()
@click.argument("run")
@click.pass_context
def resume(ctx: click.Context, run: str) -> None:
    """Go on with RUN at the first item that is not settled."""
    _forward(common.find(ctx, run))


def _forward(found: Run) -> None:
    from deploykit.runner import forward

    forward(found, common.Teller())
    click.echo(f"done: {found.plan.release} has all traffic. Next: deploykit close {found.plan.number}")


@click.command()
@click.argument("run", required=False)
@click.option("--reason", "-m", default="asked for at the shell", help="Why, for the record.")
@click.option("--traffic-only", is_flag=True, help="Send traffic back, and leave the rest for later.")
@click.pass_context
def rollback(ctx: click.Context, run: str | None, reason: str, traffic_only: bool) -> None:
    """Send traffic back to live at once; then the platform, the checks, the team and the incident report.

    Without RUN: the one run that is open.
    """
    from deploykit.rollback import traffic_back

    found = common.find(ctx, run) if run else _the_open_one(ctx)
    if found.state().sealed:
        raise UsageError("the run is sealed", where=found.id, mend="plan the release that you want instead")
    facts = traffic_back(found, reason)
    click.echo(f"traffic is on {found.plan.live.colour} ({found.plan.live.version}), after {facts['seconds']} s")
    if traffic_only:
        return
    from deploykit.runner import roll_back

    roll_back(found, common.Teller())
    click.echo(f"rolled back: {found.id}. Next: deploykit close {found.plan.number}")


def _the_open_one(ctx: click.Context) -> Run:
    settings = settings_module.load(ctx.obj)
    from deploykit.journal.store import Store

    rows = Store(settings.path(settings.state)).runs()
    found = [run for row in rows if not (run := Run.find(settings, row.run, common.person())).state().sealed]
    active = [run for run in found if run.state().steps]
    if len(active) != 1:
        listed = ", ".join(run.id for run in active) or "none"
        raise UsageError(f"which run? Under way: {listed}", mend="`deploykit rollback RUN`")
    return active[0]


@click.command()
@click.argument("run")
@click.pass_context
def close(ctx: click.Context, run: str) -> None:
    """Seal RUN's archive: every item has an outcome, every file its hash, and the whole a signature."""
    from deploykit.archive import close as seal

    found = common.find(ctx, run)
    state = found.state()
    seal(found)
    word = "sealed" if state.status is Status.DONE else f"sealed ({state.status.value})"
    click.echo(f"{word}: {found.folder}")
    click.echo(f"open     {found.folder / 'report.html'}")
    click.echo(f"check    deploykit verify {found.folder}")
