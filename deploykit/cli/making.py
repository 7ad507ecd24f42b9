"""`plan` and `sign`."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli import common
from deploykit.errors import UsageError
from deploykit.model import DecisionKind


@click.command()
@click.option("--environment", "-e", required=True, help="One of the settings' environments.")
@click.option("--release", "-r", required=True, help="The tag to deploy.")
@common.as_json
@click.pass_context
def plan(ctx: click.Context, environment: str, release: str, as_json: bool) -> None:
    """Open a run: decide everything, freeze plan and notebooks, and print what has to be approved."""
    from deploykit.planning import make

    made = make(common.settings(ctx), environment, release, common.person())
    found = made.plan
    if as_json:
        common.put({"run": made.id, "number": found.number, "plan": found.hash, "folder": str(made.folder)})
        return
    steps = " → ".join(f"{step.percent} %" for step in found.steps)
    click.echo(f"run      {made.id} (number {found.number})")
    click.echo(f"release  {found.release} ({found.commit[:9]}) to {found.service} in {found.environment}")
    click.echo(f"live     {found.live.colour}, {found.live.version}; candidate {found.candidate.colour}")
    click.echo(f"traffic  {steps}, then {found.watch_seconds / 60:g} min of watch (time scale {found.time_scale:g})")
    click.echo(f"plan     {found.hash}")
    click.echo(f"next     somebody else approves it:  deploykit sign {found.number} plan")


@click.command()
@click.argument("run")
@click.argument("item")
@common.key
@click.option("--comment", "-m", default="", help="Why; a refusal and an override need it.")
@click.option("--refuse", is_flag=True, help="Say no. It cannot be taken back.")
@click.option("--override", is_flag=True, help="Break-glass: let a gate open on an item that did not pass.")
@click.pass_context
def sign(
    ctx: click.Context,
    run: str,
    item: str,
    key: Path | None,
    comment: str,
    refuse: bool,
    override: bool,
) -> None:
    """Sign a decision on ITEM of RUN (`plan`, or an item's id) with your SSH key."""
    from deploykit.signoff.policy import decide

    if refuse and override:
        raise UsageError("--refuse and --override say opposite things", mend="give one")
    found = common.find(ctx, run)
    kind = DecisionKind.REFUSED if refuse else DecisionKind.OVERRIDDEN if override else DecisionKind.SIGNED
    made = decide(found, item, kind, key=common.signing_key(found.settings, key), comment=comment)
    until = f", to be used until {made.until:%F %T} UTC" if made.until else ""
    click.echo(f"{made.kind.value}: {item} of {found.id} by {made.signer}{until}")
