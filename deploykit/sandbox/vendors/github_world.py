"""What GitHub's stand-in knows, as plain data.

branch, refs     the default branch; commit by `heads/NAME` and `tags/NAME`
commits          by sha: parents, message, date, author (a login, or a name and address without an account)
pulls            by number: title, author, head, state, commits (that it brought to its base), reviews, threads
statuses, runs   by sha: commit statuses and check runs
alerts           by scanner: code-scanning, dependabot, secret-scanning
refused          by the last part of a path, or `graphql`: [status, message] to answer with
required         names of checks that must pass: by branch protection, and by rules; None where there is no protection
deployments, releases, issues   in the order in which they were made
limits           see `github_wire.Limits`
people           by login: id, name, association with the repository
"""

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from deploykit.sandbox.addresses import GITHUB_OWNER, GITHUB_REPOSITORY
from deploykit.sandbox.releases import RELEASES, Release

World = dict[str, Any]

BRANCH = "main"
PEOPLE = {
    "dana": {"id": 11, "name": "Dana Example", "association": "MEMBER"},
    "miro": {"id": 12, "name": "Miro Example", "association": "MEMBER"},
    "lena": {"id": 13, "name": "Lena Example", "association": "MEMBER"},
    "anna": {"id": 14, "name": "Anna Example", "association": "MEMBER"},
    "olga": {"id": 15, "name": "Olga Example", "association": "MEMBER"},
    "passer-by": {"id": 16, "name": "Pat Example", "association": "NONE"},
    "shop-bot[bot]": {"id": 17, "name": "shop-bot", "association": "NONE", "type": "Bot"},
    GITHUB_OWNER: {"id": 10, "name": "Acme", "association": "OWNER", "type": "Organization"},
}
#: Who wrote and who reviewed, in turn.
PAIRS = (("dana", "lena"), ("miro", "dana"))
RUNS = ("lint", "tests", "build")
#: What a release needed before its own commit: each is a pull request of its own.
BEFORE = {"v1.5.0": ("Name the currency of a price",)}


def make_world() -> World:
    """The shop's repository: each commit on its main branch came with a reviewed pull request."""
    world: World = {
        "repository": {"owner": GITHUB_OWNER, "name": GITHUB_REPOSITORY},
        "branch": BRANCH,
        "refs": {},
        "commits": {},
        "pulls": {},
        "statuses": {},
        "runs": {},
        "alerts": {
            "code-scanning": [{"severity": "low", "title": "A log line with what a user sent"}],
            "dependabot": [{"severity": "critical", "state": "fixed"}, {"severity": "low"}],
            "secret-scanning": [{"state": "resolved"}],
        },
        "refused": {},
        "required": {"protection": ["tests"], "rules": []},
        "deployments": [],
        "releases": [],
        "issues": [],
        "limits": {"primary": 5000, "secondary": 900, "status": 403, "retry_after": 1},
        "people": deepcopy(PEOPLE),
    }
    for release in RELEASES:
        for title in BEFORE.get(release.tag, ()):
            add_change(world, digest(title), title, release.date)
        add_change(world, release.commit, release.title, release.date)
        add_release(world, release)
    return world


def put(world: World, differences: Mapping[str, Any]) -> None:
    """As at the start, but for these differences: objects key by key, everything else as a whole."""
    world.clear()
    world.update(make_world())
    merge(world, deepcopy(dict(differences)))


def merge(known: World, differences: Mapping[str, Any]) -> None:
    """As a merge patch does it (RFC 7396), but for null, which is a value here."""
    for key, value in differences.items():
        held = known.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            merge(held, value)
        else:
            known[key] = value


def add_change(world: World, commit: str, title: str, date: str) -> None:
    """Adds a commit to the main branch, squashed from the branch of a pull request that somebody else approved."""
    number = len(world["pulls"]) + 1
    (author, reviewer), head = PAIRS[number % 2], digest(f"head of {title}")
    tip = world["refs"].get(f"heads/{BRANCH}")
    made = {"parents": [tip] if tip else [], "date": date, "author": author}
    world["commits"][head] = {**made, "message": title}
    world["commits"][commit] = {**made, "message": f"{title} (#{number})\n\nReviewed."}
    world["pulls"][str(number)] = {
        "title": title,
        "author": author,
        "head": head,
        "base": BRANCH,
        "state": "merged",
        "commits": [commit],
        "date": date,
        "reviews": [{"author": reviewer, "state": "APPROVED", "commit": head, "date": date}],
        "threads": [{"author": reviewer, "path": "shop/app.py", "body": "Why here?", "resolved": True}],
        "mergeable": None,
        "asks": 0,
    }
    for sha in (head, commit):
        world["runs"][sha] = [{"name": name, "conclusion": "success", "date": date} for name in RUNS]
        world["statuses"][sha] = [{"context": "deploy/preview", "state": "success", "date": date}]
    world["refs"][f"heads/{BRANCH}"] = commit
    world["refs"][f"heads/change-{number}"] = head


def add_release(world: World, release: Release) -> None:
    """Tags the newest commit and publishes the tag."""
    world["refs"][f"tags/{release.tag}"] = release.commit
    world["releases"].append({"tag": release.tag, "name": release.tag, "body": release.title, "date": release.date})


def digest(text: str) -> str:
    """A commit's name for what has none."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def resolve(world: World, ref: str) -> str | None:
    """The commit that a branch, a tag, or a full or short commit means."""
    plain = ref.removeprefix("refs/")
    for name in (plain, f"heads/{plain}", f"tags/{plain}"):
        if name in world["refs"]:
            return str(world["refs"][name])
    found = [sha for sha in world["commits"] if len(plain) >= 7 and sha.startswith(plain)]
    return found[0] if len(found) == 1 else None


def ancestors(world: World, commit: str) -> list[str]:
    """A commit and all before it, oldest first."""
    seen: set[str] = set()
    order: list[str] = []
    stack = [(commit, False)]
    while stack:
        sha, done = stack.pop()
        if done:
            order.append(sha)
        elif sha not in seen and sha in world["commits"]:
            seen.add(sha)
            stack.append((sha, True))
            stack += [(parent, False) for parent in world["commits"][sha].get("parents", [])]
    return order
