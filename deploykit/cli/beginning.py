"""`init` and `doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli import common
from deploykit.errors import Exit, RefusedError
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


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--service", help="Its name; else the folder's.")
@click.option("--environment", "-e", default="production", show_default=True, help="The first one.")
@click.option("--url", default="https://shop.example.com", show_default=True, help="Where users meet the service.")
@click.option("--blue", default="https://blue.example.com", show_default=True, help="Where blue answers by itself.")
@click.option("--green", default="https://green.example.com", show_default=True, help="Where green answers by itself.")
@click.option("--repository", default="OWNER/NAME", show_default=True, help="On GitHub.")
@click.option("--operator", default="you@example.com", show_default=True, help="Your principal in allowed_signers.")
@click.option("--force", multiple=True, metavar="FILE", help="Write FILE anew; the old one is kept beside it.")
def init(
    folder: Path,
    service: str | None,
    environment: str,
    url: str,
    blue: str,
    green: str,
    repository: str,
    operator: str,
    force: tuple[str, ...],
) -> None:
    """Write settings, runbooks and templates into FOLDER, your own repository. What is there is left as it is."""
    import re

    from deploykit import scaffold, settings

    name = service or re.sub(r"[^a-z0-9-]+", "-", folder.resolve().name.lower()).strip("-") or "service"
    answers = scaffold.Answers(name, environment, url, blue, green, repository, operator)
    found = scaffold.write(folder, answers, force)
    for path in found.written:
        backup = f" (before: {found.backups[path]})" if path in found.backups else ""
        click.echo(f"wrote  {common.line(path)}{backup}")
    if found.kept:
        mend = " ".join(f"--force {path}" for path in found.kept)
        said = f"left as they are: {', '.join(found.kept)}"
        raise RefusedError(said, where=str(folder), mend=f"to write them anew, with the old ones kept: {mend}")
    settings.load(folder / settings.FILE)
    click.echo(f"next   fill in {common.shown(folder / settings.FILE)}, set what it refers to, then: deploykit doctor")


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
