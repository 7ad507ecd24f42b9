"""Parameters against a notebook's declaration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from deploykit.engine import execute
from deploykit.engine.parameters import check
from deploykit.errors import UsageError

if TYPE_CHECKING:
    from tests.engine.conftest import Bench


def notebook(source: str) -> Any:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A phase"), cell])


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("a: str = ''", "x"),
        ("a = ''  # type: str", "x"),
        ("a = None  # type: str with a word of help", "x"),
        ("a = ''", "x"),
        ("a = None", object()),
        ("a: float = 0", 3),
        ("a: 'int | None' = None", None),
        ("a: Optional[int] = None", 3),
        ("a: list[str] = []", ["x"]),
        ("a: dict[str, int] = {}", {"x": 1}),
        ("a: Literal['blue', 'green'] = 'blue'", "green"),
        ("a: typing.Any = 1", "x"),
    ],
)
def test_takes_what_is_declared(declaration: str, value: object) -> None:
    check(notebook(declaration), {"a": value}, "n.ipynb")


@pytest.mark.parametrize(
    ("declaration", "value", "wanted"),
    [
        ("a: str = ''", 1, "str, and got int"),
        ("a = ''", 1, "str, and got int"),
        ("a: int = 0", "1", "int, and got str"),
        ("a: int = 0", True, "int, and got bool"),
        ("a: bool = False", 1, "bool, and got int"),
        ("a = 0  # type: int", 0.5, "int, and got float"),
        ("a: list[str] = []", [1], "list"),
        ("a: Literal['blue', 'green'] = 'blue'", "red", "Literal"),
        ("a: str = ''", None, "str, and got NoneType"),
    ],
)
def test_refuses_another_type(declaration: str, value: object, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted):
        check(notebook(declaration), {"a": value}, "n.ipynb")


def test_refuses_an_unknown_name_and_tells_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        check(notebook("run: str = ''\nspeed: float = 1"), {"rum": "x"}, "n.ipynb")
    assert str(raised.value) == "n.ipynb: there is no parameter 'rum'\n  → the notebook's parameters are: run, speed"


def test_a_notebook_without_declaration_takes_none() -> None:
    with pytest.raises(UsageError, match="are: none"):
        check(nbformat.v4.new_notebook(), {"a": 1}, "n.ipynb")


@pytest.mark.parametrize(
    "declaration", ["a: = 1", "a: Frame = None", "a.b = 1", "a: set[int] = 1", "a: Literal[f()] = 1"]
)
def test_refuses_a_declaration_that_it_cannot_read(declaration: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check(notebook(declaration), {"a": 1}, "n.ipynb")


def test_a_declaration_is_read_and_not_evaluated() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        check(notebook("a: __import__('os').abort() = 1"), {"a": 1}, "n.ipynb")


@pytest.mark.parametrize("given", [{"rum": "x"}, {"run": 5}])
def test_nothing_starts_and_nothing_is_written(bench: Bench, given: dict[str, Any]) -> None:
    bench.write("#:\nrun: str = ''")
    with pytest.raises(UsageError):
        execute(bench.source, bench.target, given, mode="run", on_start=lambda _: pytest.fail("a kernel started"))
    assert not bench.target.exists()


def test_the_value_reaches_the_kernel(bench: Bench) -> None:
    bench.write("run: str = ''", "print('<' + run + '>')", tags={0: "parameters"})
    execute(bench.source, bench.target, {"run": 'a"b\\'}, mode="run")
    assert bench.code()[2]["outputs"][0]["text"] == ['<a"b\\>\n']


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"nbformat": 4, "nbformat_minor": 5, "cells": 1}'])
def test_what_is_not_a_notebook_is_refused(bench: Bench, content: str | None) -> None:
    if content is not None:
        bench.source.write_text(content)
    with pytest.raises(UsageError, match="notebook"):
        execute(bench.source, bench.target, {}, mode="run")
    assert not bench.target.exists()


def test_another_language_is_refused(bench: Bench) -> None:
    bench.write("1")
    notebook = nbformat.read(bench.source, as_version=4)
    notebook.metadata = {"kernelspec": {"name": "ir", "language": "R", "display_name": "R"}}
    nbformat.write(notebook, bench.source)
    with pytest.raises(UsageError, match="written in R"):
        execute(bench.source, bench.target, {}, mode="run")
