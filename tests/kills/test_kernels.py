"""Killed in a kernel: resumed or unknown, nothing twice, and the notebook tells the truth afterwards.

A sample: `bench_kills.py` kills around every step of every action in each way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploykit import executed, reconcile
from deploykit.checklist import Item, checklist
from deploykit.executed import CellStatus
from deploykit.journal.events import Type
from tests.kills.filed import Aim, Filed, planned
from tests.kills.kernels import IDLE, cells, in_jupyter, kernel, under_papermill

SAMPLE = (
    Aim("blue-green.deploy", "between intent and effect", with_parent=True),
    Aim("rollback.notified/pager", "between effect and outcome", with_parent=True),
)


def item_of(aim: Aim) -> Item:
    return checklist().find(aim.step.partition("/")[0])


def kill(filed: Filed, aim: Aim, way: Callable[[Filed, Item, Aim], bool]) -> None:
    """Come to the item, and be killed in it; then go on."""
    item, run = item_of(aim), filed.run()
    filed.perform(run, until=item.id)
    run.store.close()
    assert way(filed, item, aim)


def goes_on(filed: Filed, aim: Aim) -> None:
    assert filed.resume(item_of(aim)) in {"resumed", "unknown"}
    assert (filed.twice(), filed.lost()) == ([], [])


@pytest.mark.parametrize("aim", SAMPLE, ids=lambda aim: aim.point)
def test_under_papermill(aim: Aim, team_folder: Path, tmp_path: Path) -> None:
    with planned(team_folder, tmp_path / "team") as filed:
        kill(filed, aim, under_papermill)
        run = filed.run()
        (line,) = told(run)
        place = len(cells(filed, item_of(aim))) + 1  # papermill puts a cell with the parameters before
        assert f'died, at code cell {place}: phase.act("{item_of(aim).id}")' in line
        reconcile.mend(run)
        mended, _ = executed.read(run.folder / "notebooks" / line.partition(":")[0])
        statuses = [executed.status(cell) for _, cell in executed.code(mended)]
        at = statuses.index(CellStatus.DIED)
        assert set(statuses[:at]) == {CellStatus.COMPLETED}
        assert set(statuses[at + 1 :]) == {CellStatus.NEVER_RUN}
        (noted,) = (event for event in run.events() if event.type is Type.NOTEBOOK_ARCHIVED)
        assert [cell["status"] for cell in noted.data["cells"]] == statuses  # type: ignore[index,union-attr,call-overload]  # as it was written
        reconcile.mend(run)
        assert len([event for event in run.events() if event.type is Type.NOTEBOOK_ARCHIVED]) == 1
        run.store.close()
        goes_on(filed, aim)


def told(run: Any) -> list[str]:
    found = reconcile.look(run)["notebooks"]
    assert isinstance(found, list)
    return [str(line) for line in found]


def test_a_new_kernel_goes_on_and_a_cell_that_is_run_again_does_nothing(team_folder: Path, tmp_path: Path) -> None:
    aim = Aim("blue-green.traffic/10", "between effect and outcome")
    with planned(team_folder, tmp_path / "team") as filed:
        kill(filed, aim, in_jupyter)
        before = filed.effects()
        assert before[-2:] == ["deploy shop-blue", "weights blue 10, green 90"]
        with kernel(filed, None) as stepped:
            sources = cells(filed, item_of(aim))
            for source in [*sources, IDLE, sources[-1], IDLE, *sources, IDLE]:
                assert stepped.runs(source)
        run = filed.run()
        assert run.state().opens("blue-green.traffic")
        run.store.close()
        shares = [f"weights blue {share}, green {100 - share}" for share in (50, 100)]
        assert filed.effects() == [*before, *shares]
        assert filed.lost() == []
