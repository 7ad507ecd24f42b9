"""Checklist, code, notebooks and command line name the same things."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

from deploykit import cli
from deploykit.checklist import HEAD, Item, checklist, text
from deploykit.checks.watch import Watched
from deploykit.cli import COMMANDS
from deploykit.errors import UsageError
from deploykit.model import Kind

ROOT = Path(__file__).parents[1]
ITEMS, PHASES = checklist().item, checklist().phase

#: The commands that DESIGN.md names, and those of them that are built.
BUILT = {
    "init",
    "doctor",
    "abort",
    "backtest",
    "freeze",
    "note",
    "resolve",
    "thaw",
    "unlock",
    "plan",
    "lab",
    "run",
    "resume",
    "status",
    "sign",
    "rollback",
    "close",
    "verify",
    "report",
    "runs",
    "checklist",
    "demo",
}


def test_ids_are_unique_and_areas_are_words() -> None:
    ids = [item.id for item in ITEMS]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z-]+\.[a-z-]+", name) for name in ids)
    assert len({phase.id for phase in PHASES}) == len(PHASES) == len({phase.notebook for phase in PHASES})


def test_notebooks_stand_in_the_order_of_their_numbers() -> None:
    assert [phase.notebook for phase in PHASES] == sorted(phase.notebook for phase in PHASES)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_every_item_is_done_by_something_of_its_kind_in_a_phase_that_there_is(item: Item) -> None:
    if item.phase != HEAD:
        assert item.when == checklist().find_phase(item.phase).when
    by = item.load()
    if item.kind is Kind.ACTION:
        assert inspect.isclass(by)
        assert {"steps"} <= set(dir(by))
        assert item.touches, "an action says what it changes"
    else:
        assert item.by.startswith("checks.")
        names = [p.name.strip("_") for p in inspect.signature(by).parameters.values()]
        assert names in (["context"], ["context", "watched"])
    assert inspect.getdoc(by), item.by


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_what_does_an_item_names_it(item: Item) -> None:
    source = inspect.getsource(inspect.getmodule(item.load()))  # type: ignore[arg-type]  # it has one
    assert item.id in source


def test_there_are_the_sixty_of_the_client_in_their_order() -> None:
    sizes = {"readiness": 16, "prepare": 4, "database": 4, "blue-green": 4, "watch": 10, "finish": 4, "rollback": 10}
    assert [(phase.id, len(checklist().items(phase.id))) for phase in PHASES] == list(sizes.items())
    assert len(checklist().items(HEAD)) == 8
    assert len(ITEMS) == 60
    assert sum(item.automated for item in ITEMS) >= 50


CLIENT = ROOT.parent / "shared" / "CHECKLIST.md"


@pytest.mark.skipif(not CLIENT.is_file(), reason="the client's own checklist does not lie beside this checkout")
def test_ids_kinds_and_order_are_the_clients() -> None:
    rows = re.findall(r"^\| ([a-z-]+\.[a-z-]+) \| ([a-z-]+) \|", CLIENT.read_text("utf-8"), re.MULTILINE)
    assert [(item.id, item.kind.value) for item in ITEMS] == rows


def test_the_page_has_every_row_as_it_is() -> None:
    page = (ROOT / "runbooks" / "checklist.md").read_text("utf-8")
    listed = [line for line in page.splitlines() if re.match(r"\| [a-z-]+\.[a-z-]+ \|", line)]
    rows = [(i.id, i.kind.value, i.title, i.proof, i.provider, i.touches) for i in ITEMS]
    assert listed == [f"| {' | '.join(row)} |" for row in rows]


def test_what_hangs_on_another_item_comes_after_it() -> None:
    order = {item.id: number for number, item in enumerate(ITEMS)}
    assert all(order[item.after] < order[item.id] for item in ITEMS if item.after)
    assert {item.id for item in ITEMS if item.production} == {
        "database.migrate",
        "blue-green.deploy",
        "blue-green.traffic",
    }


def calls(phase: str, notebook: str) -> list[tuple[str, str]]:
    """Every item that a notebook names, with the method it is given to, in order."""
    cells = json.loads((ROOT / "runbooks" / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found += [(node.func.attr, a.value) for a in node.args if isinstance(a, ast.Constant)]
            found += [(node.func.attr, "")] if not node.args else []
    assert found[0] == ("open", phase)
    assert found[-1] == ("gate", "")
    begins = {"readiness": [("look", "")], "prepare": [("look", "")], "watch": [("watch", "")]}.get(phase, [])
    assert found[1 : 1 + len(begins)] == begins
    return [(method, str(item)) for method, item in found[1 + len(begins) : -1]]


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.id)
def test_a_notebook_calls_exactly_its_phases_items_in_order(phase: object) -> None:
    found = calls(phase.id, phase.notebook)  # type: ignore[attr-defined]  # a Phase
    items = checklist().items(phase.id)  # type: ignore[attr-defined]  # a Phase
    assert [item for _, item in found] == [item.id for item in items]
    for (method, _), item in zip(found, items, strict=True):
        assert method == {Kind.ACTION: "act", Kind.SIGN_OFF: "sign", Kind.CHECK: "check"}[item.kind], item.id


def test_no_notebook_is_without_a_phase() -> None:
    assert {path.stem for path in (ROOT / "runbooks").glob("*.ipynb")} == {phase.notebook for phase in PHASES}


def test_watched_items_take_what_the_watch_saw() -> None:
    for item in checklist().items("watch"):
        assert item.watched == ("watched" in str(inspect.signature(item.load())))
        if item.watched:
            assert item.load()(None, Watched(began=0.0)).item == item.id


def test_an_unknown_item_or_phase_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no item 'nope'"):
        checklist().find("nope")
    with pytest.raises(UsageError, match="no phase 'nope'") as caught:
        checklist().find_phase("nope")
    assert "blue-green, watch, finish, rollback" in caught.value.mend


def test_the_archived_text_is_the_checklist() -> None:
    assert all(f'id = "{item.id}"' in text() for item in ITEMS)


def test_the_command_line_is_what_the_design_names_and_is_built() -> None:
    assert set(COMMANDS) == BUILT
    for name, (module, line) in COMMANDS.items():
        command = cli.cli.get_command(cli.cli.make_context("deploykit", [], resilient_parsing=True), name)
        assert command is not None
        assert command.name == name
        assert command.callback.__module__ == f"deploykit.cli.{module}"
        assert command.help
        assert line
