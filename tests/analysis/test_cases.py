from __future__ import annotations

import gzip
import json
import math
from typing import Any

import pytest

from deploykit.analysis.cases import CaseError, parse
from deploykit.analysis.pictures import case_figures
from deploykit.model import Answer
from tests.analysis.recorded import CHANGE, SHARED, STEP, case, judged, metric, points, steady


def counts(errors: int, looks: int = 60) -> dict[str, Any]:
    def buckets(start: int, count: int, requests: int, errors: int) -> list[dict[str, Any]]:
        histogram = [requests - requests // 100, requests // 100]
        return [
            {"t": start + STEP * (i + 1), "requests": requests, "errors": errors, "histogram": histogram}
            for i in range(count)
        ]

    return {
        "edges_ms": [500],
        "baseline": buckets(CHANGE - STEP * 60, 60, 6000, 6),
        "control": buckets(CHANGE, looks, 5400, 5),
        "live": buckets(CHANGE, looks, 600, errors),
    }


def test_a_case_is_judged_point_by_point_and_no_further_than_it_has_to_be() -> None:
    found = judged(case(metric([101.0, 102.0, *[500.0] * 20], steady(30))))
    assert found.verdict.answer is Answer.ROLL_BACK
    assert found.decided_at is not None
    assert CHANGE + 3 * STEP < found.decided_at <= CHANGE + 6 * STEP
    assert found.evidence[-1][0] == found.decided_at
    assert found.line() == {
        "id": "one",
        "verdict": "rollback",
        "decided_at": found.decided_at,
        "reason": found.verdict.reason,
    }


def test_counts_take_the_place_of_the_shares_that_were_made_from_them() -> None:
    share = metric([0.5] * 60, [0.001] * 60, name="errors", unit="fraction")
    good, bad = (judged(case(share, counts=counts(errors))) for errors in (0, 30))
    assert [member.metric.name for member in good.panel.members] == ["errors", "slow"]
    assert good.verdict.answer is Answer.PASS
    assert bad.verdict.answer is Answer.ROLL_BACK
    assert [figure.title for figure in case_figures(bad)] == ["errors", "Evidence that the candidate is worse"]


def test_a_case_without_any_live_point_holds() -> None:
    found = judged(case(metric([], steady(30))))
    assert (found.verdict.answer, found.decided_at) == (Answer.HOLD, None)
    assert judged(case()).verdict.answer is Answer.HOLD


def test_the_past_ends_at_the_change() -> None:
    poisoned = metric(steady(10), steady(30))
    poisoned["baseline"] += points([1e9] * 30)
    assert judged(case(poisoned)).line() == judged(case(metric(steady(10), steady(30)))).line()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "no JSON object"),
        ('{"id": "a"}', "lacks 'metrics'"),
        (json.dumps(case(metric([1.0])) | {"change_at": "now"}), "'change_at' is of the wrong kind"),
        (json.dumps(case(metric([1.0])) | {"change_at": math.inf}), "inf is no time"),
        (json.dumps(case(metric([1.0], worse="up"))), "worse is 'up'"),
        (json.dumps(case(metric([1.0]) | {"live": [[1, 2, 3]]})), "no list of [time, value]"),
        (json.dumps(case(metric([1.0]) | {"live": [["x", 2]]})), "metric latency: live: 'x' is no time"),
        (json.dumps(case(metric([1.0]) | {"live": [[1, "2"]]})), "'2' is no number"),
        (json.dumps(case(metric([1.0]) | {"baseline": [[math.nan, 2]]})), "nan is no time"),
        (json.dumps(case(metric([1.0]), metric([1.0]))), "two metrics have the same name"),
        (json.dumps(case(counts={"live": [{"t": 1}]})), "lacks 'requests'"),
        (json.dumps(case(counts={"live": [{"t": 1, "requests": -1, "errors": 0}]})), "-1 is no count"),
        (json.dumps(case("latency")), "a metric is no JSON object"),  # type: ignore[arg-type]  # that is the point
    ],
)
def test_a_line_that_is_no_case_says_why(text: str, said: str) -> None:
    with pytest.raises(CaseError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_not_a_number_is_a_missing_value() -> None:
    found = judged(case(metric([math.nan, 101.0, math.inf, 102.0], [*steady(30), math.nan])))
    assert found.verdict.answer is Answer.PASS


def test_the_picture_shows_past_control_candidate_and_what_is_usual() -> None:
    found = judged(case(metric([500.0] * 10, steady(30), steady(10))))
    picture, evidence = case_figures(found)
    assert [series.name for series in picture.series] == [
        f"latency, {arm}" for arm in ("before", "control", "candidate")
    ]
    assert {label for _, label in picture.marks} == {"change", "rolled back"}
    low, high = picture.band[-1][1:]
    assert low < 100 < high < 200
    assert evidence.limit == 1.0
    assert case_figures(judged(case())) == ()


# The labelled cases, where they are at hand

FILES = {"petshop.jsonl.gz": (0.90, 0.05), "nezha.jsonl.gz": (0.90, 0.05), "kayenta-issues.jsonl": (0.90, 0.0)}


@pytest.mark.parametrize("name", FILES)
def test_the_labelled_cases_are_judged_as_well_as_is_claimed(name: str) -> None:
    path = SHARED / "judge-data" / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout")
    data = path.read_bytes()
    right = wrong = bad = good = 0
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
        labelled = json.loads(line)
        back = judged({key: labelled[key] for key in ("id", "change_at", "step_s", "metrics")})
        decided = back.decided_at if back.verdict.answer is Answer.ROLL_BACK else None
        bad += labelled["label"] == "bad"
        good += labelled["label"] == "good"
        if decided is not None:
            in_time = labelled["onset_at"] is not None and decided >= labelled["onset_at"]
            right, wrong = right + in_time, wrong + (not in_time)
    f1, most_wrong = FILES[name]
    assert 2 * right / (right + wrong + bad) >= f1
    assert wrong <= most_wrong * good
