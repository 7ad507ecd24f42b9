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
