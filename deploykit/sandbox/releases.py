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
        revisions: Its migrations, the oldest first; the last is the one that it needs.
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
    revisions: tuple[str, ...] = ("0001", "0002")


RELEASES = (
    Release(
        "v1.4.1",
        "c57c9cdbf47fe2643a4069e43e01c6fbd71c3bfb",
        "Sort products by id",
        "2026-09-02T09:12:00Z",
        revisions=("0001",),
    ),
    Release(
        "v1.4.2",
        "25dfb73e4fde9d9b06a37e49bee1a3a348916fb8",
        "Round prices to cents",
        "2026-09-21T13:40:00Z",
        revisions=("0001",),
    ),
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
    Release(
        "v1.9.0",
        "6f0b2c1d7e8a49530c9d4fb6a1e2d3c4b5a69788",
        "Take orders from the app",
        "2026-11-17T09:30:00Z",
        revisions=("0001", "0002", "0003_app", "0004_app"),  # the second fails while users order
    ),
    Release(
        "v1.10.0",
        "90d1c4e7b2a35f688e7d6c5b4a3928170f1e2d3c",
        "Take orders from the kiosk",
        "2026-11-18T14:05:00Z",
        revisions=("0001", "0002", "0003_kiosk"),  # its way back fails once users ordered
    ),
    Release(
        "v1.11.0",
        "a7b8c9d0e1f2031425364758697a8b9cadbecfd0",
        "Read old codes behind a flag",
        "2026-11-19T10:10:00Z",
        revisions=("0001", "0002", "0003_codes"),
    ),
    Release(
        "v1.12.0",
        "3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f61",
        "Drop old codes",
        "2026-11-20T08:20:00Z",
        revisions=("0001", "0002", "0003_bare"),  # breaking, and behind no flag
    ),
    Release(
        "v1.4.3",  # mends the line that is live, and needs no migration
        "7f0e8c1b5d5d41a6a3b0c0f1f6d9a4a2c7e35b18",
        "Name the currency",
        "2026-11-21T09:26:00Z",
        revisions=("0001",),
    ),
    Release(
        "v1.13.0",
        "3c6b1f7ad2c84a0e9d1f5b8e60a74d93e5b2f0c6",
        "Remember what was looked at",
        "2026-11-21T14:03:00Z",
        leak_bytes=256 * 1024,
        revisions=("0001",),
    ),
)
LIVE = "v1.4.2"
IDLE = "v1.4.1"
HEAD = "v1.5.0"
STAGING = "v1.4.2"


def find_release(name: str) -> Release | None:
    """Finds a release by its tag or its full commit."""
    return next((r for r in RELEASES if name in (r.tag, r.commit)), None)
