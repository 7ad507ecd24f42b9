"""Bounds on rates: intervals that hold at every look, one that holds at a single look, and what a look could see."""

from __future__ import annotations

import math
from collections.abc import Callable

from deploykit.analysis.constants import CONFIDENCE


def rate_interval(events: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The rates that the counts so far do not rule out, at whatever moment one looks.

    The confidence sequence of a bet spread over all rates by a Beta(1/2, 1/2): Robbins, "Statistical methods related
    to the law of the iterated logarithm", 1970; Howard, Ramdas, McAuliffe, Sekhon, arXiv:1810.08240.

    Args:
        events: How many happened; clipped to the trials.
        trials: How many could have; none rule out nothing.
        confidence: That the interval covers the rate at all looks together.
    """
    if trials <= 0:
        return 0.0, 1.0
    events = min(max(events, 0.0), trials)
    misses, found = trials - events, min(max(events / trials, 1e-300), 1.0)
    mixed = _log_beta(events + 0.5, misses + 0.5) - _log_beta(0.5, 0.5)
    room = -math.log(1 - confidence)

    def kept(rate: float) -> bool:
        return mixed - _times_log(events, rate) - _times_log(misses, 1 - rate) <= room

    return _edge(kept, found, 0.0), _edge(kept, found, 1.0)


def ratio_interval(
    candidate: tuple[float, float], control: tuple[float, float], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """How many times the control's rate the candidate's may be, at whatever moment one looks.

    Given all events, the candidate's part of them is binomial; its interval is turned into one for the ratio.

    Args:
        candidate: Events and requests.
        control: Likewise, of the same moments and with one share of the traffic.
        confidence: As for `rate_interval`.
    """
    (events, requests), (others, other_requests) = candidate, control
    if requests <= 0 or other_requests <= 0:
        return 0.0, math.inf
    low, high = rate_interval(events, events + others, confidence)
    odds = other_requests / requests
    return odds * low / (1 - low) if low < 1 else math.inf, odds * high / (1 - high) if high < 1 else math.inf


def upper_bound(events: int, trials: int, alpha: float = 0.01) -> float:
    """The largest rate that the counts do not rule out: the one-sided Clopper-Pearson bound at 1 - alpha.

    It holds for one look at the end, which is how the success items use it. Zero events in 4,603 trials give 0.001.
    """
    if trials <= 0 or events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(events, trials, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def growth(ratio: float, rate: float, requests: float, control_requests: float) -> float:
    """How much log evidence so many requests bring on average, if the candidate's rate is so many times the control's.

    The Kullback-Leibler divergence of the conditional binomials; without a control, of the Poissons.

    Args:
        ratio: Candidate's rate over the control's.
        rate: The control's events a request.
        requests: The candidate's.
        control_requests: The control's, at the same time.
    """
    if ratio <= 0 or requests <= 0 or rate <= 0:
        return 0.0
    if control_requests <= 0:
        return rate * requests * (ratio * math.log(ratio) - ratio + 1)
    share = requests / (requests + control_requests)
    every = rate * (requests * ratio + control_requests)
    return rate * requests * ratio * math.log(ratio) - every * math.log(ratio * share + 1 - share)


def smallest_seen(rate: float, requests: float, control_requests: float, needed: float) -> float:
    """The smallest ratio that these requests would have shown on average; infinite where none would.

    Args:
        rate: The control's events a request.
        requests: The candidate's.
        control_requests: The control's, at the same time.
        needed: Log evidence, with what the bets' spreading costs.
    """
    most = 1 / rate if rate > 0 else 1.0
    if most <= 1 or growth(most, rate, requests, control_requests) < needed:
        return math.inf
    low, high = 1.0, most
    for _ in range(60):
        middle = math.sqrt(low * high)
        if growth(middle, rate, requests, control_requests) < needed:
            low = middle
        else:
            high = middle
    return high


def _edge(kept: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where a convex set of rates ends, between one inside and the end of the scale."""
    if kept(outside):
        return outside
    for _ in range(100):
        middle = (inside + outside) / 2
        if kept(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _times_log(count: float, rate: float) -> float:
    return 0.0 if count == 0 else count * math.log(rate) if rate > 0 else -math.inf


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _at_most(events: int, trials: int, rate: float) -> float:
    """P(X <= events) for X binomial."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    log_p, log_q = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(trials + 1)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_p + (trials - k) * log_q)
        for k in range(events + 1)
    )
    return math.fsum(terms)
