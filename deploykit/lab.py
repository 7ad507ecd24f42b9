"""`deploykit lab`: the run's own copies of the notebooks, in JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from deploykit import settings as settings_module
from deploykit.checklist import checklist
from deploykit.errors import RefusedError, UsageError
from deploykit.execution.checks import leave_out
from deploykit.planning import WORK
from deploykit.run import Run

#: What JupyterLab asks the network for by itself is off; what a person sees is saved every few seconds.
_DEFAULTS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosaveInterval": 10},
}
#: Seconds that the server has to end in.
_ENDS_WITHIN = 10.0


def next_notebook(run: Run) -> str:
    """The notebook of the first phase that has not passed; the rollback's, where there is one."""
    state = run.state()
    wanted = "rolled-back" if state.rolled_back else "always"
    for phase in checklist().phase:
        if phase.when == wanted and state.phases.get(phase.id) != "passed" and not leave_out(run, phase.id):
            return f"{phase.notebook}.ipynb"
    return f"{checklist().phase[0].notebook}.ipynb"


def serve(run: Run, *, port: int = 0, browser: bool = True) -> int:
    """Run JupyterLab until it is stopped.

    Returns:
        Its exit code.

    Raises:
        RefusedError: The run is sealed.
        UsageError: JupyterLab is not installed.
    """
    if run.state().sealed:
        raise RefusedError("the run is sealed", where=run.id, mend="open notebooks/ in its folder with any Jupyter")
    program = shutil.which("jupyter-lab", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        raise UsageError("JupyterLab is not installed", mend="pip install 'deploykit-runbooks[notebooks]'")
    # Unix sockets instead of TCP ports for the kernels; their paths must be short, so they get a folder of their own.
    with tempfile.TemporaryDirectory(prefix="lab-") as scratch:
        config = Path(scratch) / "labconfig" / "default_setting_overrides.json"
        config.parent.mkdir()
        config.write_text(json.dumps(_DEFAULTS))
        paths = os.pathsep.join(filter(None, [scratch, os.environ.get("JUPYTER_CONFIG_PATH", "")]))
        environment = os.environ | {
            settings_module.VARIABLE: str(run.settings.home / run.settings.file),
            "JUPYTER_CONFIG_PATH": paths,
            "JUPYTER_RUNTIME_DIR": scratch,
        }
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.root_dir": str(run.folder / WORK),
            "ServerApp.open_browser": browser,
            "LabApp.default_url": f"/lab/tree/{next_notebook(run)}",
            # What was open in another run, or in one's own JupyterLab, is not opened here.
            "LabApp.workspaces_dir": str(Path(scratch) / "workspaces"),
            "KernelManager.transport": "ipc",
        }
        if os.geteuid() == 0:
            options["ServerApp.allow_root"] = True
        arguments = [f"--{name}={value}" for name, value in options.items()]
        with subprocess.Popen([program, *arguments], env=environment) as server:
            # Whoever ends us means the server; at a terminal it hears Ctrl-C itself, and asks once more.
            signal.signal(signal.SIGTERM, lambda *_: _end(server))
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return server.wait()


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask it to end; one that closed everything may still wait for a thread of its own, for ever."""
    server.terminate()
    last = threading.Timer(_ENDS_WITHIN, server.kill)
    last.daemon = True
    last.start()
