"""The guard as it is in production: a process of its own, against a router that speaks Envoy's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from deploykit import guard
from deploykit.errors import Exit, RefusedError
from deploykit.guard import GuardProcess, stale_seconds
from deploykit.journal import clock, spool
from deploykit.journal.events import Type
from deploykit.journal.store import FILE
from deploykit.run import Run
from deploykit.timeline import moments
from tests.world import SERVICE, World

PREFIX = "routing.traffic_split"
LIVE = {"blue": 0, "green": 100}
SPLIT = {"blue": 10, "green": 90}


@dataclass
class Admin:
    """What of Envoy's admin interface a router is asked."""

    weights: dict[str, int] = field(default_factory=lambda: dict(SPLIT))
    changes: int = 0
    asked: int = 0
    broken: bool = False
    port: int = 0

    def get(self) -> bytes:
        entries = {f"{PREFIX}.{colour}": {"final_value": str(weight)} for colour, weight in self.weights.items()}
        return json.dumps({"entries": entries}).encode()

    def post(self, query: str) -> bytes:
        self.changes += 1
        self.weights |= {key.removeprefix(f"{PREFIX}."): int(value[0]) for key, value in parse_qs(query).items()}
        return b"OK\n"


@pytest.fixture
def admin() -> Iterator[Admin]:
    known = Admin()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(known.get)

        def do_POST(self) -> None:
            self._answer(lambda: known.post(urlsplit(self.path).query))

        def _answer(self, make: Callable[[], bytes]) -> None:
            known.asked += 1
            body = b"" if known.broken else make()
            self.send_response(500 if known.broken else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield known
        server.shutdown()
        thread.join()


@pytest.fixture
def run(world: World, admin: Admin) -> Iterator[Run]:
    """A run whose weights are split; what guards it is ended after the test."""
    world.edit("https://router.example.com", f"http://127.0.0.1:{admin.port}")
    planned = world.plan(approved=False)
    planned.take_lock()
    yield planned
    GuardProcess(planned).stand_down()
    for child in guard._started:
        child.wait(20)
    guard._started.clear()


def until(ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)


def ended(run: Run) -> bool:
    return not GuardProcess(run).alive()


def test_traffic_goes_back_when_the_heartbeat_stops(world: World, admin: Admin, run: Run) -> None:
    GuardProcess(run).start()
    assert admin.weights == SPLIT
    until(lambda: bool(world.said(Type.TRAFFIC_RETURNED)), "the guard")
    assert admin.weights == LIVE
    (returned,) = world.said(Type.TRAFFIC_RETURNED)
    assert returned.actor.kind == "guard"
    assert "heartbeat stopped" in str(returned.data["reason"])
    assert returned.data["before"] == SPLIT
    until(lambda: ended(run), "its end")
    assert stale_seconds(GuardProcess(run)._beat) is None


def test_nothing_is_done_while_the_heart_beats_and_it_ends_when_stood_down(
    world: World, admin: Admin, run: Run
) -> None:
    guarding = GuardProcess(run)
    guarding.start()
    beating = time.monotonic() + 1.5 * run.plan.guard_seconds
    while time.monotonic() < beating:
        guarding.start()
        time.sleep(0.1)
    assert guarding.alive()
    guarding.stand_down()
    until(lambda: ended(run), "its end")
    assert (admin.weights, admin.changes) == (SPLIT, 0)
    assert world.said(Type.TRAFFIC_RETURNED) == []


def test_traffic_is_left_to_another_run_that_has_the_lock(world: World, admin: Admin, run: Run) -> None:
    GuardProcess(run).start()
    run.store.take_lock(run.place, "another-run", "bob", by_force=True)
    until(lambda: ended(run), "its end")
    assert (admin.weights, admin.changes) == (SPLIT, 0)
    assert ["another-run" in str(note.data["text"]) for note in world.said(Type.NOTE_WRITTEN)] == [True]


def test_whole_weights_are_left_as_they_are(world: World, admin: Admin, run: Run) -> None:
    admin.weights = {"blue": 100, "green": 0}
    GuardProcess(run).start()
    until(lambda: ended(run), "its end")
    assert admin.changes == 0
    assert world.said(Type.TRAFFIC_RETURNED) == []


def test_without_a_store_it_acts_all_the_same_and_spools_what_it_did(world: World, admin: Admin, run: Run) -> None:
    GuardProcess(run).start()
    store = run.store.folder / FILE
    store.rename(store.with_suffix(".away"))
    until(lambda: ended(run), "the guard")
    assert admin.weights == LIVE
    store.unlink(missing_ok=True)
    store.with_suffix(".away").rename(store)
    assert world.said(Type.TRAFFIC_RETURNED) == []
    assert spool.merge(run.store, run.id, SERVICE) == 1
    merged, meant = world.events()[-2:]
    assert (merged.type, meant.type) == (Type.SPOOL_MERGED, Type.TRAFFIC_RETURNED)
    assert meant.actor.kind == "guard"
    assert "heartbeat stopped" in run.state().returned


def test_a_router_that_fails_is_tried_until_it_answers(world: World, admin: Admin, run: Run) -> None:
    admin.broken = True
    GuardProcess(run).start()
    until(lambda: bool(world.said(Type.NOTE_WRITTEN)), "its word that it could not")
    before = admin.asked
    until(lambda: admin.asked > before + 2, "it to ask again")
    assert GuardProcess(run).alive()
    admin.broken = False
    until(lambda: bool(world.said(Type.TRAFFIC_RETURNED)), "the guard")
    assert admin.weights == LIVE
    assert len(world.said(Type.NOTE_WRITTEN)) == 1, "the journal says once that it goes on trying"


def test_a_second_start_does_not_make_two(world: World, run: Run) -> None:
    GuardProcess(run).start()
    GuardProcess(world.again(run)).start()
    GuardProcess(run).start()
    (started,) = world.said(Type.GUARD_STARTED)
    assert started.data["seconds"] == run.plan.guard_seconds
    assert len(guard._started) == 1
    os.kill(int(str(started.data["pid"])), 0)


def test_a_guard_that_died_is_started_again_at_the_next_look_and_the_journal_says_so(world: World, run: Run) -> None:
    guarding = GuardProcess(run)
    guarding.start()
    os.kill(int(str(world.said(Type.GUARD_STARTED)[0].data["pid"])), signal.SIGKILL)
    until(lambda: ended(run), "its death")
    guarding.start()
    assert guarding.alive()
    first, second = world.said(Type.GUARD_STARTED)
    assert first.data["pid"] != second.data["pid"]
    assert [event.data.get("reason") for event in (first, second)] == [None, guard.GONE]
    assert [moment.what for moment in moments((first, second))] == ["guard started", f"guard started: {guard.GONE}"]


def test_the_heart_beats_while_the_guard_takes_its_time_to_come_up(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarding = GuardProcess(run)
    beats: list[bytes] = []

    def alive() -> bool:
        beats.append(guarding._beat.read_bytes())
        return len(beats) == 5

    monkeypatch.setattr(guarding, "alive", alive)
    guarding.start()
    assert len(set(beats[1:])) == 4, "else a slow start would pass for a run that ended"


def test_a_guard_that_cannot_start_refuses_the_split(world: World, run: Run) -> None:
    world.settings_file.write_text("no settings", "utf-8")
    with pytest.raises(RefusedError, match="weights are not split") as caught:
        GuardProcess(run).start()
    assert caught.value.mend == f"read {run.id}.log"
    assert world.said(Type.GUARD_STARTED) == []


def test_a_guard_reads_the_settings_file_that_the_run_was_given(world: World, admin: Admin) -> None:
    world.edit("https://router.example.com", f"http://127.0.0.1:{admin.port}")
    world.settings_file.rename(world.home / "shop.toml")
    world.file = "shop.toml"
    planned = world.plan(approved=False)
    GuardProcess(planned).start()
    GuardProcess(planned).stand_down()
    guard._started.pop().wait(20)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot": 5}', '{"boot": "another boot", "boot_ns": 1}'])
def test_a_heartbeat_that_says_nothing_has_stopped(tmp_path: Path, text: str) -> None:
    beat = tmp_path / "run.beat"
    beat.write_text(text, "utf-8")
    assert stale_seconds(beat) == float("inf")


def test_a_heartbeat_is_as_old_as_the_clock_that_runs_through_sleep_says(tmp_path: Path) -> None:
    beat = tmp_path / "run.beat"
    assert stale_seconds(beat) is None
    beat.write_text(json.dumps({"boot": clock.boot_id(), "boot_ns": clock.boot_ns() - 5_000_000_000}), "utf-8")
    assert stale_seconds(beat) == pytest.approx(5, abs=1)


def test_a_guard_for_a_run_that_there_is_not_says_so(world: World) -> None:
    command = [sys.executable, "-m", "deploykit.guard", str(world.settings_file), "no-such-run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.USAGE
    assert "'no-such-run' is not a run" in done.stderr
