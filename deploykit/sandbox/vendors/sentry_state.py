"""What Sentry holds here: one project with its keys, releases, deploys, issues and sessions."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deploykit.sandbox.addresses import SENTRY_PROJECT
from deploykit.sandbox.releases import RELEASES
from deploykit.sandbox.vendors import sentry_shapes as shapes
from deploykit.sandbox.vendors.limits import Limit

Fields = dict[str, Any]
#: When, version, environment, status and number.
Session = tuple[float, str, str, str, int]
SCOPES = ("org:read", "project:read", "project:releases", "event:read")
#: Objects of the longest page.
SIZE = 100


def stamp(at: datetime | None = None) -> str:
    """A time as Sentry writes it."""
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sentry:
    """What Sentry knows."""

    def __init__(self) -> None:
        self.put({})

    def put(self, differences: Mapping[str, Any]) -> None:
        """As at the start, but for these differences.

        Args:
            differences: `status` of the project; `keys`, whether each is active; `releases`, versions or objects;
                `issues`, each with `title`, `level`, `release`, `status` and `age` in seconds; `sessions` by version;
                `scopes` of the token; `limit` of requests a second; `page`, the longest page.
        """
        get = differences.get
        self.status: str | None = get("status", "active")
        self.keys: list[bool] = list(get("keys", [True]))
        self.releases: dict[str, Fields] = {}
        self.deploys: dict[str, list[Fields]] = {}
        self.issues: list[Fields] = []
        self.sessions: list[Session] = []
        for known in get("releases", [release.tag for release in RELEASES]):
            self.register(**(known if isinstance(known, dict) else {"version": known}))
        for known in get("issues", ()):
            self.seen(**known)
        for version, number in get("sessions", {}).items():
            self.sessions.append((time.time(), version, "production", "healthy", number))
        self.scopes = frozenset(get("scopes", SCOPES))
        self.limit = Limit(int(get("limit", 40)), 1.0)
        self.page = int(get("page", SIZE))

    def register(self, version: str, **given: Any) -> bool:
        """A release; whether it is a new one. Projects are added to one that is there."""
        known = self.releases.setdefault(version, {"number": len(self.releases) + 1, "born": stamp(), "projects": []})
        new = version not in self.deploys
        self.deploys.setdefault(version, [])
        projects = known["projects"] + given.pop("projects", [SENTRY_PROJECT])
        known.update({key: value for key, value in given.items() if value is not None}, projects=projects)
        return new

    def seen(self, title: str, level: str = "error", release: str = "", **more: Any) -> None:
        """One more event: of an issue that is known by its title, or of a new one."""
        at, environment = datetime.now(UTC) - timedelta(seconds=more.get("age", 0)), more.get("environment")
        known = next((issue for issue in self.issues if issue["title"] == title), None)
        if known is None:
            known = {"title": title, "level": level, "firstRelease": release, "firstSeen": stamp(at), "count": 0}
            known |= {"status": more.get("status", "unresolved"), "users": 0, "culprit": more.get("culprit", "")}
            known |= {"environments": set()}
            self.issues.append(known)
        known |= {"count": known["count"] + more.get("count", 1), "lastSeen": stamp(at)}
        known["environments"].add(environment or "production")

    def show_release(self, version: str) -> Fields:
        """A release as Sentry shows it."""
        known = self.releases[version]
        return shapes.release(version, known["number"], known["born"], self.deploys[version], known)
