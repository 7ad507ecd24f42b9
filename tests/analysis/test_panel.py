from __future__ import annotations

import math

import pytest

from deploykit.analysis.counts import CountWatch
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.panel import Panel
from deploykit.analysis.rates import Bucket
from deploykit.model import Answer

NOW = 1_700_000_000.0
PAST = [(NOW - 60 * (30 - i), 100.0 + i % 5) for i in range(30)]


def series(*names: str, critical: bool = True) -> list[tuple[Metric, MetricWatch]]:
    return [(metric := Metric(name, "ms", critical=critical), MetricWatch(metric, PAST)) for name in names]


def counted(requests: float | None = None) -> Panel:
    watch = CountWatch([(NOW - 10 * (360 - i), 1000.0, 1.0) for i in range(360)], limit=0.01)
    return Panel([(Metric("errors", "fraction"), watch)], [], requests=requests)


def test_before_anything_was_seen_it_holds() -> None:
    assert Panel([], []).verdict().answer is Panel([], series("a")).verdict().answer is Answer.HOLD


def test_once_certain_it_stays_so_and_says_when_and_why() -> None:
    panel = Panel([], series("a", "b"))
    for look in range(40):
        panel.update(NOW + 60 * look, {"a": (300.0 if look < 8 else 100.0, None), "b": (101.0, None)})
    verdict = panel.verdict()
    assert verdict.answer is Answer.ROLL_BACK
    assert verdict.certain_at is not None
    assert verdict.certain_at < NOW + 480
    assert verdict.reason.startswith("a: ")
    assert [finding.answer for finding in verdict.findings] == [Answer.ROLL_BACK, Answer.PASS]


def test_many_metrics_need_stronger_evidence_from_one() -> None:
    alone, crowd = Panel([], series("a")), Panel([], series("a", *(f"m{i}" for i in range(50))))
    for look in range(2):
        for panel in (alone, crowd):
            panel.update(NOW + 60 * look, {"a": (160.0, None)})
    assert alone.evidence[1] > 1
    assert alone.evidence[1] - crowd.evidence[1] == pytest.approx(math.log(51) / math.log(20), abs=0.1)


def test_what_is_not_critical_needs_stronger_evidence_too() -> None:
    both = Panel([], [*series("a"), *series("b", critical=False)])
    needed = {member.metric.name: member.needed for member in both.members}
    assert needed["b"] - needed["a"] == pytest.approx(math.log(7 / 3))


def test_a_spike_of_all_metrics_at_once_decides_nothing() -> None:
    panel = Panel([], series(*"abcdefgh"))
    for look in range(10):
        panel.update(NOW + 60 * look, dict.fromkeys("abcdefgh", (1e6 if look == 5 else 101.0, None)))
        assert panel.verdict().answer is not Answer.ROLL_BACK


def test_late_data_holds() -> None:
    panel = Panel([], series("a"))
    for look in range(6):
        panel.update(NOW + 60 * look, {"a": (101.0 if look < 3 else None, None)})
        assert panel.verdict().answer is (Answer.HOLD if look in {0, 5} else Answer.PASS)
    assert "last 3 looks" in panel.verdict().reason


def test_a_metric_without_a_past_or_a_control_holds() -> None:
    metric = Metric("new", "ms")
    panel = Panel([], [(metric, MetricWatch(metric, []))])
    for look in range(6):
        panel.update(NOW + 60 * look, {"new": (1.0, None)})
    assert panel.verdict().reason == "new: nothing to compare with, neither a past nor a control"


def test_too_few_requests_hold() -> None:
    panel = counted(requests=5000)
    for look in range(10):
        panel.update(NOW + 10 * look, {"errors": Bucket(100, 0, 900, 1)})
    assert panel.verdict().reason == "the candidate served 1,000 requests; 5,000 are needed to pass"


def test_a_quiet_service_is_neither_sent_back_nor_passed() -> None:
    panel = counted()
    for look in range(180):
        panel.update(NOW + 10 * look, {"errors": Bucket(1, 0, 9, 0)})
    assert panel.verdict().answer is Answer.HOLD
    assert "too little traffic" in panel.verdict().reason


def test_a_pass_says_what_it_would_have_seen() -> None:
    panel = counted(requests=100)
    for look in range(60):
        panel.update(NOW + 10 * look, {"errors": Bucket(100, 0, 900, 1)})
    verdict = panel.verdict()
    assert verdict.answer is Answer.PASS
    assert "times the errors" in verdict.reason


def test_what_already_speaks_says_how_long_certainty_takes() -> None:
    panel, told = counted(requests=100), []
    for look in range(200):
        panel.update(NOW + 10 * look, {"errors": Bucket(100, look % 3 == 0, 900, 1)})
        (finding,) = panel.verdict().findings
        wait = finding.numbers.get("seconds_to_certainty")
        if wait is not None:
            told.append(wait)
            assert f"certain in about {wait:.0f} more seconds" in finding.reason or "more minutes" in finding.reason
        if panel.certain_at:
            break
    assert panel.certain_at is not None
    assert told
    assert told[-1] < 60


def test_looks_go_forward_only() -> None:
    panel = Panel([], series("a"))
    panel.update(NOW, {"a": (101.0, None)})
    panel.update(NOW, {"a": (1e6, None)})
    panel.update(NOW - 60, {"a": (1e6, None)})
    assert panel.looks == 1
