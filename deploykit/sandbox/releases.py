"""The releases of the sandbox's shop, as data: what each one is called and how it behaves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """One release of the shop.

    Attributes:
        tag: Its tag, which is also the version it reports.
        commit: The commit the tag points to.
        title: The first line of the commit's message.
        date: When it was committed, in UTC.
        error_share: Share of requests answered with 500. Health and version never are, which makes it a trap.
        slow_share: Share of requests that take longer.
        slow_seconds: How much longer they take.
        healthy: Whether its health endpoint ever says so.
        leak_bytes: What it allocates with each request of a user, and never lets go.
    """

    tag: str
    commit: str
    title: str
    date: str
    error_share: float = 0.0
    slow_share: float = 0.0
    slow_seconds: float = 0.0
    healthy: bool = True
    leak_bytes: int = 0


RELEASES = (
    Release("v1.4.1", "c57c9cdbf47fe2643a4069e43e01c6fbd71c3bfb", "Sort products by id", "2026-09-02T09:12:00Z"),
    Release("v1.4.2", "25dfb73e4fde9d9b06a37e49bee1a3a348916fb8", "Round prices to cents", "2026-09-21T13:40:00Z"),
    Release("v1.5.0", "52a2d1bb06816056443083b34bbca72a3053a95f", "Add orders", "2026-10-06T08:05:00Z"),
    Release(
        "v1.6.0",
        "cdfc5204a3f86a766b7522e30b22acfbb71786ab",
        "Reserve stock on order",
        "2026-10-19T15:31:00Z",
        error_share=0.10,
    ),
    Release(
        "v1.7.0",
        "c46d046cb6ff6626d60095d4b7f2adf50c2d1a99",
        "Recommend products",
        "2026-11-02T10:22:00Z",
        slow_share=0.30,
        slow_seconds=0.6,
    ),
    Release(
        "v1.8.0",
        "eb99a1ed8dc8d620b9ae27a87e8f64c651de53e4",
        "Move settings to a new file",
        "2026-11-16T11:47:00Z",
        healthy=False,
    ),
    Release("v1.5.1", "7f0e8c1b5d5d41a6a3b0c0f1f6d9a4a2c7e35b18", "Name the currency", "2026-11-21T09:26:00Z"),
    Release(
        "v1.13.0",
        "3c6b1f7ad2c84a0e9d1f5b8e60a74d93e5b2f0c6",
        "Remember what was looked at",
        "2026-11-21T14:03:00Z",
        leak_bytes=256 * 1024,
    ),
)
LIVE = "v1.4.2"
IDLE = "v1.4.1"
HEAD = "v1.5.0"
STAGING = "v1.4.2"


def find_release(name: str) -> Release | None:
    """Finds a release by its tag or its full commit."""
    return next((r for r in RELEASES if name in (r.tag, r.commit)), None)
