"""`demo`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".deploykit/demo"),
    help="Where the demo keeps its settings and state.",
)
@click.option("--postgres", metavar="DSN", help="A PostgreSQL of your own instead of the wheel's.")
@click.option("--rate", type=float, default=200.0, show_default=True, help="Requests a second through the proxy.")
def demo(home: Path, postgres: str | None, rate: float) -> None:
    """Deploy a good release and a bad one to a real service on this machine, and keep both records."""
    from deploykit.demo import play

    play(home, postgres_dsn=postgres, rate=rate)


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
