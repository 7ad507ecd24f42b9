"""`run`, `resume`, `rollback` and `close`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import click

from deploykit import settings as settings_module
from deploykit.cli import common
from deploykit.errors import BrokenRecordError, RollbackIncompleteError, StoreError, UsageError
from deploykit.journal import spool
from deploykit.journal.state import Status, StepPhase
from deploykit.journal.store import HURRY, PATIENCE, Store
from deploykit.model import Colour, Json, Plan
from deploykit.run import Run
from deploykit.settings import Settings


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
@click.option("--service", "-s", help="Without RUN: the service, as the settings name it.")
@click.option(
    "--environment", "-e", help="Without RUN: the environment; who has its lock, or was begun last, goes back."
)
@click.option("--to", type=click.Choice(["blue", "green"]), help="Where no run says who is live: all traffic here.")
@click.option("--reason", "-m", default="asked for at the shell", help="Why, for the record.")
@click.option("--traffic-only", is_flag=True, help="Send traffic back, and leave the rest for later.")
@click.option("--database", is_flag=True, help="Take the run's migrations back, too; else its backup is restored.")
@click.pass_context
def rollback(
    ctx: click.Context,
    run: str | None,
    service: str | None,
    environment: str | None,
    to: str | None,
    reason: str,
    traffic_only: bool,
    database: bool,
) -> None:
    """Send traffic back to live at once; then the platform, the checks, the team and the incident report.

    Without RUN: the one run that is open, or that of an environment.
    """
    settings = settings_module.load(ctx.obj)
    wanted = _Wanted(settings, run or "", environment or "", reason, database=database)
    wanted.require_one_way(service, to)
    if to:
        _to(wanted, cast("Colour", to))
        return
    try:
        found = wanted.find()
    except (StoreError, BrokenRecordError) as error:
        _without_store(wanted, error, traffic_only=traffic_only)
        return
    try:
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
        _without_store(wanted, error, traffic_only=traffic_only)
    else:
        click.echo(f"rolled back: {found.id}. Next: deploykit close {found.plan.number}")
        _ask_about_database(found, database=database)


@dataclass(frozen=True)
class _Wanted:
    """What is to be rolled back."""

    settings: Settings
    run: str
    environment: str
    reason: str
    database: bool

    def require_one_way(self, service: str | None, to: str | None) -> None:
        """A run, or a place; and these settings know the place.

        Raises:
            UsageError: It is said in two ways, or not at all.
        """
        if self.run and (service or self.environment or to):
            raise UsageError("a run is of one environment already", mend="`deploykit rollback RUN`, and no place")
        if (service or to) and not self.environment:
            raise UsageError("which environment?", mend="add --environment")
        if to and self.database:
            raise UsageError("no run says which migrations", mend="`deploykit rollback RUN --database`")
        if service and service != self.settings.service.name:
            said = f"these settings are of the service {self.settings.service.name}, not of {service}"
            raise UsageError(said, where=self.settings.file, mend="use the settings of that service")
        if self.environment:
            self.settings.environment(self.environment)

    def find(self) -> Run:
        """The run itself.

        Raises:
            UsageError: There is none, or more than one.
            StoreError: The journal cannot be read.
        """
        name = self.run or self._of_place() or self._the_open_one()
        return Run.find(self.settings, name, common.person(), patience=HURRY)

    def _of_place(self) -> str:
        from deploykit.rollback import in_charge

        if not self.environment:
            return ""
        found = in_charge(self.settings, self.environment, patience=HURRY)
        if not found:
            mend = f"`deploykit rollback -e {self.environment} --to COLOUR`, the one that is live, sends traffic there"
            raise UsageError(f"no run is under way in {self.environment}, so who is live?", mend=mend)
        return found

    def _the_open_one(self) -> str:
        store = Store(self.settings.path(self.settings.state), patience=HURRY)
        states = {row.run: common.state(store, row) for row in store.runs()}
        active = [run for run, state in states.items() if state.steps and not state.sealed]
        if len(active) != 1:
            raise UsageError(f"which run? Under way: {', '.join(active) or 'none'}", mend="`deploykit rollback RUN`")
        return active[0]


def _to(wanted: _Wanted, live: Colour) -> None:
    """Without any run: all traffic to the colour that was named, and nothing else, since nothing else is known."""
    from deploykit.rollback import without_run

    facts = without_run(wanted.settings, wanted.environment, live, common.person(), wanted.reason)
    click.echo(f"traffic is on {live}, after {facts['seconds']} s; no run says what else there is to undo")


def _traffic_back(found: Run, reason: str, *, database: bool) -> None:
    from deploykit.rollback import traffic_back

    with suppress(BrokenRecordError):  # a damaged journal keeps no traffic where it is
        if found.state().sealed:
            raise UsageError("the run is sealed", where=found.id, mend="plan the release that you want instead")
    _tell(found.plan, traffic_back(found, reason, database=database))


def _without_store(wanted: _Wanted, error: StoreError | BrokenRecordError, *, traffic_only: bool) -> None:
    """Traffic goes back all the same; what is left waits for the store.

    Raises:
        RollbackIncompleteError: The rest was asked for too.
    """
    from deploykit.rollback import planned, without_store

    found = planned(wanted.settings, wanted.run, wanted.environment)
    click.echo(f"the journal cannot be used: {common.line(error.what)}", err=True)
    facts = without_store(wanted.settings, found, common.person(), wanted.reason, database=wanted.database)
    _tell(found, facts)
    if not traffic_only:
        raise RollbackIncompleteError(
            f"traffic is on {found.live.colour}, and the rest waits for the journal",
            where=error.where,
            mend=f"free space or mend permissions there, then `deploykit rollback {found.run}` again",
        )


def _tell(plan: Plan, facts: Json) -> None:
    click.echo(f"traffic is on {plan.live.colour} ({plan.live.version}), after {facts['seconds']} s")


def _ask_about_database(found: Run, *, database: bool) -> None:
    """What only a person decides: the migrations that the run applied are still there."""
    steps = found.state().steps.values()
    applied = [step.step for step in steps if step.item == "database.migrate" and step.phase is StepPhase.HAPPENED]
    if applied and not database:
        click.echo(
            f"still applied: {', '.join(applied)}. They stay, unless you say otherwise, which stops traffic for it:"
        )
        click.echo(f"         deploykit rollback {found.plan.number} --database")


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
