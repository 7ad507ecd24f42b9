"""2,000 sign-offs in one run: what signing, sealing and verifying cost as they grow, and that it is no square.

Run it as a script, `python tests/benchmarks/bench_signoffs.py [SIGN-OFFS]`, or by `make bench`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from deploykit import archive
from deploykit.journal.events import Type
from deploykit.model import DecisionKind, Evidence, Outcome
from deploykit.signoff import gate
from deploykit.signoff.policy import decide
from tests.signoff.team import Team, settle

SIGN_OFFS, ITEM = 2_000, "finish.issues"


def signed(home: Path, count: int) -> tuple[float, float, float, Path, Path]:
    """Sign over new evidence again and again, and seal.

    Returns:
        Milliseconds a sign-off, in the first and the last fifth; seconds for the seal; the folder; the signers.
    """
    home.mkdir()
    team, took = Team(home), []
    with team.run() as run:
        for number in range(count):
            settle(run, ITEM, Outcome.INCONCLUSIVE, Evidence(facts={"notes": number}))
            before = perf_counter()
            decide(run, ITEM, DecisionKind.SIGNED, key=team.key("olga"))
            took.append(perf_counter() - before)
        assert gate.opens(run, ITEM)
        run.append(Type.RUN_ENDED, data={"status": "failed"})
        before = perf_counter()
        archive.close(run)
        sealed = perf_counter() - before
        fifth = max(1, count // 5)
        first, last = (1000 * sum(part) / len(part) for part in (took[:fifth], took[-fifth:]))
        return first, last, sealed, run.folder, team.signers


def verified(folder: Path, signers: Path) -> tuple[float, float]:
    """Seconds, and MiB of memory, of the command in a process of its own."""
    command = [sys.executable, "-m", "deploykit", "verify", str(folder), "--allowed-signers", str(signers)]
    before = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return perf_counter() - before, used.ru_maxrss / 1024


def main(most: int = SIGN_OFFS) -> list[tuple[int, float]]:
    """Print a table, and return how long verifying took for each number."""
    sys.stdout.write(f"{'sign-offs':>9} {'first':>9} {'last':>9} {'seal':>8} {'verify':>9} {'each':>8} {'memory':>9}\n")
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for count in (most // 4, most // 2, most):
            first, last, sealed, archived, signers = signed(Path(folder) / str(count), count)
            took, memory = verified(archived, signers)
            found.append((count, took))
            line = f"{count:9} {first:6.1f} ms {last:6.1f} ms {sealed:6.1f} s {took:7.1f} s"
            sys.stdout.write(f"{line} {1000 * took / count:5.1f} ms {memory:5.0f} MiB\n")
    signing = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"the process that signed and sealed all of them: {signing:.0f} MiB\n")
    return found


def test_verifying_many_signoffs_stays_linear() -> None:
    (few, short), *_, (many, long) = main(400)
    assert long / short < 2 * many / few


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SIGN_OFFS)
