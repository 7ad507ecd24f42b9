"""`resolve`, `unlock`, `freeze`, `thaw`, `abort` and `note`: what a person has to say of a run or an environment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from deploykit.cli import common
from deploykit.errors import UsageError
from deploykit.journal import clock
from deploykit.journal.events import Type
from deploykit.journal.locks import Freeze
from deploykit.journal.store import Store
from deploykit.model import DecisionKind
from deploykit.settings import Settings
from deploykit.settings.types import seconds

_reason = click.option("--comment", "--reason", "-m", "comment", required=True, help="Why, for the record.")
_environment = click.option("--environment", "-e", required=True, help="One of the settings' environments.")


@click.command()
@click.argument("run")
@click.argument("step")
@click.option("--happened", "how", flag_value=DecisionKind.HAPPENED.value, help="You looked, and it is done.")
@click.option("--did-not", "how", flag_value=DecisionKind.DID_NOT.value, help="You looked, and it is not.")
@common.key
@click.option("--comment", "-m", default="", help="What you looked at.")
@click.pass_context
def resolve(ctx: click.Context, run: str, step: str, how: str | None, key: Path | None, comment: str) -> None:
    """Say, signed, how STEP of RUN ended, which nobody saw. `deploykit resume` goes on from there."""
    from deploykit.signoff.policy import decide

    if how is None:
        raise UsageError("say how it ended", where="resolve", mend="--happened or --did-not, after looking there")
    found = common.find(ctx, run)
    kind = DecisionKind(how)
    made = decide(found, step, kind, key=common.signing_key(found.settings, key), comment=comment)
    word = "happened" if kind is DecisionKind.HAPPENED else "did not happen"
    click.echo(f"resolved: {step} of {found.id} {word}, says {made.signer}. Next: deploykit resume {found.plan.number}")


@click.command()
@click.argument("run")
@common.key
@_reason
@click.pass_context
def unlock(ctx: click.Context, run: str, key: Path | None, comment: str) -> None:
    """Break, signed, the lock of RUN, whose people are gone; or let another machine deploy where RUN did."""
    from deploykit.signoff.policy import decide
    from deploykit.signoff.statement import LOCK

    found = common.find(ctx, run)
    made = decide(found, LOCK, DecisionKind.BROKEN, key=common.signing_key(found.settings, key), comment=comment)
    click.echo(f"unlocked: {found.plan.environment}, by {made.signer}. What {found.id} left behind is not undone by it")


@click.command()
@click.option("--environment", "-e", help="One of the settings' environments; without it the freezes are listed.")
@click.option("--until", help="2026-12-24T08:00 (in the environment's time zone, or with its own), or 90m, 12h, 3d.")
@click.option("--comment", "--reason", "-m", "comment", default="", help="Why, for whoever meets it.")
@common.as_json
@click.pass_context
def freeze(ctx: click.Context, environment: str | None, until: str | None, comment: str, as_json: bool) -> None:
    """No deployments to an environment until a time. A rollback is not affected."""
    settings = common.settings(ctx)
    store = Store(settings.path(settings.state))
    if environment is None:
        _list(settings, store, as_json=as_json)
        return
    if not until or not comment.strip():
        raise UsageError("until when, and why?", where="freeze", mend="give --until and --reason")
    end = _moment(until, settings.environment(environment).timezone)
    said = _freeze(settings, environment, f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", comment)
    store.freeze(said)
    if as_json:
        common.put(said.model_dump())
    else:
        click.echo(f"frozen: {common.line(said.sentence)}")


@click.command()
@_environment
@_reason
@click.pass_context
def thaw(ctx: click.Context, environment: str, comment: str) -> None:
    """Lift an environment's freeze before its time."""
    settings = common.settings(ctx)
    settings.environment(environment)
    store = Store(settings.path(settings.state))
    found = store.frozen((settings.service.name, environment))
    if found is None:
        raise UsageError(f"{environment} is not frozen", where="thaw", mend="`deploykit freeze` lists what is")
    store.freeze(_freeze(settings, environment, "", comment))
    click.echo(f"thawed: {environment}; it was frozen until {found.until} by {common.line(found.by)}")


def _freeze(settings: Settings, environment: str, until: str, reason: str) -> Freeze:
    service, by = settings.service.name, common.person().id
    return Freeze(service=service, environment=environment, at=clock.read().at, by=by, until=until, reason=reason)


def _moment(text: str, zone: str) -> datetime:
    """A time to come, as a date or from now."""
    now = datetime.now(UTC)
    try:
        end = datetime.fromtimestamp(now.timestamp() + seconds(text), UTC)
    except ValueError:
        try:
            given = datetime.fromisoformat(text)
        except ValueError:
            mend = "write 2026-12-24T08:00, or 90m, 12h, 3d"
            raise UsageError(f"{text!r} is no time", where="--until", mend=mend) from None
        end = given if given.tzinfo else given.replace(tzinfo=ZoneInfo(zone))
    if end <= now:
        raise UsageError(f"{text} is over", where="--until", mend="`deploykit thaw` lifts a freeze")
    return end


def _list(settings: Settings, store: Store, *, as_json: bool) -> None:
    found = [store.frozen((settings.service.name, name)) for name in sorted(settings.environments)]
    listed = [freeze for freeze in found if freeze is not None]
    if as_json:
        common.put([freeze.model_dump() for freeze in listed])
        return
    rows = [(freeze.environment, freeze.until, freeze.by, freeze.reason) for freeze in listed]
    common.put_rows(("environment", "until", "by", "reason"), rows)


@click.command()
@click.argument("run")
@_reason
@click.pass_context
def abort(ctx: click.Context, run: str, comment: str) -> None:
    """End RUN before it touched production."""
    from deploykit.runner import abort as end

    found = common.find(ctx, run)
    end(found, comment)
    click.echo(f"aborted: {found.id}. Next: deploykit close {found.plan.number}")


@click.command()
@click.argument("run")
@click.argument("text")
@click.option(
    "--attach",
    "attached",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="After the seal: a file to keep with it.",
)
@common.key
@click.pass_context
def note(ctx: click.Context, run: str, text: str, attached: tuple[Path, ...], key: Path | None) -> None:
    """Write down what happened, in RUN's journal; after the seal in an addendum, signed."""
    found = common.find(ctx, run)
    if not text.strip():
        raise UsageError("there is nothing to write down", where="note", mend='deploykit note RUN "what happened"')
    if found.state().sealed:
        from deploykit import addenda

        signed = common.signing_key(found.settings, key)
        click.echo(f"added: {common.shown(addenda.add(found, text, signed, addenda.attached(attached)))}")
        return
    if attached:
        raise UsageError("a file is kept after the seal alone", where="--attach", mend="leave it out, or close the run")
    event = found.append(Type.NOTE_WRITTEN, data={"text": text})
    click.echo(f"noted: event {event.seq} of {found.id}")
