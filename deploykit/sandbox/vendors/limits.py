"""A limit of requests in a window of time, really enforced."""

import time


class Limit:
    """So many requests in so many seconds; then none until the window is over.

    Args:
        requests: How many are allowed in a window.
        seconds: How long a window lasts.
    """

    def __init__(self, requests: int, seconds: float) -> None:
        self.requests, self.seconds = requests, seconds
        self.used, self.ends = 0, 0.0

    def take(self) -> bool:
        """Count one request; whether it is allowed."""
        now = time.time()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.seconds
        self.used += 1
        return self.used <= self.requests

    @property
    def remaining(self) -> int:
        """How many are left in this window."""
        return max(self.requests - self.used, 0)

    @property
    def wait(self) -> float:
        """Seconds until the window is over."""
        return max(self.ends - time.time(), 0.0)
