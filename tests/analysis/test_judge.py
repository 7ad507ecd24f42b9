from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploykit.analysis.judge import Bounds, Judge, Observed, judge
from deploykit.analysis.metric import Metric
from deploykit.model import Answer, Series

NOW = 1_790_000_000.0
BOUNDS = Bounds(error_rate=0.001, slow_share=0.05, requests=1000, fresh=60.0, settled=30.0)


def one(name: str, count: float, looks: int, end: float) -> Series:
    return Series(name=name, unit="requests", points=tuple((end - 10 * i, count) for i in range(looks)))


def served(requests: float, errors: float = 0.0, slow: float = 0.0, looks: int = 30, end: float = NOW) -> Observed:
    return Observed(
        requests=one("requests", requests, looks, end),
        errors=one("errors", errors, looks, end),
        slow=one("slow", slow, looks, end),
    )


def test_a_healthy_candidate_passes_beside_the_control_and_says_what_it_would_have_seen() -> None:
    verdict = judge(served(100), served(900, 1), BOUNDS, NOW)
    assert verdict.answer is Answer.PASS
    assert "would have been seen" in verdict.reason


def test_errors_beside_a_control_without_send_it_back() -> None:
    verdict = judge(served(100, 5), served(900, 1), BOUNDS, NOW)
    assert verdict.answer is Answer.ROLL_BACK
    assert verdict.reason.startswith("errors: 5.00% of ")
    assert verdict.certain_at is not None


def test_slow_requests_do_too() -> None:
    assert judge(served(100, slow=60), served(900, slow=10), BOUNDS, NOW).reason.startswith("slow: ")


def test_without_a_control_the_limits_judge() -> None:
    assert judge(served(1000, 10), None, BOUNDS, NOW).answer is Answer.ROLL_BACK
    assert judge(served(1000, 0), None, BOUNDS, NOW).answer is Answer.PASS


def test_what_both_suffer_sends_nobody_back() -> None:
    assert judge(served(100, 20), served(900, 180), BOUNDS, NOW).answer is Answer.PASS


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (served(0), "no requests of the candidate are known yet"),
        (served(100, looks=0), "no requests of the candidate are known yet"),
        (served(100, end=NOW - 300), "the newest point is 300 s old; nothing newer than 80 s is known"),
        (served(10), "the candidate served 300 requests; 1,000 are needed to pass"),
    ],
)
def test_no_data_late_data_and_too_little_traffic_hold(seen: Observed, reason: str) -> None:
    verdict = judge(seen, served(900), BOUNDS, NOW)
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, reason)


def test_looking_at_every_moment_says_the_same_as_looking_once() -> None:
    often, whole = Judge(BOUNDS), []
    for look in range(1, 31):
        now = NOW - 10 * (30 - look)
        seen = served(100, 0.5, looks=look, end=now), served(900, 0.5, looks=look, end=now)
        whole = [often.look(*seen, now), judge(*seen, BOUNDS, now)]
        if whole[0].answer is Answer.ROLL_BACK:
            break
        assert whole[0].findings[0].numbers["log_e"] == pytest.approx(whole[1].findings[0].numbers["log_e"])
    assert whole[0].answer is whole[1].answer is Answer.ROLL_BACK
    assert len(often.evidence) > 1


def test_a_young_point_that_changes_is_judged_anew() -> None:
    judged = Judge(BOUNDS)
    assert judged.look(served(100, 0, looks=1), served(900, looks=1), NOW).answer is Answer.HOLD
    for half in (40, 80):
        verdict = judged.look(served(100, half, looks=1), served(900, looks=1), NOW + 1)
    assert verdict.findings[0].numbers["events"] in {40, 80}


def test_once_certain_later_silence_changes_nothing() -> None:
    judged = Judge(BOUNDS)
    assert judged.look(served(100, 50), served(900), NOW).answer is Answer.ROLL_BACK
    assert judged.look(served(0), served(900), NOW + 600).answer is Answer.ROLL_BACK


def test_a_counts_missing_where_requests_are_is_none_and_a_control_that_is_late_is_waited_for() -> None:
    silent = Observed(
        requests=one("requests", 100, 30, NOW), errors=one("errors", 0, 0, NOW), slow=one("slow", 0, 0, NOW)
    )
    verdict = judge(silent, served(900, 1), BOUNDS, NOW)
    assert verdict.findings[0].numbers["events"] == 0
    half = judge(served(100), served(900, looks=10), BOUNDS, NOW)
    assert half.findings[0].numbers["requests"] == 1000


def test_a_further_metric_is_judged_by_its_own_past() -> None:
    memory = Metric("memory", "bytes")

    def beside(seen: Observed, level: float) -> Observed:
        points = tuple((at, level + at % 7) for at, _ in seen.requests.points)
        series = Series(name="memory", unit="bytes", points=points)
        return Observed(seen.requests, seen.errors, seen.slow, ((memory, series),))

    before = beside(served(1000, 0, looks=60, end=NOW - 300), 1e6)
    fine, bloated = (Judge(BOUNDS, before).look(beside(served(100), level), served(900), NOW) for level in (1e6, 3e6))
    assert fine.answer is Answer.PASS
    assert bloated.answer is Answer.ROLL_BACK
    assert bloated.reason.startswith("memory: ")


def test_negative_counts_are_no_exception_in_the_middle_of_a_shift() -> None:
    verdict = judge(served(-5, -3), served(900, -1), BOUNDS, NOW)
    assert verdict.answer is Answer.HOLD
    assert math.isfinite(judge(served(100, 1e9), served(1e-9), BOUNDS, NOW).findings[0].numbers["log_e"] or 0.0)


def test_mixed_units_hold_and_are_named() -> None:
    other = served(900)
    shares = Observed(other.requests, other.errors.model_copy(update={"unit": "percent"}), other.slow)
    assert (
        judge(served(100), shares, BOUNDS, NOW).reason == "errors: the arms have different units, percent and requests"
    )
    seen = served(100)
    plain = ((Metric("memory", "bytes"), seen.slow),)
    verdict = judge(Observed(seen.requests, seen.errors, seen.slow, plain), served(900), BOUNDS, NOW)
    assert verdict.reason == "memory: the points are in requests, and bytes was promised"


def test_what_is_handed_over_again_changes_nothing() -> None:
    once, again = Judge(BOUNDS), Judge(BOUNDS)
    for end in range(30, 330, 30):
        at = NOW + end
        whole = once.look(served(100, 1, looks=end // 10, end=at), served(900, 9, looks=end // 10, end=at), at)
        few = min(end // 10, 7)
        new = again.look(served(100, 1, looks=few, end=at), served(900, 9, looks=few, end=at), at)
    assert once.evidence == again.evidence
    assert whole.findings == new.findings


_point = st.tuples(
    st.sampled_from([NOW - 10 * n for n in range(12)]),
    st.one_of(st.none(), st.floats(-10, 1e4), st.sampled_from([0.0, -1.0, 1e300, 5e-324])),
)
_points = st.lists(_point, max_size=15)


@st.composite
def arm(draw: st.DrawFn) -> Observed:
    def counts(name: str) -> Series:
        return Series(name=name, unit="requests", points=tuple(draw(_points)))

    return Observed(counts("requests"), counts("errors"), counts("slow"))


@settings(max_examples=150, deadline=None)
@given(arm(), st.none() | arm(), st.none() | arm())
def test_whatever_a_vendor_sends_is_an_answer_and_never_an_exception(
    candidate: Observed, control: Observed | None, before: Observed | None
) -> None:
    """Unsorted, twice, negative, huge, more errors than requests, one arm without the other."""
    judge_of_it = Judge(BOUNDS, before, controlled=control is not None)
    for now in (NOW - 30, NOW, NOW + 5):
        verdict = judge_of_it.look(candidate, control, now)
        assert verdict.reason
    if not any(value and value > 0 for _, value in candidate.requests.points):
        assert verdict.answer is Answer.HOLD


def test_rubbish_among_the_errors_is_not_taken_for_none() -> None:
    verdict = judge(served(100, -1.0), served(900), BOUNDS, NOW)
    assert verdict.answer is Answer.HOLD
    assert "no requests of the candidate are known" in verdict.reason
