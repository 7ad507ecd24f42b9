"""The guard: a small process outside runner and kernel that returns traffic to live when nobody else is left.

It lives from the first split of the weights until they are whole again. The run touches a heartbeat file at every look;
when that is older than the plan's `guard_seconds`, by a clock that runs through sleep, the guard sends traffic back,
says so in the journal, and ends. It has a session of its own, so that killing a kernel or a terminal does not reach it.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

from deploykit import settings as settings_module
from deploykit.errors import DeploykitError, ProviderError, RefusedError, RollbackIncompleteError
from deploykit.files import write_atomically
from deploykit.journal import clock
from deploykit.journal.events import Actor, Type
from deploykit.journal.store import stored
from deploykit.model import Json
from deploykit.ports import Router
from deploykit.providers import connect
from deploykit.returning import is_split
from deploykit.rollback import return_traffic, say
from deploykit.run import Run

#: How long a guard may take to come up before a split is refused.
START_SECONDS = 15.0
GONE = "the one before was gone while weights were split"
#: Kept, so that the system's record of one that ended is cleared when the next one is started.
_started: list[subprocess.Popen[bytes]] = []


def _folder(run: Run) -> Path:
    return run.settings.path(run.settings.state) / "guard"


class GuardProcess:
    """The guard of one run, seen from the run.

    Args:
        run: The run that it guards.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._beat = _folder(run) / f"{run.id}.beat"
        self._lock = _folder(run) / f"{run.id}.lock"

    def alive(self) -> bool:
        """Whether a guard holds its lock, which the system lets go of when the process ends."""
        if not self._lock.exists():
            return False
        with self._lock.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def start(self) -> None:
        """Let the heart beat, and be sure that a guard is alive; the journal says where one that there was is gone.

        Raises:
            RefusedError: It does not come up; weights must not be split without it.
            StoreError: The heartbeat cannot be written, so the guard would send traffic back: better at once.
        """
        gone = self._beat.exists() and self._lock.exists()
        self._write()
        if self.alive():
            return
        log = _folder(self.run) / f"{self.run.id}.log"
        with log.open("ab") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", "deploykit.guard", str(self.run.settings.source), self.run.id],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        _started.append(child)
        deadline = time.monotonic() + START_SECONDS
        while not self.alive():
            if child.poll() is not None or time.monotonic() > deadline:
                raise RefusedError(
                    "the guard did not start, so weights are not split", where="guard", mend=f"read {log.name}"
                )
            time.sleep(0.05)
            self._write()  # it may take longer to come up than it bears silence
        said: Json = {"pid": child.pid, "seconds": self.run.plan.guard_seconds}
        self.run.append(Type.GUARD_STARTED, data={**said, "reason": GONE} if gone else said)

    def stand_down(self) -> None:
        """Weights are whole; the guard ends by itself when it finds no heartbeat file."""
        self._beat.unlink(missing_ok=True)

    def _write(self) -> None:
        beat = {"boot": clock.boot_id(), "boot_ns": clock.boot_ns()}
        with stored(self._beat):
            write_atomically(self._beat, json.dumps(beat).encode())


def stale_seconds(path: Path) -> float | None:
    """How old the heartbeat is; None where there is none, and so nobody to guard. One that says nothing has stopped."""
    try:
        beat = json.loads(path.read_bytes())
        if beat["boot"] != clock.boot_id():
            return math.inf
        return float(clock.boot_ns() - beat["boot_ns"]) / 1e9
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return math.inf


def watch(run: Run) -> None:
    """Wait for the heartbeat to stop or to be called off; on the first, send traffic back, however long it takes."""
    beat = _folder(run) / f"{run.id}.beat"
    limit = run.plan.guard_seconds
    router = connect(run.settings, run.environment).router
    failed = False
    with (_folder(run) / f"{run.id}.lock").open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        while (age := stale_seconds(beat)) is not None:
            if age > limit:
                try:
                    _send_back(run, router, f"the run's heartbeat stopped for {age:.0f} s while weights were split")
                except (ProviderError, RollbackIncompleteError) as error:
                    # Nobody else is left, so it goes on trying; the journal says so once.
                    failed = failed or _say_failed(run, error)
                else:
                    beat.unlink(missing_ok=True)
                    return
            time.sleep(min(limit / 4, 1.0))


def _send_back(run: Run, router: Router, reason: str) -> None:
    """Send traffic back, unless weights are whole."""
    if is_split(router.weights()):
        return_traffic(run, reason, router)


def _say_failed(run: Run, error: DeploykitError) -> bool:
    say(run, Type.NOTE_WRITTEN, {"text": f"the guard could not return traffic, and goes on trying: {error.what}"})
    return True


def main(arguments: list[str]) -> int:
    """`python -m deploykit.guard SETTINGS RUN`."""
    settings = settings_module.load(Path(arguments[0]))
    try:
        watch(Run.find(settings, arguments[1], Actor(kind="guard", id=f"pid-{os.getpid()}")))
    except DeploykitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
