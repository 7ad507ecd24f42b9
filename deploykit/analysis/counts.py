"""One counted metric over a deployment, look by look: errors among requests, requests over a latency edge."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploykit.analysis.bets import Bets, log_mean_exp, log_sum_exp
from deploykit.analysis.constants import (
    ALONE,
    LASTING,
    LASTING_EVENTS,
    LASTING_LEAST,
    LASTING_MOST,
    RATIO_WEIGHTS,
    RATIOS,
    SEEN_EVENTS,
    SEEN_WINDOWS,
)
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.rates import Bucket, Past, RateTest, learn

#: The last so many mixes of traffic are remembered.
EPOCHS = 8


@dataclass
class Totals:
    """What was served since the weights were last changed, or since the control was gone."""

    requests: float = 0.0
    events: float = 0.0
    control_requests: float = 0.0
    control_events: float = 0.0

    def add(self, bucket: Bucket) -> None:
        """Count a bucket in."""
        self.requests += bucket.requests
        self.events += bucket.events
        self.control_requests += bucket.control_requests
        self.control_events += bucket.control_events


class CountWatch:
    """The state of one counted metric. A look costs the same however long the deployment lasts.

    With a control, the candidate's rate is held against the control's at the same time. Alone, it is held against the
    limit, and against the past: there only a change that lasts for several windows counts, because bursts pass.

    Args:
        past: Unix seconds, requests and events of live before the change, sorted, in buckets of one length.
        limit: The largest rate that is still fine, between 0 and 1, if one was promised.
        controlled: Whether there will be a control at all.
    """

    def __init__(
        self, past: Sequence[tuple[float, float, float]], *, limit: float | None = None, controlled: bool = True
    ) -> None:
        self.past: Past = learn(past)
        served = [requests for _, requests, _ in past if requests > 0]
        #: Requests of a bucket before the change.
        self.usually_served = median(served) if served else 0.0
        self.limit, self.controlled = limit, controlled
        self.totals = Totals()
        self.epochs: deque[Totals] = deque([self.totals], maxlen=EPOCHS)
        self.served = 0.0
        self.looks = 0
        self.log_e = 0.0
        self._beside = RateTest(self.past)
        self._limit = Bets(RATIO_WEIGHTS) if limit else None
        self._lasting = _Lasting(past)

    @property
    def usual(self) -> float:
        """The rate to expect: the control's with the past's, never quite none."""
        totals, past = self.totals, self.past
        events, requests = totals.control_events + past.strength, totals.control_requests + past.exposure
        if requests <= 0:
            return self.limit or 0.0
        return max(events, 0.5) / requests

    @property
    def lasting(self) -> float:
        """The rate that, without a control, would have been seen against the past by now."""
        return self._lasting.sight

    def update(self, at: float, bucket: Bucket) -> float:
        """One look, later than all before. Returns the log e-value for "worse".

        Args:
            at: Unix seconds of the bucket's end.
            bucket: What was served in it.
        """
        if not bucket.sound or bucket.requests <= 0:
            return self.log_e
        bucket = Bucket(
            bucket.requests,
            min(bucket.events, bucket.requests),
            bucket.control_requests,
            min(bucket.control_events, bucket.control_requests),
        )
        if self.looks and (bucket.control_requests > 0) != (self.totals.control_requests > 0):
            self._begin()
        if bucket.control_requests > 0:
            epochs = self._beside.epochs
            self._beside.update(bucket)
            if self._beside.epochs > epochs:
                self._begin()
        else:
            self._alone(at, bucket)
        self.totals.add(bucket)
        self.served, self.looks = self.served + bucket.requests, self.looks + 1
        alone = [test.log_e for test in (self._limit, self._lasting) if test]
        parts = (1 - ALONE, ALONE) if self.controlled else (0.0, 1.0)
        logs = zip(parts, (self._beside.log_e, log_mean_exp(alone)), strict=True)
        self.log_e = log_sum_exp([math.log(part) + log for part, log in logs if part > 0])
        return self.log_e

    def _begin(self) -> None:
        """What is told of a rate belongs to one mix of traffic."""
        self.totals, self.looks = Totals(), 0
        self.epochs.append(self.totals)

    def _alone(self, at: float, bucket: Bucket) -> None:
        if self.limit and self._limit:
            rates = [min(self.limit * ratio, (1 + self.limit) / 2) for ratio in RATIOS]
            apart = 1 + max(bucket.requests - 1, 0) * self.past.together
            misses = bucket.requests - bucket.events
            self._limit.update(
                [
                    (bucket.events * math.log(rate / self.limit) + misses * math.log((1 - rate) / (1 - self.limit)))
                    / apart
                    for rate in rates
                ]
            )
        self._lasting.update(at, bucket)


class _Lasting:
    """The rate in windows of time, as a plain series against its past. A window is as long as some events take."""

    def __init__(self, past: Sequence[tuple[float, float, float]]) -> None:
        self._seconds = _window(past)
        windows: dict[int, list[float]] = {}
        for at, requests, events in past:
            window = windows.setdefault(int(at // self._seconds), [0.0, 0.0])
            window[0] += requests
            window[1] += events
        points = [((index + 1) * self._seconds, k / n) for index, (n, k) in sorted(windows.items()) if n > 0]
        self._watch = MetricWatch(Metric("rate", "fraction", matters=LASTING), points)
        self._began: float | None = None
        self._requests = self._events = self._served = 0.0
        self.log_e = 0.0

    def update(self, at: float, bucket: Bucket) -> None:
        """One bucket; a point each time a window is full."""
        self._began = at if self._began is None else self._began
        self._requests += bucket.requests
        self._events += bucket.events
        if at - self._began >= self._seconds:
            self.log_e = self._watch.update(at, self._events / self._requests)
            self._served += self._requests
            self._began, self._requests, self._events = at, 0.0, 0.0

    @property
    def sight(self) -> float:
        """The rate from which on it would have been seen by now; infinite before enough windows passed."""
        reference = self._watch.reference
        if reference is None or self._watch.seen < SEEN_WINDOWS:
            return math.inf
        at = self._watch.recent[-1][0]
        usual, most = reference.expect(at)[1], reference.band(at)[1]
        # A rate of which a window holds few events strays in few windows.
        told = SEEN_EVENTS * self._watch.seen / self._served
        return max((1 + LASTING) * reference.scale.value(usual), most, told)


def _window(past: Sequence[tuple[float, float, float]]) -> float:
    """So many seconds that some events are to be expected in them, between a minute and what a burst may last."""
    if len(past) < 2:
        return LASTING_MOST
    seconds, events = past[-1][0] - past[0][0], math.fsum(events for _, _, events in past)
    return min(max(LASTING_EVENTS * seconds / max(events, 0.5), LASTING_LEAST), LASTING_MOST)
