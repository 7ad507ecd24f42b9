"""Cases made up for the tests of the judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploykit.analysis import cases
from deploykit.analysis.cases import Judged

CHANGE = 1_700_000_040
STEP = 60
#: Beside the checkout; nothing of it is part of the project.
SHARED = Path(__file__).parents[2].parent / "shared"

Values = Sequence[float | None]


def points(values: Values, start: int = CHANGE) -> list[list[float | None]]:
    return [[start + STEP * (i + 1), value] for i, value in enumerate(values)]


def metric(live: Values, past: Values = (), control: Values | None = None, **what: Any) -> dict[str, Any]:
    return {
        "name": "latency",
        "unit": "ms",
        "worse": "increase",
        "critical": True,
        "baseline": points(past, CHANGE - STEP * len(past)),
        "control": None if control is None else points(control),
        "live": points(live),
        **what,
    }


def case(*metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "one", "change_at": CHANGE, "step_s": STEP, "metrics": list(metrics), **more}


def judged(data: dict[str, Any]) -> Judged:
    return cases.judge(cases.parse(json.dumps(data)))


def steady(count: int, level: float = 100.0) -> list[float]:
    return [level * (1 + 0.01 * ((i * 7) % 5)) for i in range(count)]
