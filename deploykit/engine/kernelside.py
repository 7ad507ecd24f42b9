"""The kernel's own side: IPython's kernel without its TCP port, that leaves no children behind when it is orphaned.

The engine runs this file by its path, so that the kernel does not load papermill on the way.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__" and sys.path and Path(sys.path[0]).resolve() == HERE:
    # Python put our folder in front, where a cell's `import session` would find it.
    del sys.path[0]

import asyncio  # noqa: E402 - after the path is right, as all that follows
import faulthandler  # noqa: E402
import os  # noqa: E402
import runpy  # noqa: E402
import shutil  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import zmq  # noqa: E402
from ipykernel import kernelapp  # noqa: E402
from ipykernel.iostream import IOPubThread  # noqa: E402
from zmq.eventloop.zmqstream import ZMQStream  # noqa: E402


class PrivatePipe(IOPubThread):  # type: ignore[misc]  # ipykernel is not followed
    """Takes the output of forked children from a socket in the kernel's private folder, not from a TCP port."""

    address = ""

    def _setup_pipe_in(self) -> None:
        self._pipe_uuid = os.urandom(16)
        pipe = self.socket.context.socket(zmq.PULL)
        pipe.linger = 0
        pipe.bind(self.address)
        self._pipe_in = ZMQStream(pipe, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self) -> tuple[Any, Any]:
        context: Any = zmq.Context()
        pipe = context.socket(zmq.PUSH)
        pipe.linger = 3000  # milliseconds for a child's last words
        pipe.connect(self.address)
        return context, pipe


class Kernel(kernelapp.IPKernelApp):  # type: ignore[misc]  # ipykernel is not followed
    """IPython's kernel as the engine wants it."""

    def init_iopub(self, context: Any) -> None:
        """Use our pipe."""
        PrivatePipe.address = f"ipc://{self.ip}-0"
        kernelapp.IOPubThread = PrivatePipe
        super().init_iopub(context)

    def init_poller(self) -> None:
        """Watch for the end of the process that executes the notebook."""
        if self.parent_handle:
            self.poller = threading.Thread(
                target=end_with, args=[self.parent_handle, Path(self.ip).parent], daemon=True
            )


def end_with(parent: int, folder: Path) -> None:
    """Wait until the parent is gone; then end what the cells started, the private folder, and this process."""
    while os.getppid() == parent:
        time.sleep(0.5)
    end_all = runpy.run_path(str(HERE / "session.py"))["end_all"]
    asyncio.run(end_all(os.getsid(0)))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    # A crash is told on the real standard error, which the engine keeps.
    faulthandler.enable(os.dup(2), all_threads=False)
    Kernel.launch_instance()
