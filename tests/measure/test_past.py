"""Past deployments cut out of the metrics: what lies before, beside and after, by the moment it was known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from deploykit.analysis import cases
from deploykit.errors import UsageError
from deploykit.measure import past
from deploykit.measure.past import Moment
from deploykit.model import Series
from deploykit.settings import Settings
from tests.world import World

CHANGE, STEP = 1_800_000_030.0, 60.0
PLAIN = '[metrics.plain.queue]\nquery = "queue $colour"\nunit = "count"\nmatters = 0.5\n\n[chat]'


class Vendor:
    """Points each minute, labelled by the beginning of their bucket, as most vendors do."""

    def __init__(self, shift: float = 0.5, errors: Mapping[str, float] = {}, change: float = CHANGE) -> None:
        self.shift, self.errors, self.change = shift, errors, change

    def series(self, query: str, start: datetime, end: datetime, *, name: str, unit: str) -> Series:
        metric, colour = query.split()
        first = math.ceil(start.timestamp() / STEP)
        times = [STEP * n for n in range(first - 1, math.ceil(end.timestamp() / STEP))]
        points = tuple((at, self.value(metric, colour, at)) for at in times)
        return Series(name=name, unit=unit, query=query, points=tuple(p for p in points if p[1] is not None))

    def value(self, metric: str, colour: str, at: float) -> float | None:
        share = self.shift if at > self.change else 0.0
        requests = 6000.0 * (share if colour == "blue" else 1 - share)
        if not requests:
            return None
        return {"requests": requests, "errors": requests * self.errors.get(colour, 0.001)}.get(metric, 5.0)

    def unit(self, query: str, start: datetime, end: datetime) -> str:  # noqa: ARG002 - the port's
        return ""

    def unknown(self, query: str) -> tuple[str, ...]:  # noqa: ARG002 - the port's
        return ()


@pytest.fixture
def settings(world: World) -> Settings:
    world.edit("[chat]", PLAIN)
    return world.settings()


def cut(settings: Settings, vendor: Vendor, when: Moment = Moment(CHANGE)) -> dict[str, Any]:  # noqa: B008 - frozen
    return past.case(vendor, settings, when, 3600.0, 1800.0)


def test_points_are_known_when_their_bucket_ends_and_the_bucket_of_the_change_belongs_to_nobody(
    settings: Settings,
) -> None:
    found = cut(settings, Vendor())
    baseline, control, live = (
        [bucket["t"] for bucket in found["counts"][arm]] for arm in ("baseline", "control", "live")
    )
    assert max(baseline) <= CHANGE
    assert min(live) >= CHANGE + STEP
    assert live == control
    assert all(at % STEP == 0 for at in [*baseline, *live])
    assert (found["step_s"], found["change_at"]) == (STEP, CHANGE)
    (queue,) = found["metrics"]
    assert (queue["matters"], [at for at, _ in queue["live"]]) == (0.5, live)


@pytest.mark.parametrize(("shift", "colour"), [(0.5, "blue"), (-0.0, None)])
def test_the_candidate_is_the_colour_whose_share_rose(settings: Settings, shift: float, colour: str | None) -> None:
    if colour:
        assert cut(settings, Vendor(shift))["id"].endswith(colour)
        return
    with pytest.raises(UsageError, match="no traffic moved"):
        cut(settings, Vendor(shift))


def test_a_named_candidate_without_requests_is_an_error(settings: Settings) -> None:
    with pytest.raises(UsageError, match="blue served no requests"):
        cut(settings, Vendor(0.0), Moment(CHANGE, "blue"))


@pytest.mark.parametrize(("errors", "verdict"), [({}, "pass"), ({"blue": 0.01}, "rollback")])
def test_a_cut_case_is_judged_like_any_other(settings: Settings, errors: dict[str, float], verdict: str) -> None:
    line = json.dumps(cut(settings, Vendor(errors=errors)))
    judged = cases.judge(cases.parse(line))
    assert judged.verdict.answer.value == verdict, judged.verdict.reason


def test_all_traffic_at_once_is_held_against_the_limits(settings: Settings) -> None:
    found = cut(settings, Vendor(1.0, {"blue": 0.01}))
    assert found["counts"]["control"] == []
    assert found["counts"]["limits"] == {"errors": 0.001, "slow": 0.05}
    assert cases.judge(cases.parse(json.dumps(found))).verdict.answer.value == "rollback"
