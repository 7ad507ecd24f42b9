"""What a person presses. A click asks for something; who decided is what a signature proves."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from deploykit import settings as settings_module
from deploykit.notebook import live, show
from deploykit.run import Run

REASON = "pressed in the notebook"


def offer_rollback(run: Run) -> None:
    """Show a red button. The second press does what `deploykit rollback` does, in a process of its own.

    The kernel's main thread is free while work is under way, so the press is heard at once.
    """
    import ipywidgets  # noqa: PLC0415 - only where a person steps through
    from IPython.display import display  # noqa: PLC0415 - the same

    ask = ipywidgets.Button(description="Roll back", button_style="danger", tooltip="asks once more")
    sure = ipywidgets.Button(description=f"Yes: traffic to {run.plan.live.version}, now", button_style="danger")
    sure.layout.width, sure.layout.display = "auto", "none"
    said = f"rollback/{run.id}"

    def asked(_button: Any) -> None:
        sure.layout.display = ""

    def confirmed(_button: Any) -> None:
        ask.disabled = sure.disabled = True
        live.publish(_told(_start(run)), said, update=True)

    ask.on_click(asked)
    sure.on_click(confirmed)
    display(ipywidgets.HBox([ask, sure]))
    live.publish(show.note(f"from the shell: deploykit rollback {run.plan.number}"), said)


def _start(run: Run) -> int:
    """Start the command, in a session of its own so that nothing that happens to the kernel ends it."""
    log = run.settings.path(run.settings.state) / "rollback.log"
    settings = str(run.settings.home / run.settings.file)
    environment = {name: value for name, value in os.environ.items() if name != live.VARIABLE}
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "deploykit", "rollback", run.id, "--reason", REASON],
            env=environment | {settings_module.VARIABLE: settings},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        ).pid


def _told(pid: int) -> show.Bundle:
    return show.note(f"rolling back, in process {pid}; `deploykit status` and 90_rollback.ipynb tell how it goes")
