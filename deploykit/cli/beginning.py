"""`init` and `doctor`."""

from __future__ import annotations

import click

from deploykit.cli import common
from deploykit.errors import Exit
from deploykit.model import Result


@click.command()
@click.option("--environment", "-e", "environments", multiple=True, help="One of the settings'; else all of them.")
@click.option(
    "--within", type=click.FloatRange(1), default=30.0, show_default=True, help="Seconds to wait for answers."
)
@common.as_json
@click.pass_context
def doctor(ctx: click.Context, environments: tuple[str, ...], within: float, as_json: bool) -> None:
    """Look at settings, credentials and reachability, and say how to mend what is wrong. It only reads.

    Exits with 0 where nothing is wrong; an optional section that is not set is shown, and is not wrong.
    """
    from deploykit.doctor import examine

    found = examine(common.settings(ctx), environments, within=within)
    if as_json:
        common.put([_plain(result) for result in found])
    else:
        _table(found)
    ctx.exit(Exit.DONE if all(result.outcome.opens for result in found) else Exit.FAILED)


def _plain(result: Result) -> dict[str, str]:
    where = str(result.evidence.facts.get("where", ""))
    what = {"name": result.item, "outcome": result.outcome.value, "where": where, "what": result.summary}
    return {**what, "mend": result.mend}


def _table(found: tuple[Result, ...]) -> None:
    from deploykit.redact import text

    common.put_rows(("", "what", "found"), [(r.outcome.value, r.item, text(r.summary)) for r in found])
    told = [result for result in found if result.mend]
    for result in told:
        place = _plain(result)["where"]
        click.echo(f"\n{result.item}: {common.line(text(result.summary))}")
        click.echo(f"  {common.line(text(place))}\n" if place else "", nl=False)
        click.echo(f"  → {common.line(text(result.mend))}")
    wrong = sum(not result.outcome.opens for result in found)
    click.echo(f"\n{len(found)} looked at, {wrong} wrong")
