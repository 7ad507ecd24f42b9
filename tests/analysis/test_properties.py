"""What holds for every case that one can think of, and for every one that nobody would."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploykit.analysis import cases
from deploykit.analysis.cases import CaseError
from deploykit.model import Answer
from tests.analysis.recorded import CHANGE, STEP, case, judged, metric, points

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
value = st.floats(min_value=1.0, max_value=1000.0, allow_nan=False)
level = st.one_of(value, st.sampled_from([100.0, 101.0, 102.0]))
missing = st.one_of(level, st.none())


@st.composite
def plain(draw: st.DrawFn, unit: str = "ms") -> dict[str, Any]:
    past = draw(st.lists(missing, max_size=40))
    live = draw(st.lists(missing, min_size=1, max_size=12))
    # Many a candidate is plainly bad, so that all answers occur.
    factor = draw(st.sampled_from([1.0, 1.0, 5.0, 0.1]))
    live = [None if one is None else one * factor for one in live]
    control = draw(st.one_of(st.none(), st.lists(missing, min_size=len(live), max_size=len(live))))
    worse = draw(st.sampled_from(["increase", "decrease", "either"]))
    return case(metric(live, past, control, unit=unit, worse=worse))


def answer(data: dict[str, Any]) -> tuple[Answer, float | None]:
    found = judged(data)
    return found.verdict.answer, found.decided_at


def each(data: dict[str, Any], change: Any) -> dict[str, Any]:
    """The case with every value changed."""
    changed = deepcopy(data)
    for one in changed["metrics"]:
        for arm in ("baseline", "control", "live"):
            if one[arm] is not None:
                one[arm] = [[at, None if v is None else change(v)] for at, v in one[arm]]
    return changed


@many
@given(plain(), st.integers(-20, 20))
def test_no_verdict_depends_on_the_units_scale(data: dict[str, Any], power: int) -> None:
    """A power of two, which no rounding disturbs."""
    assert answer(data) == answer(each(data, lambda v: v * 2.0**power))


@many
@given(plain("fraction"))
def test_a_percentage_is_judged_as_the_fraction(data: dict[str, Any]) -> None:
    shares = each(data, lambda v: v / 8192)
    percent = each(shares, lambda v: v * 100)
    percent["metrics"][0]["unit"] = "percent"
    assert answer(shares) == answer(percent)


@many
@given(plain(), st.randoms(use_true_random=False))
def test_no_verdict_depends_on_the_order_of_points_nor_of_equal_times(data: dict[str, Any], random: Any) -> None:
    shuffled = deepcopy(data)
    for one in (*data["metrics"], *shuffled["metrics"]):
        one["live"] = one["live"] + [[at, v and v * 2] for at, v in one["live"][:2]]
    for one in shuffled["metrics"]:
        for arm in ("baseline", "control", "live"):
            if one[arm] is not None:
                random.shuffle(one[arm])
    assert answer(data) == answer(shuffled)


@many
@given(plain(), st.lists(missing, min_size=1, max_size=10))
def test_no_verdict_depends_on_points_after_it(data: dict[str, Any], later: list[float | None]) -> None:
    short = judged(data)
    longer = deepcopy(data)
    for one in longer["metrics"]:
        start = CHANGE + STEP * len(one["live"])
        one["live"] = one["live"] + points(later, start)
        one["baseline"] = one["baseline"] + points(later, start)
    found = judged(longer)
    assert found.evidence[: len(short.evidence)] == short.evidence
    if short.verdict.answer is Answer.ROLL_BACK:
        assert found.line() == short.line()


@many
@given(plain(), st.integers(1, 8))
def test_more_of_the_same_evidence_never_weakens_a_rollback(data: dict[str, Any], times: int) -> None:
    if answer(data)[0] is Answer.ROLL_BACK:
        one = data["metrics"][0]
        values = [v for _, v in one["live"]] * (times + 1)
        one["live"] = points(values)
        if one["control"] is not None:
            one["control"] = points([v for _, v in one["control"]] * (times + 1))
        assert answer(data)[0] is Answer.ROLL_BACK


@many
@given(plain(), st.data())
def test_missing_data_never_turns_hold_into_pass(data: dict[str, Any], choice: st.DataObject) -> None:
    unit = choice.draw(st.sampled_from(["ms", "count"]))
    data["metrics"][0]["unit"] = unit
    if answer(data)[0] is Answer.HOLD:
        one = data["metrics"][0]
        for arm in ("baseline", "control", "live"):
            for point in one[arm] or []:
                if choice.draw(st.booleans()):
                    point[1] = None
        assert answer(data)[0] is not Answer.PASS


anything = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
    st.sampled_from([0, -0.0, 5e-324, 1.7e308, -1.7e308]),
)
pairs = st.lists(st.tuples(st.one_of(st.integers(0, 10**6), st.integers(CHANGE - 10**4, CHANGE + 10**4)), anything))
bucket = st.fixed_dictionaries({"t": st.integers(CHANGE - 999, CHANGE + 999), "requests": anything, "errors": anything})


@many
@given(
    pairs,
    st.one_of(st.none(), pairs),
    pairs,
    st.sampled_from(["ms", "percent", "fraction", "count", "raw", "parsecs"]),
    st.sampled_from(["increase", "decrease", "either"]),
    st.one_of(st.none(), st.lists(bucket)),
)
@example([(0, -1.7e308), (1, 9.77e306), (2, 0.0), (3, 0.0), (1_699_990_040, 0.0)], None, [], "ms", "increase", None)
def test_nothing_that_a_file_may_hold_is_an_exception_in_the_middle(
    past: Any, control: Any, live: Any, unit: str, worse: str, buckets: Any
) -> None:
    data = case(metric([], unit=unit, worse=worse) | {"baseline": past, "control": control, "live": live})
    if buckets is not None:
        data["counts"] = {"baseline": buckets, "control": buckets, "live": buckets}
    try:
        found = cases.judge(cases.parse(json.dumps(data)))
    except CaseError:
        return
    assert all(math.isfinite(evidence) for _, evidence in found.evidence)
    json.dumps(found.line(), allow_nan=False)
