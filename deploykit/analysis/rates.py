"""A rate of events beside another: the candidate's against the control's and against what the past taught.

Events among requests are Poisson with a common rate that has a Gamma prior; under the alternative the candidate's is
so many times as high. The wealth of the bet is the ratio of both marginal likelihoods. With no prior it is the
conditional binomial test, which no drift that both feel can deceive; the more the past was steady, the more it adds.

Sources: Turner, Ly, Gruenwald, "Generic e-variables for exact sequential k-sample tests", arXiv:2106.02693; Lindon,
Malek, "Anytime-valid inference for multinomial count data", arXiv:2011.03567 (the marginal likelihoods).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from deploykit.analysis.bets import beginning, log_sum_exp
from deploykit.analysis.constants import (
    BURST,
    FIRST,
    FREE,
    HEAVY,
    MOVED,
    RATIO_WEIGHTS,
    RATIOS,
    STRONGEST,
    SWING_SECONDS,
    WEAKEST,
)

#: Overdispersion is the median over so many parts of the past, so that a burst in one of them does not count.
PARTS = 8
#: Nobody counts less than this, or more.
SLIVER, ENDLESS = 1e-6, 1e15
#: Beginnings younger than this are all kept; of older ones fewer and fewer, and this many at most.
YOUNG, KEPT = 8, 32


@dataclass(frozen=True)
class Bucket:
    """What one look brought: requests and events of both sides; a control without requests is none."""

    requests: float
    events: float
    control_requests: float = 0.0
    control_events: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether all four are counts of something: not negative, not endless, and not a sliver of one."""
        return all(map(is_count, (self.requests, self.events, self.control_requests, self.control_events)))


def is_count(value: float) -> bool:
    """Whether a number can be how many there were; sampling may have made it no whole one."""
    return value == 0 or SLIVER <= value <= ENDLESS


@dataclass(frozen=True)
class Past:
    """What the time before the change taught about a rate.

    Attributes:
        rate: Events a request.
        strength: As how many events that counts: one over the squared relative swing of the rate.
        together: Correlation of the events of one bucket (0: independent requests).
    """

    rate: float = 0.0
    strength: float = 0.0
    together: float = 0.0

    @property
    def exposure(self) -> float:
        """As how many requests it counts."""
        return self.strength / self.rate if self.rate > 0 else 0.0


def learn(buckets: Sequence[tuple[float, float, float]]) -> Past:
    """What a past teaches.

    Args:
        buckets: Unix seconds, requests and events, sorted; all of one length.
    """
    served = [(at, n, k) for at, n, k in buckets if n > 0]
    requests, events = math.fsum(n for _, n, _ in served), math.fsum(k for _, _, k in served)
    if requests <= 0:
        return Past()
    rate = max(events, 0.5) / requests
    together = _together(served)
    windows: dict[int, list[float]] = {}
    for at, n, k in served:
        window = windows.setdefault(int(at // SWING_SECONDS), [0.0, 0.0, 0.0])
        window[0] += n
        window[1] += k
        window[2] += n * rate * (1 + (n - 1) * together)
    expected = math.fsum((n * rate) ** 2 for n, _, _ in windows.values())
    swing = math.fsum((k - n * rate) ** 2 - noise for n, k, noise in windows.values()) / expected
    strength = min(1 / swing if swing > 0 else STRONGEST, STRONGEST, events + 0.5)
    return Past(rate=rate, strength=max(strength, WEAKEST), together=together)


def _together(served: Sequence[tuple[float, float, float]]) -> float:
    """Beta-binomial correlation from neighbours, which share any slow drift: by moments, part by part."""
    pairs = list(pairwise(served))
    found = []
    for part in range(PARTS):
        over = scale = 0.0
        for (_, n, k), (_, m, j) in pairs[part * len(pairs) // PARTS : (part + 1) * len(pairs) // PARTS]:
            rate = (k + j) / (n + m)
            spread = rate * (1 - rate)
            # The rate is estimated from the same pair, which takes a degree of freedom.
            over += (k / n - j / m) ** 2 - spread * (1 / n + 1 / m) * (n + m) / max(n + m - 1, 1)
            scale += 2 * spread
        if scale > 0:
            found.append(over / scale)
    return min(max(median(found), 0.0), 0.5) if len(found) > PARTS // 2 else 0.0


@dataclass
class _Beginning:
    """Bets on a change that began at one look. What was before it only counts as the past does: rates drift.

    Attributes:
        banked: Log wealth from before the weights were last changed, one a ratio.
        shapes: Events since, and those that each prior counts as; `exposures` the requests, likewise.
        extra: More requests under the alternative, one a ratio.
        null: Log marginal likelihood by prior; `other` by ratio and prior.
    """

    look: int
    banked: list[float]
    shapes: list[float]
    exposures: list[float]
    extra: list[float]
    null: list[float]
    other: list[list[float]]

    def log_e(self, index: int) -> float:
        """Log wealth of one ratio."""
        return self.banked[index] + log_sum_exp(self.other[index]) - log_sum_exp(self.null)


class RateTest:
    """Evidence that the candidate's rate is higher, look by look; a look costs the same, always.

    Args:
        past: What the time before taught; without one the control alone speaks.
    """

    def __init__(self, past: Past | None = None) -> None:
        self.past = past or Past()
        # Steady as the past was, or as free as can be: in a burst both hypotheses forget the past.
        self._priors = ((1 - BURST, self.past.strength), (BURST, min(FREE, self.past.strength)))
        self.looks = 0
        #: How often the weights were changed.
        self.epochs = 0
        self.log_e = 0.0
        self._begun: list[_Beginning] = []
        self._requests = self._control_requests = 0.0

    def update(self, bucket: Bucket) -> float:
        """One look. Returns the log e-value for "higher"; a look without either side changes nothing."""
        n, m = bucket.requests, bucket.control_requests
        if n <= 0 or m <= 0:
            return self.log_e
        if self._share_moved(n, m):
            for one in self._begun:
                self._renew(one)
            self.epochs += 1
            self._requests = self._control_requests = 0.0
        self.looks += 1
        banked = [math.log(beginning(self.looks, FIRST) * weight) for weight in RATIO_WEIGHTS]
        self._begun.append(_Beginning(self.looks, banked, [], [], [], [], []))
        self._renew(self._begun[-1])
        for one in self._begun:
            self._bet(one, bucket)
        self._requests, self._control_requests = self._requests + n, self._control_requests + m
        self._thin()
        logs = [one.log_e(index) for one in self._begun for index in range(len(RATIOS))]
        self.log_e = log_sum_exp([*logs, math.log((1 - FIRST) / self.looks)])
        return self.log_e

    def _renew(self, one: _Beginning) -> None:
        """Bank what was won, and learn both rates anew."""
        if one.other:
            one.banked = [one.log_e(index) for index in range(len(RATIOS))]
        rate = self.past.rate
        one.shapes = [strength for _, strength in self._priors]
        one.exposures = [strength / rate if rate > 0 else 0.0 for strength in one.shapes]
        one.extra = [0.0] * len(RATIOS)
        one.null = [math.log(weight) for weight, _ in self._priors]
        one.other = [list(one.null) for _ in RATIOS]

    def _bet(self, one: _Beginning, bucket: Bucket) -> None:
        """Both hypotheses' negative binomial likelihood of a bucket, given all since the beginning."""
        n, m = bucket.requests, bucket.control_requests
        events = bucket.events + bucket.control_events
        # Events that come together count for less, and have a heavy tail that a larger bet does not survive.
        apart = 1 + 2 * n * m / (n + m) * self.past.together
        most = 1 + HEAVY / max(n * self.past.together, 1e-9)
        for prior, (shape, exposure) in enumerate(zip(one.shapes, one.exposures, strict=True)):
            one.null[prior] += _predicted(shape, exposure, n + m, events) / apart
            for index, wanted in enumerate(RATIOS):
                ratio = min(wanted, most)
                likelihood = _predicted(shape, exposure + one.extra[index], ratio * n + m, events)
                one.other[index][prior] += (bucket.events * math.log(ratio) + likelihood) / apart
            one.shapes[prior] += events
            one.exposures[prior] += n + m
        for index, wanted in enumerate(RATIOS):
            one.extra[index] += (min(wanted, most) - 1) * n

    def _share_moved(self, n: float, m: float) -> bool:
        """Whether the weights were changed, by more than chance: then both rates meet another mix of moments."""
        before, control = self._requests, self._control_requests
        if before <= 0:
            return False
        moved = abs(math.log(n / m) - math.log(before / control))
        return moved > math.log(MOVED) and moved > 4 * math.sqrt(1 / n + 1 / m + 1 / before + 1 / control)

    def _thin(self) -> None:
        """Keep all young beginnings and every second, fourth, ... of older ones; what is dropped is lost wealth."""

        def kept(one: _Beginning) -> bool:
            age = self.looks - one.look
            return age < YOUNG or (one.look - 1) % (1 << int(math.log2(age / YOUNG) + 1)) == 0

        self._begun = [one for one in self._begun if kept(one)]
        if len(self._begun) > KEPT:
            del self._begun[1]


def _predicted(shape: float, exposure: float, more: float, events: float) -> float:
    """Log likelihood of so many events in so many more requests, but for what both hypotheses share."""
    after = exposure + more
    learnt = shape * math.log(exposure / after) if shape > 0 else 0.0
    return learnt - events * math.log(after)
