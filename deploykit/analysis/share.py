"""Whether requests were split as they should have been: bounds that hold for few requests as for many.

Both are Chernoff's: Hoeffding, "Probability inequalities for sums of bounded random variables", 1963, for the first;
Chernoff, "A measure of asymptotic efficiency", 1952, for the second. Neither leans on a normal approximation.
"""

from __future__ import annotations

import math

#: How seldom a router that does what it says is refused, or one that did not move is missed: 1 in 16,000.
ALPHA = 1 / 16_000
#: Requests that may have been under way, or tried again, when the weights changed: so many, and 1 in 100, at most.
STRAY, STRAY_SHARE = 10, 0.01


def holds(hits: int, total: int, share: float, alpha: float = ALPHA) -> bool:
    """Whether so many of all requests are what a share of them is, but for chance and a few strays.

    Args:
        hits: Requests that went where the share says.
        total: All of them.
        share: From 0 to 1.
        alpha: How often chance alone may be refused, at most.
    """
    if total <= 0:
        return False
    wanted = share * total
    stray = min(STRAY, int(wanted * STRAY_SHARE))
    near = min(max(wanted, hits - stray), hits + stray)
    return total * _divergence(near / total, share) <= math.log(2 / alpha)


def enough(before: float, share: float, alpha: float = ALPHA) -> int:
    """So many requests that a router which stayed at the share before would be told from one that moved.

    Args:
        before: The share that it had, from 0 to 1.
        share: Another one, which it says.
        alpha: How often the one may be taken for the other, at most.
    """
    alike = min(_overlap(before, share, weight / 1000) for weight in range(1, 1000))
    return math.ceil(math.log(alpha / 2) / math.log(alike)) if alike > 0 else 1


def _divergence(found: float, share: float) -> float:
    """Kullback and Leibler's, of two coins, in nats."""
    return _part(found, share) + _part(1 - found, 1 - share)


def _part(found: float, share: float) -> float:
    if found <= 0:
        return 0.0
    return found * math.log(found / share) if share > 0 else math.inf


def _overlap(one: float, other: float, weight: float) -> float:
    """How alike two coins are; its smallest over all weights bounds how well they can be told apart."""
    return math.pow(one, weight) * math.pow(other, 1 - weight) + math.pow(1 - one, weight) * math.pow(
        1 - other, 1 - weight
    )
