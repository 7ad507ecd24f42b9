"""Child processes that cannot outlive the one that started them, and ports for them."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploykit.sandbox.errors import SandboxError

PR_SET_PDEATHSIG = 1
# Below the ports that the kernel hands out to outgoing connections, so that none takes ours while a server restarts.
PORT_RANGE = range(15000, 32000)


@dataclass
class Child:
    """A running child process.

    Attributes:
        name: What the sandbox calls it.
        process: The process itself.
        log: File that takes its output.
        stop_signal: The signal that ends it in good order.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    def stop(self, patience: float = 5.0) -> None:
        """Asks it to end, waits, and kills it when it will not."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def require_alive(self) -> None:
        """Raises with the end of its log when it has ended."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-1500:].strip()
            raise SandboxError(f"{self.name} ended at once", str(self.log), f"Its last words: {tail or '(none)'}")


def die_with_parent(death: signal.Signals) -> Callable[[], None] | None:
    """What a child runs before its program so that the kernel ends it with its parent; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), death)

    return arm


def spawn(
    name: str,
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    death: signal.Signals = signal.SIGKILL,
    **options: Any,
) -> Child:
    """Starts a child in a session of its own, its output going to `NAME.log` in the folder.

    Args:
        name: What to call it.
        command: Program and arguments.
        folder: Where its log goes.
        environment: Variables beside the inherited ones.
        stop_signal: The signal that ends it in good order.
        death: The signal the kernel sends it when this process dies.
        options: More arguments of `Popen`.
    """
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **python_path(), **(environment or {})},
            start_new_session=True,
            preexec_fn=die_with_parent(death),  # noqa: PLW1509  # the processes that spawn have one thread
            **options,
        )
    return Child(name, process, log, stop_signal)


def python_path() -> dict[str, str]:
    """Lets a child Python import this very package, wherever it lies."""
    here = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": here + (os.pathsep + inherited if inherited else "")}


def wait_until(ready: Callable[[], bool], what: str, where: str, *, seconds: float = 30.0) -> None:
    """Asks again and again until ready, or raises."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SandboxError(f"{what} did not answer in {seconds:.0f} s", where, "Look at its log in the folder.")
        time.sleep(0.03)


def listen(port: int) -> socket.socket:
    """Opens a listening socket on loopback."""
    # Only where the protocol is named does asyncio switch Nagle's algorithm off, without which each answer takes 40 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(256)
    except OSError:
        sock.close()
        raise
    return sock


def is_free(port: int) -> bool:
    """Whether a listener could be opened there now."""
    try:
        listen(port).close()
    except OSError:
        return False
    return True


def choose_ports(names: Sequence[str], fixed: Mapping[str, int]) -> dict[str, int]:
    """Takes the fixed ports, which must be free, and finds free ones for the other names."""
    for name in fixed:
        if name not in names:
            raise SandboxError("no such port", name, f"The names are {', '.join(names)}.")
    for name, port in fixed.items():
        if not is_free(port):
            raise SandboxError(
                f"the port for {name} is in use", f"127.0.0.1:{port}", "Stop what uses it, or leave it out."
            )
    ports = dict(fixed)
    for name in names:
        while name not in ports:
            port = random.choice(PORT_RANGE)
            if port not in ports.values() and is_free(port):
                ports[name] = port
    return ports
