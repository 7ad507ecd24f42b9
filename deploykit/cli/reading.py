"""`status`, `verify`, `report`, `runs` and `checklist`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from deploykit.checklist import checklist as known_checklist
from deploykit.cli import common
from deploykit.errors import DeploykitError, Exit, Waiting
from deploykit.journal.state import Status
from deploykit.journal.store import Store
from deploykit.model import Json
from deploykit.run import Run


@click.command()
@click.argument("run")
@common.as_json
@click.pass_context
def status(ctx: click.Context, run: str, as_json: bool) -> None:
    """Where RUN stands, what is unknown, and who is waited for."""
    found = _standing(common.find(ctx, run))
    if as_json:
        common.put(found)
        return
    click.echo(f"{found['run']}: {found['status']}{', sealed' if found['sealed'] else ''}")
    for line in ("rolled_back", "returned", "waiting_for", "weights", "guard", "progress"):
        if found[line]:
            click.echo(f"{line.replace('_', ' ')}: {common.line(found[line])}")
    _tell_people(found)
    for notebook in found["notebooks"]:
        click.echo(f"notebook: {common.line(notebook)}")
    for line in ("lock", "freeze"):
        if found[line]:
            click.echo(f"{line}: {common.line(found[line]['said'])}")
    for step in found["unknown"]:
        click.echo(
            f"unknown: {step}. Whoever looks there signs: deploykit resolve {run} {step} --happened, or --did-not"
        )
    rows = [(str(i["item"]), str(i["outcome"]), str(i["summary"])) for i in found["items"]]
    common.put_rows(("item", "outcome", "summary"), rows)


def _tell_people(found: dict[str, Any]) -> None:
    """Who is waited for, and what for."""
    for item in found["to_sign"]:
        who = ", ".join(found["who"][item]) or "nobody yet: give someone the role"
        click.echo(f"to sign: deploykit sign {found['number']} {item}  (waits for {common.line(who)})")
    for each in found["to_review"]:
        why = f"{each['item']} was overridden by {each['signer']}: {each['comment']}"
        click.echo(f"to review: deploykit sign {found['number']} {each['item']} --review -m WHAT  ({common.line(why)})")
    for said in found["void"]:
        click.echo(f"void: {common.line(said)}")


def _standing(run: Run) -> dict[str, Any]:
    from deploykit import progress, reconcile
    from deploykit.signoff import gate

    state = run.state()
    items = []
    for item in known_checklist().item:
        settled = state.items.get(item.id)
        outcome, summary = (settled.outcome.value, settled.summary) if settled else ("", "")
        items.append({"item": item.id, "phase": item.phase, "outcome": outcome, "summary": summary})
    return {
        "run": run.id,
        "number": run.plan.number,
        "release": run.plan.release,
        "status": state.status.value,
        "sealed": state.sealed,
        "waiting_for": _waiting_for(run),
        "to_sign": (to_sign := _to_sign(run)),
        "who": {item: list(_who(run, item)) for item in to_sign},
        "to_review": [decision.model_dump(mode="json") for decision in gate.to_review(run)],
        "void": _void(run),
        "rolled_back": state.rolled_back,
        "returned": state.returned,
        "unknown": [step.step for step in state.unknown],
        "lock": _lock(run),
        "freeze": _freeze(run),
        "progress": progress.last(run),
        **reconcile.look(run),
        "items": items,
        "decisions": [decision.model_dump(mode="json") for decision in state.decisions.values()],
    }


def _to_sign(run: Run) -> list[str]:
    """Sign-offs whose evidence lies ready, in the order of the checklist."""
    from deploykit.signoff import gate

    state = run.state()
    ready = [item.id for item in known_checklist().item if state.gathered(item.id)]
    if state.status is not Status.OPEN:
        return [item for item in ready if not state.opens(item)]
    return [item for item in ready if not gate.opens(run, item)]


def _who(run: Run, item: str) -> tuple[str, ...]:
    from deploykit.signoff import gate, rules

    return rules.signers(run.plan, gate.team(run), item)


def _void(run: Run) -> list[str]:
    """Decisions that the journal has, and that open nothing: expired, revoked with their key, or never signed."""
    from deploykit.signoff import gate

    state = run.state()
    if state.status is not Status.OPEN:
        return []
    return [f"{item}: {gate.shut(run, item)}" for item in state.decisions if state.opens(item) and gate.shut(run, item)]


def _lock(run: Run) -> Json:
    """Who holds the environment, and what may be done about it."""
    held = run.store.lock(*run.place)
    if held is None or not held.run:
        return {}
    expired = held.age >= run.settings.lock.expires
    if not expired:
        said = held.holder
    else:
        said = f"{held.holder}, so it counts as gone. If it is: deploykit unlock {held.run}, signed"
    return {
        **held.model_dump(include={"run", "owner", "since", "reason", "host", "fence"}),
        "age": held.age,
        "said": said,
    }


def _freeze(run: Run) -> Json:
    found = run.store.frozen(run.place)
    return {**found.model_dump(), "said": found.sentence} if found else {}


def _waiting_for(run: Run) -> str:
    """Who is waited for, where the plan is not approved."""
    from deploykit.signoff.gate import require_approval

    if run.state().started:
        return ""
    try:
        require_approval(run)
    except (Waiting, DeploykitError) as error:
        return str(error)
    return ""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The team's own file; else the archive's copy, which proves less.",
)
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    help="Who knows the journal: a file (an export of the thread too), a git repository, or the words of a message.",
)
@common.as_json
@click.pass_context
def verify(
    ctx: click.Context, folder: Path, allowed_signers: Path | None, witnesses: tuple[str, ...], as_json: bool
) -> None:
    """Check everything that an archived run in FOLDER says of itself. Needs no settings, store or network."""
    from deploykit.verify import verify as check

    found = check(folder, allowed_signers, witnesses)
    if as_json:
        common.put({"ok": found.ok, **found.model_dump(mode="json")})
    else:
        for line in found.wrong:
            click.echo(f"✘ {line}")
        for line in found.warnings:
            click.echo(f"! {line}")
        click.echo(f"{'✔ holds' if found.ok else '✘ does not hold'}: {folder}")
    ctx.exit(Exit.DONE if found.ok else Exit.FAILED)


@click.command()
@click.argument("run")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Else into the run's folder.")
@click.pass_context
def report(ctx: click.Context, run: str, output: Path | None) -> None:
    """Write RUN's report: one HTML file that needs nothing else."""
    from deploykit.files import write_atomically
    from deploykit.report import render

    found = common.find(ctx, run)
    sealed = found.folder / "report.html"
    if output is None and found.state().sealed:
        click.echo(str(sealed))
        return
    output = output or sealed
    write_atomically(output.resolve(), render(found))
    click.echo(str(output))


@click.command()
@common.as_json
@click.pass_context
def runs(ctx: click.Context, as_json: bool) -> None:
    """List the runs, newest first."""
    settings = common.settings(ctx)
    listed: list[Json] = []
    store = Store(settings.path(settings.state))
    for row in store.runs():
        state = common.state(store, row)
        listed.append({**row.model_dump(), "status": state.status.value, "sealed": state.sealed})
    if as_json:
        common.put(listed)
        return
    columns = ("number", "run", "release", "status", "sealed")
    common.put_rows(columns, [tuple(str(row[column]) for column in columns) for row in listed])


@click.command()
@common.as_json
def checklist(as_json: bool) -> None:
    """The items of the checklist, and how each is proved."""
    items = [
        {**item.model_dump(mode="json", exclude={"by"}), "automated": item.automated} for item in known_checklist().item
    ]
    if as_json:
        common.put(items)
        return
    common.put_rows(("item", "kind", "proof"), [(i["id"], i["kind"], i["proof"]) for i in items])
