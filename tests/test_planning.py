"""A plan: everything decided before anything is touched, or nothing at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploykit import planning
from deploykit.errors import DeploykitError, Exit, ProviderError, RefusedError, Unreachable, UsageError
from deploykit.journal.events import Type
from deploykit.journal.store import Store
from deploykit.model import DecisionKind
from deploykit.planning import FROZEN, WORK, code_hash, for_run
from deploykit.run import read_plan
from deploykit.settings import SmokeRequest
from deploykit.signoff.kept import PLAN_SIGNATURE
from deploykit.signoff.policy import decide
from tests.world import COMMITS, SERVICE, Fault, World, answered

ROOT = Path(__file__).parents[1]


def make(world: World, environment: str = "production", release: str = "v2") -> None:
    run = planning.make(world.settings(), environment, release, SERVICE)
    run.store.close()


def nothing_is_left(world: World) -> bool:
    settings = world.settings()
    state = settings.path(settings.state)
    if state.exists():
        store = Store(state)
        listed = store.runs()
        store.close()
        assert listed == ()
    return world.effects == [] and not list(settings.path(settings.archive).rglob("*"))


def without_notebook(world: World) -> None:
    shutil.copytree(ROOT / "runbooks", world.home / "runbooks")
    (world.home / "runbooks" / "04_watch.ipynb").unlink()


def no_notebook(world: World) -> None:
    shutil.copytree(ROOT / "runbooks", world.home / "runbooks")
    (world.home / "runbooks" / "04_watch.ipynb").write_text("[]", "utf-8")


def no_key(world: World) -> None:
    world.key("olga").unlink()


USAGE: dict[str, tuple[Callable[[World], None], dict[str, str], str, str]] = {
    "an unknown environment": (lambda _w: None, {"environment": "staging"}, "no environment 'staging'", "production"),
    "an unknown release": (lambda _w: None, {"release": "v9"}, "no release 'v9'", "git tag"),
    "split weights": (lambda w: w.shift(10), {}, "splits the traffic", "deploykit runs"),
    "a release that is live": (lambda _w: None, {"release": "v1"}, "live already", "nothing to deploy"),
    "a missing notebook": (without_notebook, {}, "04_watch.ipynb is missing", "deploykit init"),
    "a file that is no notebook": (no_notebook, {}, "not a notebook", "JupyterLab"),
    "a signing key that is not there": (no_key, {}, "key", "key"),
}


@pytest.mark.parametrize("what", USAGE)
def test_what_is_wrong_is_found_before_anything_is_written(world: World, what: str) -> None:
    prepare, arguments, said, mend = USAGE[what]
    prepare(world)
    with pytest.raises(UsageError, match=said) as caught:
        make(world, **arguments)
    assert caught.value.exit_code is Exit.USAGE
    assert caught.value.where
    assert mend in caught.value.mend
    assert nothing_is_left(world)


@pytest.mark.parametrize("call", ["repository.commit", "repository.authors", "router.weights", "http.get"])
def test_a_system_that_does_not_answer_opens_no_run(world: World, call: str) -> None:
    world.broken[call] = Fault.DOWN
    with pytest.raises(Unreachable):
        make(world)
    assert nothing_is_left(world)


@pytest.mark.parametrize("body", [None, {}, {"release": "v1"}, {"version": ""}])
def test_a_live_that_does_not_say_its_release_opens_no_run(world: World, body: Any) -> None:
    world.pages["https://green.example.com/version"] = answered(body=body)
    with pytest.raises(ProviderError, match="does not say which release is live"):
        make(world)
    assert nothing_is_left(world)


def test_a_plan_holds_what_was_decided_and_is_signed_by_its_operator(world: World) -> None:
    run = world.plan(approved=False)
    plan, settings = read_plan(run.folder), run.settings
    assert plan == run.plan
    assert (plan.commit, plan.live.version, plan.candidate.version) == (COMMITS["v2"], "v1", "v2")
    assert (plan.live.colour, plan.candidate.colour) == ("green", "blue")
    assert (plan.operator, plan.settings, plan.number) == ("olga@example.com", settings.digest, 1)
    assert (plan.steps, plan.watch_seconds) == (settings.shift.steps, settings.shift.watch)
    assert (run.folder / PLAN_SIGNATURE).read_bytes().startswith(b"-----BEGIN SSH SIGNATURE-----")
    opened = world.events()[0]
    assert (opened.type, opened.data["plan"]) == (Type.RUN_OPENED, plan.hash)
    assert world.effects == []


def test_who_wrote_the_release_cannot_approve_it(world: World) -> None:
    assert world.plan().plan.authors == ("dev",)
    world.changes = tuple(replace(change, authors=("Ann", "dev")) for change in world.changes)
    run = world.plan(approved=False)
    assert run.plan.authors == ("Ann", "dev")
    with pytest.raises(RefusedError, match=r"ann@example\.com wrote a change in this release"):
        decide(run, "plan", DecisionKind.SIGNED, key=world.key("ann"))


def test_a_release_of_strangers_opens_no_run(world: World) -> None:
    world.changes = tuple(replace(change, strangers=("X <x@y>",)) for change in world.changes)
    with pytest.raises(ProviderError, match="does not know who wrote"):
        make(world)
    assert nothing_is_left(world)


def test_where_one_person_may_be_all_nobody_asks_who_wrote_it(world: World) -> None:
    world.edit("solo = false", "solo = true")
    world.broken["repository.authors"] = Fault.DOWN
    plan = world.plan(approved=False).plan
    assert (plan.solo, plan.authors) == (True, ())


def test_the_idle_colour_is_the_candidate_whichever_it_is(world: World) -> None:
    world.shift(100)
    plan = world.plan(approved=False).plan
    assert (plan.live.colour, plan.live.version, plan.candidate.colour) == ("blue", "old", "green")


def test_numbers_have_no_gaps_where_a_plan_failed(world: World) -> None:
    with pytest.raises(DeploykitError):
        make(world, release="v9")
    assert [world.plan(approved=False).plan.number for _ in range(2)] == [1, 2]


def test_notebooks_are_frozen_and_hashed_and_a_copy_is_left_to_work_in(world: World) -> None:
    run = world.plan(approved=False)
    names = {path.name for path in (ROOT / "runbooks").glob("*.ipynb")}
    assert set(run.plan.notebooks) == names
    for name, digest in run.plan.notebooks.items():
        frozen, work = (run.folder / folder / name for folder in (FROZEN, WORK))
        assert code_hash(frozen.read_bytes()) == digest
        assert frozen.read_bytes() == (ROOT / "runbooks" / name).read_bytes()
        assert work.read_bytes() == for_run(frozen.read_bytes(), run.id)
        assert f'run = \\"{run.id}\\"' in work.read_text("utf-8")


def test_the_teams_own_notebooks_are_taken_where_there_are_any(world: World) -> None:
    shutil.copytree(ROOT / "runbooks", world.home / "runbooks")
    path = world.home / "runbooks" / "04_watch.ipynb"
    path.write_text(path.read_text("utf-8").replace("phase.gate()", "phase.gate()  # ours"), "utf-8")
    run = world.plan(approved=False)
    assert run.plan.notebooks["04_watch.ipynb"] != code_hash((ROOT / "runbooks" / "04_watch.ipynb").read_bytes())


# --- the hash of a notebook's code


def code(source: Any, **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": source, **more}


def notebook(*cells: dict[str, Any]) -> bytes:
    return json.dumps({"cells": list(cells), "nbformat": 4}).encode()


INJECTED = code("run = 'r'", metadata={"tags": ["injected-parameters"]})
PLAIN = notebook(code("run = ''"), code("phase.gate()"))


@pytest.mark.parametrize(
    "same",
    [
        notebook(code(["run = ", "''"]), code("phase.gate()")),
        notebook(code("run = ''", outputs=[{"text": "x"}], execution_count=3), code("phase.gate()", id="b")),
        notebook(code("run = ''"), INJECTED, code("phase.gate()")),
        notebook({"cell_type": "markdown", "source": "# Title"}, code("run = ''"), code("phase.gate()")),
    ],
    ids=["lines", "outputs and ids", "injected parameters", "words"],
)
def test_outputs_ids_words_and_parameters_do_not_count(same: bytes) -> None:
    assert code_hash(same) == code_hash(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        notebook(code("run = ''")),
        notebook(code("phase.gate()"), code("run = ''")),
        notebook(code("run = ''phase.gate()")),
        notebook(code("run = ''"), code("phase.gate() ")),
        notebook(code("run = ''"), code("phase.gate()"), code("")),
        notebook(code("run = ''"), INJECTED, INJECTED, code("phase.gate()")),
        notebook(code("run = ''"), INJECTED, {**INJECTED, "source": "import os"}, code("phase.gate()")),
    ],
    ids=["fewer", "order", "joined", "a blank", "more", "parameters twice", "code that calls itself parameters"],
)
def test_all_other_code_counts_in_its_order(other: bytes) -> None:
    assert code_hash(other) != code_hash(PLAIN)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"cells": 5}',
        b'{"cells": ["code"]}',
        b'{"cells": [{"cell_type": "code"}]}',
        b'{"cells": [{"cell_type": "code", "source": 5}]}',
        b'{"cells": [{"cell_type": "code", "source": "", "metadata": null}]}',
        b'{"cells": [{"cell_type": "code", "source": "\\ud800"}]}',
    ],
)
def test_what_is_no_notebook_is_a_usage_error(data: bytes) -> None:
    with pytest.raises(UsageError, match="not a notebook"):
        code_hash(data)


def test_an_environments_smoke_requests_are_settings_and_so_part_of_what_is_approved(world: World) -> None:
    before = world.plan(approved=False).plan
    world.edit('{path = "/cart"}', '{path = "/cart", status = 500}')
    assert world.settings().environment("production").smoke[1] == SmokeRequest(path="/cart", status=500)
    assert world.plan(approved=False).plan.settings != before.settings
