"""Requests by colour while a traffic step lasts, as the router counts them: what it does, beside what it says."""

from __future__ import annotations

from deploykit.analysis.share import enough, holds
from deploykit.model import Colour
from deploykit.ports import Router, Weights


class Counted:
    """Counts from the first reading on, which comes when what was under way at the shift is over.

    Args:
        router: Has the counters.
        colour: Whose share it is about: the candidate's.
        before: The weights before the step.
        target: The weights of the step.
    """

    def __init__(self, router: Router, colour: Colour, before: Weights, target: Weights) -> None:
        self._router, self._colour = router, colour
        self.share = target[colour] / 100
        #: So many requests that a router which did not move would be found.
        self.needed = enough(before[colour] / 100, self.share)
        self._first: dict[Colour, int] = {}
        self._last: dict[Colour, int] = {}

    def read(self) -> bool:
        """Read the counters.

        Returns:
            Whether the router goes on counting; one that counts anew was restarted, and so do we.

        Raises:
            ProviderError: It does not say.
        """
        found = dict(self._router.counts())
        goes_on = all(found.get(colour, 0) >= count for colour, count in self._last.items())
        if not goes_on or not self._first:
            self._first = found
        self._last = found
        return goes_on

    def begin(self) -> None:
        """Count anew from the next reading on."""
        self._first, self._last = {}, {}

    @property
    def total(self) -> int:
        """Requests since the first reading."""
        return sum(self._last.values()) - sum(self._first.values())

    @property
    def hits(self) -> int:
        """Those of them that the candidate was sent."""
        return self._last.get(self._colour, 0) - self._first.get(self._colour, 0)

    def right(self) -> bool:
        """Whether the candidate's share of them is what the router says, but for chance."""
        return holds(self.hits, self.total, self.share)

    def __str__(self) -> str:
        share = self.hits / self.total if self.total else 0.0
        return f"{share:.1%} of {self.total:,} requests went to the candidate"
