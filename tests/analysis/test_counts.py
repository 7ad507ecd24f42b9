from __future__ import annotations

import math
import random

import pytest

from deploykit.analysis.counts import CountWatch
from deploykit.analysis.rates import Bucket

NOW = 1_700_000_000.0
ENOUGH = math.log(50)
PAST = [(NOW - 10 * (360 - i), 1000.0, float(i % 2)) for i in range(360)]


def fed(watch: CountWatch, bucket: Bucket, looks: int, step: float = 10.0) -> CountWatch:
    for look in range(looks):
        watch.update(NOW + step * (look + 1), bucket)
    return watch


def test_a_rate_over_the_limit_is_found_without_a_control() -> None:
    assert fed(CountWatch([], limit=0.001, controlled=False), Bucket(1000, 10), 10).log_e > ENOUGH
    assert fed(CountWatch([], limit=0.01, controlled=False), Bucket(1000, 5), 200).log_e < ENOUGH


def test_a_rate_that_doubled_for_long_is_found_without_control_or_limit() -> None:
    past = [(NOW - 10 * (720 - i), 1000.0, 10.0 + i % 3) for i in range(720)]
    assert fed(CountWatch(past, controlled=False), Bucket(1000, 40), 180).log_e > ENOUGH
    assert fed(CountWatch(past, controlled=False), Bucket(1000, 14), 180).log_e < ENOUGH


def test_a_burst_of_two_minutes_is_not_enough_without_a_control() -> None:
    past = [(NOW - 10 * (720 - i), 1000.0, 10.0 + i % 3) for i in range(720)]
    watch = CountWatch(past, controlled=False)
    for look in range(180):
        watch.update(NOW + 10 * look, Bucket(1000, 40 if 60 <= look < 72 else 11))
        assert watch.log_e < ENOUGH


def test_a_control_as_bad_as_the_candidate_clears_it_of_breaking_the_limit() -> None:
    watch = fed(CountWatch(PAST, limit=0.001), Bucket(100, 5, 900, 45), 30)
    assert watch.log_e < ENOUGH


def test_evidence_goes_on_where_the_control_ends() -> None:
    watch = fed(CountWatch([], limit=0.001), Bucket(100, 0, 900, 1), 30)
    for look in range(30, 60):
        watch.update(NOW + 10 * look, Bucket(1000, 20))
    assert watch.log_e > ENOUGH
    assert (watch.totals.control_requests, watch.served) == (0, 33_000)
    assert len(watch.epochs) == 2


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_counts_that_make_no_sense_are_no_counts(bad: float) -> None:
    for bucket in (Bucket(bad, 0), Bucket(100, bad), Bucket(100, 0, bad, 0), Bucket(100, 0, 100, bad)):
        watch = fed(CountWatch(PAST, limit=0.001), bucket, 5)
        assert (watch.log_e, watch.served) == (0.0, 0.0)


def test_more_events_than_requests_are_as_many() -> None:
    watch = fed(CountWatch(PAST, limit=0.001), Bucket(10, 30, 90, 0), 5)
    assert watch.totals.events == 50


def test_the_usual_rate_is_the_controls_with_the_pasts_and_never_none() -> None:
    assert CountWatch(PAST).usual == pytest.approx(0.0005)
    assert CountWatch([], limit=0.001).usual == 0.001
    watch = fed(CountWatch([]), Bucket(100, 0, 900, 0), 10)
    assert 0 < watch.usual < 0.0001


def test_overdispersed_errors_are_no_evidence() -> None:
    rng, wrong = random.Random(8), 0

    def clumped(requests: float) -> float:
        return float(sum(rng.random() < 0.01 for _ in range(int(requests // 20))) * 20)

    for _ in range(30):
        watch = CountWatch([(NOW - 10 * (360 - i), 1000.0, clumped(1000)) for i in range(360)])
        for look in range(60):
            watch.update(NOW + 10 * look, Bucket(200, clumped(200), 800, clumped(800)))
        wrong += watch.log_e >= ENOUGH
    assert wrong <= 1


def test_what_lasts_is_seen_within_minutes_where_a_window_has_events_enough() -> None:
    past = [(NOW - 10 * (720 - i), 1000.0, 10.0 + i % 3) for i in range(720)]
    watch = CountWatch(past, controlled=False)
    seen = next(look for look in range(180) if watch.update(NOW + 10 * look, Bucket(1000, 60)) > ENOUGH)
    assert 10 * seen <= 300


def test_alone_it_says_what_would_have_been_seen_once_it_looked_for_a_while() -> None:
    past = [(NOW - 10 * (720 - i), 1000.0, 10.0 + i % 3) for i in range(720)]
    watch = fed(CountWatch(past, controlled=False), Bucket(1000, 11), 12)
    assert watch.lasting == math.inf
    assert 0.02 <= fed(CountWatch(past, controlled=False), Bucket(1000, 11), 60).lasting <= 0.04
    assert fed(CountWatch([], controlled=False), Bucket(1000, 11), 60).lasting == math.inf


def test_windows_with_hardly_a_request_show_nothing() -> None:
    past = [(NOW - 60 * (240 - i), 2.0, 0.0) for i in range(240)]
    watch = fed(CountWatch(past, controlled=False), Bucket(2, 0), 60, step=60.0)
    assert watch.lasting > 0.3
