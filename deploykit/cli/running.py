"""`run`, `resume`, `rollback` and `close`."""

from __future__ import annotations

from contextlib import suppress

import click

from deploykit import settings as settings_module
from deploykit.cli import common
from deploykit.errors import BrokenRecordError, RollbackIncompleteError, StoreError, UsageError
from deploykit.journal import spool
from deploykit.journal.state import Status
from deploykit.journal.store import HURRY, PATIENCE, Store
from deploykit.model import Json, Plan
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
@click.option("--database", is_flag=True, help="Take the run's migrations back, too; else its backup is restored.")
@click.pass_context
def rollback(ctx: click.Context, run: str | None, reason: str, traffic_only: bool, database: bool) -> None:
    """Send traffic back to live at once; then the platform, the checks, the team and the incident report.

    Without RUN: the one run that is open.
    """
    try:
        found = common.find(ctx, run, patience=HURRY) if run else _the_open_one(ctx)
        _traffic_back(found, reason, database=database)
        if traffic_only:
            return
        from deploykit.runner import roll_back

        found.store.patience = PATIENCE
        spool.merge(found.store, found.id, found.actor)
        roll_back(found, common.Teller())
    except BrokenRecordError as error:
        raise RollbackIncompleteError(
            f"the journal is damaged, and what is left of the rollback cannot be recorded: {error.what}",
            where=error.where,
            mend="look at the router; if traffic is not on live yet: `deploykit rollback RUN --traffic-only`",
        ) from error
    except StoreError as error:
        _without_store(ctx, run or "", reason, error, traffic_only=traffic_only)
    else:
        click.echo(f"rolled back: {found.id}. Next: deploykit close {found.plan.number}")


def _traffic_back(found: Run, reason: str, *, database: bool) -> None:
    from deploykit.rollback import traffic_back

    with suppress(BrokenRecordError):  # a damaged journal keeps no traffic where it is
        if found.state().sealed:
            raise UsageError("the run is sealed", where=found.id, mend="plan the release that you want instead")
    _tell(found.plan, traffic_back(found, reason, database=database))


def _without_store(ctx: click.Context, run: str, reason: str, error: StoreError, *, traffic_only: bool) -> None:
    """Traffic goes back all the same; what is left waits for the store.

    Raises:
        RollbackIncompleteError: The rest was asked for too.
    """
    from deploykit.rollback import planned, without_store

    settings = settings_module.load(ctx.obj)
    found = planned(settings, run)
    click.echo(f"the journal cannot be written: {common.line(error.what)}", err=True)
    _tell(found, without_store(settings, found, common.person(), reason))
    if not traffic_only:
        raise RollbackIncompleteError(
            f"traffic is on {found.live.colour}, and the rest waits for the journal",
            where=error.where,
            mend=f"free space or mend permissions there, then `deploykit rollback {found.run}` again",
        )


def _tell(plan: Plan, facts: Json) -> None:
    click.echo(f"traffic is on {plan.live.colour} ({plan.live.version}), after {facts['seconds']} s")


def _the_open_one(ctx: click.Context) -> Run:
    settings = settings_module.load(ctx.obj)
    store = Store(settings.path(settings.state), patience=HURRY)
    states = {row.run: common.state(store, row) for row in store.runs()}
    active = [run for run, state in states.items() if state.steps and not state.sealed]
    if len(active) != 1:
        raise UsageError(f"which run? Under way: {', '.join(active) or 'none'}", mend="`deploykit rollback RUN`")
    return Run.find(settings, active[0], common.person(), patience=HURRY)


@click.command()
@click.argument("run")
@click.pass_context
def close(ctx: click.Context, run: str) -> None:
    """Seal RUN's archive: every item has an outcome, every file its hash, and the whole a signature."""
    from deploykit.archive import close as seal

    found = common.find(ctx, run)
    spool.merge(found.store, found.id, found.actor)
    state = found.state()
    seal(found)
    word = "sealed" if state.status is Status.DONE else f"sealed ({state.status.value})"
    folder = common.shown(found.folder)
    click.echo(f"{word}: {folder}")
    click.echo(f"open     {folder}/report.html")
    click.echo(f"check    deploykit verify {folder}")
