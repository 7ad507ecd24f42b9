"""What the load counts."""

from dataclasses import dataclass


@dataclass
class Tally:
    """What one version on one colour answered.

    Attributes:
        requests: All answers.
        failures: Those with a status of 500 or more, and requests without an answer.
        first: When the first answer came, in seconds since the epoch.
        last: When the last one came.
        failed: When the first of the failures came.
    """

    requests: int = 0
    failures: int = 0
    first: float = 0.0
    last: float = 0.0
    failed: float = 0.0

    def count(self, now: float, *, failed: bool) -> None:
        """Counts one answer."""
        self.requests += 1
        self.failures += failed
        self.first, self.last = self.first or now, now
        if failed:
            self.failed = self.failed or now
