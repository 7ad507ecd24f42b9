"""Many runs as one table, read back from their archived notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import scrapbook

from deploykit.checklist import checklist
from deploykit.errors import BrokenRecordError
from deploykit.journal import chain
from deploykit.journal.state import fold
from deploykit.run import read_plan

#: What is known of every run, before its items.
COLUMNS = ("run", "number", "service", "environment", "release", "commit", "operator", "made_at", "sandbox", "status")
VERDICT = "verdict"


def runs_frame(folder: Path | str = Path("reports")) -> pd.DataFrame:
    """One row a run, and one column an item with its outcome.

    The outcomes are those that the archived notebooks show; the journal has the truth, and `deploykit verify` says
    whether the two agree.

    Args:
        folder: Where archived runs are, as `SERVICE/RUN/`.

    Raises:
        BrokenRecordError: A plan, a journal or a notebook cannot be read.
    """
    rows = [_row(path.parent) for path in sorted(Path(folder).glob("*/*/plan.json"))]
    found = {name for row in rows for name in row} - set(COLUMNS)
    known = [item.id for item in checklist().item if item.id in found]
    rest = sorted(found - set(known))
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *known, *rest])
    return frame.assign(made_at=pd.to_datetime(frame["made_at"], utc=True))


def _row(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = read_plan(folder).model_dump(include=set(COLUMNS), mode="python")
    row["status"] = _status(folder / "journal.jsonl")
    for name, data in _scraps(folder / "notebooks"):
        if name == VERDICT:
            row[VERDICT] = data["answer"]
        elif isinstance(data, dict) and "outcome" in data:
            row[name] = data["outcome"]
    return row


def _status(journal: Path) -> str | None:
    """How the run ended; nothing where its views were never written."""
    if not journal.is_file():
        return None
    return fold(chain.follow(journal.read_bytes().splitlines())).status.value


def _scraps(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*.ipynb")):
        # What a person worked in may hold anything, from any moment of the run.
        if path.name.endswith(".interactive.ipynb"):
            continue
        try:
            notebook = scrapbook.read_notebook(str(path))
            for name, scrap in notebook.scraps.items():
                yield name, scrap.data
        except (ValueError, LookupError, AttributeError) as error:
            where = str(path.relative_to(folder.parent))
            raise BrokenRecordError(f"not a notebook that can be read: {error}", where=where) from error
