"""Evidence that may be looked at at any moment: test martingales over counts.

An e-value is what a bet against "the candidate is no worse" would have won by now. Under that hypothesis it exceeds
1/alpha at any look, ever, with probability alpha at most (Ville), so looking again and again costs nothing.

Sources: Turner, Ly, Gruenwald, "Generic e-variables for exact sequential k-sample tests", arXiv:2106.02693; Howard,
Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 2021.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

#: How many times worse the candidate may be; the bet is spread evenly over them.
RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)


def log_mean_exp(values: Iterable[float]) -> float:
    """The logarithm of the mean of exp(values), without overflow."""
    values = list(values)
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values) / len(values))


def against_control(buckets: Iterable[tuple[float, float, float, float]]) -> float:
    """Log e-value for "the candidate's rate of events is higher than the control's".

    Given how many events a bucket has in all, the candidate's part of them is binomial with its share of the requests,
    whatever drift both feel and whatever the share is: that is all that is assumed.

    Args:
        buckets: For each: candidate's requests, candidate's events, control's requests, control's events.
    """
    logs = [0.0] * len(RATIOS)
    for candidate_n, candidate_k, control_n, control_k in buckets:
        total = candidate_n + control_n
        if total <= 0 or candidate_n <= 0 or control_n <= 0:
            continue
        share = candidate_n / total
        for index, ratio in enumerate(RATIOS):
            logs[index] += candidate_k * math.log(ratio)
            logs[index] -= (candidate_k + control_k) * math.log(ratio * share + 1 - share)
    return log_mean_exp(logs)


def against_limit(events: float, trials: float, limit: float) -> float:
    """Log e-value for "the rate of events is above the limit".

    Args:
        events: How many happened.
        trials: How many could have.
        limit: The largest rate that is still fine, between 0 and 1.
    """
    rates = [min(limit * ratio, (1 + limit) / 2) for ratio in RATIOS]
    misses = trials - events
    return log_mean_exp(events * math.log(rate / limit) + misses * math.log((1 - rate) / (1 - limit)) for rate in rates)


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
