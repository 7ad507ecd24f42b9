"""`demo`."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.errors import UsageError


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".deploykit/demo"),
    help="Where the demo keeps its settings and state.",
)
@click.option("--postgres", metavar="DSN", help="A PostgreSQL of your own instead of the wheel's.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the shop answers; else a free port.")
@click.option("--rate", type=float, default=200.0, show_default=True, help="Requests a second through the proxy.")
@click.option("--scenario", "names", multiple=True, help="Instead of the two acts; may be given again. `list` lists.")
def demo(home: Path, postgres: str | None, port: int | None, rate: float, names: tuple[str, ...]) -> None:
    """Deploy a good release and a bad one to a real service on this machine, and keep both records."""
    from deploykit.cli import common
    from deploykit.demo import ACTS, SCENARIOS, play

    known = {scenario.name: scenario for scenario in SCENARIOS}
    if names == ("list",):
        rows = [(name, f"{scenario.release} {scenario.story}") for name, scenario in known.items()]
        common.put_rows(("scenario", "what happens"), rows)
        return
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no scenario {unknown[0]!r}", where="--scenario", mend=f"use one of: {', '.join(known)}")
    play(home, names or ACTS, postgres_dsn=postgres, port=port, rate=rate)


@click.command()
@click.argument("run")
@click.option("--port", type=int, default=0, help="Else a free one.")
@click.option("--browser/--no-browser", default=True, help="Open a browser.")
@click.pass_context
def lab(ctx: click.Context, run: str, port: int, browser: bool) -> None:
    """Open RUN's notebooks in JupyterLab, on this machine alone and with a token."""
    from deploykit.cli import common
    from deploykit.lab import serve

    ctx.exit(serve(common.find(ctx, run), port=port, browser=browser))
