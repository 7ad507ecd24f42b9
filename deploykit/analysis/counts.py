"""One counted metric over a deployment, look by look: errors among requests, requests over a latency edge."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploykit.analysis.bets import Bets, log_mean_exp, log_sum_exp
from deploykit.analysis.constants import ALONE, LASTING, RATIO_WEIGHTS, RATIOS, SWING_SECONDS
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
    """The rate in windows of minutes, as a plain series against its past."""

    def __init__(self, past: Sequence[tuple[float, float, float]]) -> None:
        windows: dict[int, list[float]] = {}
        for at, requests, events in past:
            window = windows.setdefault(int(at // SWING_SECONDS), [0.0, 0.0])
            window[0] += requests
            window[1] += events
        points = [((index + 1) * SWING_SECONDS, k / n) for index, (n, k) in sorted(windows.items()) if n > 0]
        self._watch = MetricWatch(Metric("rate", "fraction", matters=LASTING), points)
        self._began: float | None = None
        self._requests = self._events = 0.0
        self.log_e = 0.0

    def update(self, at: float, bucket: Bucket) -> None:
        """One bucket; a point each time a window is full."""
        self._began = at if self._began is None else self._began
        self._requests += bucket.requests
        self._events += bucket.events
        if at - self._began >= SWING_SECONDS:
            self.log_e = self._watch.update(at, self._events / self._requests)
            self._began, self._requests, self._events = at, 0.0, 0.0
