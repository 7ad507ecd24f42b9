"""The command line: parse, call, print. Each command's code is loaded when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import click

from deploykit import __version__, redact
from deploykit.errors import DeploykitError

#: Command, module below `deploykit.cli`, and what it does in a line.
COMMANDS = {
    "init": ("beginning", "settings, runbooks and templates into your own repository"),
    "doctor": ("beginning", "settings, credentials and reachability, each fault with its mend"),
    "plan": ("making", "open a run: freeze its plan and notebooks"),
    "sign": ("making", "sign a decision with your SSH key"),
    "run": ("running", "execute the phases up to the next gate"),
    "resume": ("running", "go on with a run"),
    "status": ("reading", "where a run stands, and who is waited for"),
    "resolve": ("settling", "say, signed, how a step ended that nobody saw end"),
    "rollback": ("running", "send traffic back to live, now"),
    "abort": ("settling", "end a run before production was touched"),
    "note": ("settling", "write down what happened"),
    "close": ("running", "seal a run's archive"),
    "verify": ("reading", "check an archived run, on its folder alone"),
    "report": ("reading", "write a run's report"),
    "freeze": ("settling", "no deployments until a time, or list the freezes"),
    "thaw": ("settling", "lift a freeze"),
    "unlock": ("settling", "break, signed, the lock of a run whose people are gone"),
    "runs": ("reading", "list the runs"),
    "backtest": ("judging", "judge recorded deployments before you trust the judge"),
    "checklist": ("reading", "the items, and how each is proved"),
    "lab": ("showing", "step through a run's notebooks in JupyterLab"),
    "demo": ("showing", "the whole thing on this machine"),
}


class _Commands(click.Group):
    """Loads a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"deploykit.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--settings", type=click.Path(path_type=Path, dir_okay=False), help="deploykit.toml; else the nearest one."
)
@click.version_option(__version__, prog_name="deploykit")
@click.pass_context
def cli(ctx: click.Context, settings: Path | None) -> None:
    """Production deployments as notebooks that do the work, watch, roll back and keep the record.

    Exit codes: 0 done, 1 failed with production as before, 2 usage or settings, 3 waiting for a person, 4 held and
    traffic returned to live, 5 an action's end is unknown, 6 rolled back, 7 rollback incomplete: act now, 8 refused by
    a rule.
    """
    ctx.obj = settings


def main() -> None:
    """Run the command line; a deliberate error becomes a message and its exit code."""
    try:
        cli(prog_name="deploykit")
    except DeploykitError as error:
        said = redact.visible(str(error))
        click.echo(f"{click.style(type(error).__name__, fg='red', bold=True)}: {said}", err=True)
        sys.exit(error.exit_code)
