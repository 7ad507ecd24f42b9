"""What the journal costs beside bare SQLite: an append, and 100,000 events verified, in one run on one disk.

Run it as a script, `python tests/benchmarks/bench_journal.py [EVENTS]`, or by `make bench`.
"""

from __future__ import annotations

import hashlib
import resource
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from deploykit.journal.chain import follow
from deploykit.journal.events import Actor, Draft, Type
from deploykit.journal.locks import Lock
from deploykit.journal.state import fold
from deploykit.journal.store import FILE, RunRow, Store

APPENDS, EVENTS, CHUNK = 300, 100_000, 5_000
RUN, PLACE = "20261123T031000Z-shop-production-7f3a", ("shop", "production")
ACTOR = Actor(kind="runner", id="shop")


def draft(number: int) -> Draft:
    """An event of usual size: an intent with its weights, or what came of it."""
    kind = Type.STEP_HAPPENED if number % 2 else Type.STEP_INTENDED
    item, step = "blue-green.traffic", f"blue-green.traffic/{number // 2 % 100}"
    op = f"{RUN}/{step}/1"
    data = {"from": {"blue": 0, "green": 100}, "to": {"blue": 10, "green": 90}, "number": number}
    return Draft(run=RUN, actor=ACTOR, fence=1, type=kind, item=item, step=step, op=op, data=dict(data))


@contextmanager
def journal(folder: Path) -> Iterator[Store]:
    """A store with one run."""
    store = Store(folder)
    row = RunRow(run=RUN, number=0, service=PLACE[0], environment=PLACE[1], release="v2")
    store.open_run(row, lambda _number: Draft(run=RUN, actor=ACTOR, type=Type.RUN_OPENED))
    yield store
    store.close()


def bare(folder: Path) -> sqlite3.Connection:
    """SQLite at the same durability, with one table and nothing else."""
    connection = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    for pragma in ("journal_mode=DELETE", "synchronous=EXTRA"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, line BLOB NOT NULL)")
    return connection


def seconds(work: Callable[[], object]) -> float:
    """How long it takes once."""
    before = perf_counter()
    work()
    return perf_counter() - before


def row(name: str, took: list[float], beside: float) -> None:
    """One line of the table."""
    middle, late = median(took), quantiles(took, n=100)[98]
    sys.stdout.write(f"{name:44} {middle * 1000:8.2f} ms {late * 1000:8.2f} ms {middle / beside:6.2f}\n")


def appends(folder: Path) -> None:
    """Time an append: each way in turn, so that a busy disk is busy for all."""
    with journal(folder) as store, closing(bare(folder)) as connection:
        fence: Lock = store.take_lock(PLACE, RUN, "olga")
        line = store.lines(RUN)[0]

        def plain(number: int) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO events VALUES (?, ?)", (number, line))
            connection.execute("COMMIT")

        ways: dict[str, Callable[[int], object]] = {
            "bare SQLite, one row": plain,
            "an event": lambda number: store.append(draft(number)),
            "an intent, under lock, freeze and clock": lambda n: store.append(draft(n), fence=fence, place=PLACE),
            "a heartbeat of the lock": lambda _n: store.beat(PLACE, RUN),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(1, APPENDS + 1):
            for name, way in ways.items():
                took[name].append(seconds(lambda way=way, number=number: way(number)))  # type: ignore[misc]  # bound early
    sys.stdout.write(f"{'an append (' + str(APPENDS) + ' each)':44} {'median':>11} {'99 %':>11}  ratio\n")
    beside = median(took["bare SQLite, one row"])
    for name, each in took.items():
        row(name, each, beside)


def verified(folder: Path, count: int) -> None:
    """Time reading and proving a long journal, beside reading the same rows and hashing them."""
    with journal(folder) as store:
        for start in range(1, count, CHUNK):
            first, *more = [draft(number) for number in range(start, min(start + CHUNK, count))]
            store.append(first, *more)
        sys.stdout.write(f"\n{f'{count:,} events':44} {'seconds':>11} {'peak':>11}\n")
        with closing(sqlite3.connect(folder / FILE)) as connection:
            query = "SELECT line FROM events ORDER BY seq"
            told("bare SQLite: read, SHA-256 of each line", lambda: _hashed(connection.execute(query)))
        lines = store.lines(RUN)
        told("the chain followed, line by line", lambda: sum(1 for _ in follow(lines, run=RUN)))
        told("the chain followed and folded to a state", lambda: fold(follow(lines, run=RUN)))
        told("all events kept, as `verify` and a run do", lambda: tuple(follow(lines, run=RUN)))
        size = (folder / FILE).stat().st_size / count
        sys.stdout.write(f"{'bytes an event on disk':44} {size:11.0f}\n")


def _hashed(rows: sqlite3.Cursor) -> int:
    return sum(len(hashlib.sha256(line).digest()) for (line,) in rows)


def told(name: str, work: Callable[[], object]) -> None:
    """Time it once; the peak is the process's so far."""
    took = seconds(work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{name:44} {took:9.2f} s {peak:8.0f} MB\n")
    sys.stdout.flush()


def test_journal(tmp_path: Path) -> None:
    """By `make bench`."""
    sys.stdout.write("\n")
    for work in (appends, lambda folder: verified(folder, EVENTS)):
        folder = tmp_path / str(id(work))
        folder.mkdir()
        work(folder)


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        appends(Path(one))
        verified(Path(two), int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS)


if __name__ == "__main__":
    main()
