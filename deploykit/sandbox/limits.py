"""A limit on how often a client may ask: so many requests in a window of time, counted anew in the next."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Standing:
    """Where a client stands after one more request.

    Attributes:
        limit: Requests a window.
        remaining: How many are left; negative when this one was too many.
        reset: Seconds until the next window, at least one.
    """

    limit: int
    remaining: int
    reset: int

    @property
    def refused(self) -> bool:
        """Whether this request was too many."""
        return self.remaining < 0


@dataclass
class Window:
    """Counts the requests of each client in a fixed window.

    Attributes:
        limit: Requests a client may make in a window.
        seconds: How long a window is.
    """

    limit: int
    seconds: float
    number: int = 0
    used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._usual = self.limit

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, with nothing used, but for another `limit`."""
        self.limit, self.used = int(differences.get("limit", self._usual)), {}

    def take(self, client: str = "") -> Standing:
        """Counts one more request of a client."""
        now = time.time()
        if int(now / self.seconds) != self.number:
            self.number, self.used = int(now / self.seconds), {}
        self.used[client] = self.used.get(client, 0) + 1
        reset = max(1, round((self.number + 1) * self.seconds - now))
        return Standing(self.limit, self.limit - self.used[client], reset)
