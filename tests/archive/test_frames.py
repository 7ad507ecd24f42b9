from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import deploykit
from deploykit import archive
from deploykit.errors import BrokenRecordError
from deploykit.files import write_atomically
from deploykit.journal.events import Type
from tests.signoff.team import Team


def scrap(name: str, data: Any) -> dict[str, Any]:
    """What a kernel writes for scrapbook to read."""
    payload = {"name": name, "data": data, "encoder": "json", "version": 1}
    return {
        "output_type": "display_data",
        "data": {"application/scrapbook.scrap.json+json": payload},
        "metadata": {"scrapbook": {"name": name, "data": True, "display": False}},
    }


def notebook(*outputs: dict[str, Any]) -> bytes:
    cell = {
        "cell_type": "code",
        "execution_count": 1,
        "id": "a",
        "metadata": {},
        "outputs": list(outputs),
        "source": "",
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def passed(item: str, outcome: str = "pass") -> dict[str, Any]:
    return scrap(item, {"outcome": outcome, "summary": "fine"})


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    team = Team(tmp_path)
    with team.run() as first, team.run(sandbox=True) as second:
        books = first.folder / "notebooks"
        write_atomically(
            books / "03_blue_green.ipynb", notebook(passed("blue-green.traffic"), passed("blue-green.deploy"))
        )
        write_atomically(
            books / "04_watch.ipynb", notebook(passed("watch.errors", "fail"), scrap("verdict", {"answer": "hold"}))
        )
        write_atomically(books / "04_watch.interactive.ipynb", notebook(passed("watch.errors")))
        write_atomically(
            second.folder / "notebooks" / "03_blue_green.ipynb", notebook(passed("own.item"), scrap("x", 1))
        )
        first.append(Type.RUN_ENDED, data={"status": "held"})
        archive.export(first)
    return tmp_path / "archive"


def test_a_row_is_a_run_and_a_column_an_item(reports: Path) -> None:
    frame = deploykit.runs_frame(reports).sort_values("number").reset_index(drop=True)
    assert frame["service"].tolist() == ["shop", "shop"]
    assert frame["release"].tolist() == ["v2", "v2"]
    assert frame["sandbox"].tolist() == [False, True]
    assert frame.loc[0, "status"] == "held"
    assert frame["status"].isna().tolist() == [False, True]
    assert frame.loc[0, "watch.errors"] == "fail"
    assert frame.loc[0, "verdict"] == "hold"
    assert frame["watch.errors"].isna().tolist() == [False, True]
    assert list(frame.columns[-5:]) == [
        "blue-green.deploy",
        "blue-green.traffic",
        "watch.errors",
        "own.item",
        "verdict",
    ]
    assert str(frame["made_at"].dt.tz) == "UTC"


def test_no_runs_are_an_empty_table(tmp_path: Path) -> None:
    frame = deploykit.runs_frame(tmp_path)
    assert frame.empty
    assert "run" in frame.columns


def test_a_torn_notebook_is_named(reports: Path) -> None:
    next(reports.glob("*/*/notebooks/03*.ipynb")).write_text("{", "ascii")
    with pytest.raises(BrokenRecordError, match=r"notebooks/03_blue_green\.ipynb"):
        deploykit.runs_frame(reports)


def test_importing_deploykit_loads_nothing_heavy() -> None:
    heavy = "{'pandas', 'matplotlib', 'scrapbook', 'papermill', 'ipywidgets', 'sqlalchemy', 'httpx', 'jinja2'}"
    code = f"import deploykit, sys; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = deploykit.nonsense
