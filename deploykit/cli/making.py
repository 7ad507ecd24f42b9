"""`plan` and `sign`."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit import redact
from deploykit.cli import common
from deploykit.errors import UsageError
from deploykit.journal.events import Type
from deploykit.model import Decision, DecisionKind, Plan
from deploykit.run import Run
from deploykit.signoff.statement import PLAN, Choice

_file = click.Path(path_type=Path, dir_okay=False)
_KINDS = {
    "refuse": DecisionKind.REFUSED,
    "override": DecisionKind.OVERRIDDEN,
    "revoke": DecisionKind.REVOKED,
    "review": DecisionKind.REVIEWED,
}


@click.command()
@click.option("--environment", "-e", required=True, help="One of the settings' environments.")
@click.option("--release", "-r", required=True, help="The tag to deploy.")
@click.option("--rehearse", is_flag=True, help="Read what is real, and leave out every change.")
@common.as_json
@click.pass_context
def plan(ctx: click.Context, environment: str, release: str, rehearse: bool, as_json: bool) -> None:
    """Open a run: decide everything, freeze plan and notebooks, and print what has to be approved."""
    from deploykit.planning import make

    made = make(common.settings(ctx), environment, release, common.person(), rehearse=rehearse)
    found = made.plan
    if as_json:
        common.put({"run": made.id, "number": found.number, "plan": found.hash, "folder": str(made.folder)})
        return
    _tell(found)
    if found.rehearsal:
        click.echo(f"next     a rehearsal changes nothing and needs no approval:  deploykit run {found.number}")
        return
    click.echo(f"next     somebody else approves it:  deploykit sign {found.number} plan")


def _tell(plan: Plan, *, err: bool = False) -> None:
    """What is approved with a plan."""
    steps = " → ".join(f"{step.percent} %" for step in plan.steps)
    for line in (
        f"run      {plan.run} (number {plan.number})",
        f"release  {plan.release} ({plan.commit[:9]}) to {plan.service} in {plan.environment}",
        f"live     {plan.live.colour}, {plan.live.version}; candidate {plan.candidate.colour}",
        f"traffic  {steps}, then {plan.watch_seconds / 60:g} min of watch (time scale {plan.time_scale:g})",
        f"people   operator {plan.operator or 'nobody'}; authors {', '.join(plan.authors) or 'nobody'}",
        f"plan     {plan.hash}",
    ):
        click.echo(redact.visible(line), err=err)


@click.command()
@click.argument("run")
@click.argument("item")
@common.key
@click.option("--comment", "-m", default="", help="Why; whatever is not a plain signature needs it.")
@click.option("--refuse", is_flag=True, help="Say no. It cannot be taken back.")
@click.option("--override", is_flag=True, help="Break-glass: let a gate open on an item that did not pass.")
@click.option("--revoke", is_flag=True, help="Take your own decision back, before it is used.")
@click.option("--review", is_flag=True, help="You looked at what somebody else overrode.")
@click.option("--statement", type=_file, help="Write what is to be signed there, and sign it elsewhere.")
@click.option("--signature", type=_file, help="Bring in the signature of such a statement.")
@click.pass_context
def sign(
    ctx: click.Context,
    /,
    run: str,
    item: str,
    key: Path | None,
    comment: str,
    statement: Path | None,
    signature: Path | None,
    **how: bool,
) -> None:
    """Sign a decision on ITEM of RUN (`plan`, or an item's id) with your SSH key."""
    from deploykit.signoff.policy import decide

    kind, found = _kind([name for name, given in how.items() if given]), common.find(ctx, run)
    if signature is not None:
        if comment or key or any(how.values()):
            mend = "leave out everything but --signature and --statement"
            raise UsageError("what was signed says already who decides what, and why", where="--signature", mend=mend)
        _told(found, _bring_in(found, item, statement, signature))
        return
    seen = None if kind.answers else _show(found, item)
    name = common.signing_key(found.settings, key)
    if statement is None:
        _told(found, decide(found, item, kind, key=name, comment=comment, seen=seen))
    else:
        choice = Choice(item=item, kind=kind, signer=_principal(found, name), comment=comment)
        _write(found, choice, seen, name, statement)


def _kind(given: list[str]) -> DecisionKind:
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} say opposite things", mend="give one")
    return _KINDS[given[0]] if given else DecisionKind.SIGNED


def _told(run: Run, made: Decision) -> None:
    until = f", to be used until {made.until:%F %T} UTC" if made.until and not made.kind.answers else ""
    click.echo(f"{made.kind.value}: {made.item} of {run.id} by {made.signer}{until}")
    if made.kind is DecisionKind.OVERRIDDEN:
        last = run.events()[-1]
        if last.type is Type.NOTE_WRITTEN:
            click.echo(common.line(str(last.data["text"])), err=True)
        click.echo(f"somebody else reviews it: deploykit sign {run.plan.number} {made.item} --review -m WHAT")


def _principal(run: Run, key: Path) -> str:
    from deploykit.signoff import gate, ssh

    return ssh.principal_of_key(key, gate.allowed_signers(run))


def _write(run: Run, choice: Choice, seen: str | None, key: Path, file: Path) -> None:
    """Write the exact bytes to sign, and say what to type where the key is."""
    from deploykit.files import write_atomically
    from deploykit.signoff.policy import commands, prepare

    made = prepare(run, choice, seen)
    write_atomically(file.absolute(), made.data)
    sign, bring = commands(run, made, file, key)
    click.echo(f"written  {file}, to be signed until {made.predicate.sign_by:%F %T} UTC")
    click.echo(f"there    {sign}")
    click.echo(f"here     {bring}")


def _bring_in(run: Run, item: str, statement: Path | None, signature: Path) -> Decision:
    from deploykit.signoff.policy import accept

    # ssh-keygen writes the signature beside what it signs.
    file = statement or signature.with_suffix("")
    for path in (file, signature):
        if not path.is_file():
            mend = "deploykit sign RUN ITEM --statement FILE writes it, ssh-keygen -Y sign makes FILE.sig"
            raise UsageError("is not there", where=str(path), mend=mend)
    return accept(run, file.read_bytes(), signature.read_bytes(), item=item)


def _show(run: Run, item: str) -> str | None:
    """Show what is about to be signed over, and return its hash; what nobody gathered yet is gathered now."""
    from deploykit.checklist import checklist
    from deploykit.execution import make_context, run_check

    if item == PLAN:
        _tell(run.plan, err=True)
        return None
    known = checklist().find(item)
    if not known.automated and not run.state().sealed:
        run_check(run, make_context(run), known)
    result = run.result(item)
    if result is None:
        return None
    seen = run.state().items[item].evidence
    click.echo(f"{result.outcome.value}: {common.line(result.summary)}", err=True)
    for name, value in result.evidence.facts.items():
        click.echo(f"  {common.line(name)}: {common.line(str(value))}", err=True)
    for table in result.evidence.tables:
        common.put_rows(table.columns, [tuple(str(cell) for cell in row) for row in table.rows], err=True)
    if result.evidence.text:
        click.echo(redact.visible(result.evidence.text), err=True)
    return seen
