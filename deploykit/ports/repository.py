"""Where the code lives: changes, reviews, tests, and what scanners found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PullRequest:
    """A change that was proposed, and where it stands.

    Attributes:
        author: Who opened it, as the code host names them; empty where the account is gone.
        head: Its last commit.
        base: The branch that it is for.
        state: `open`, `merged`, or `closed` without being merged.
        merged_as: The commit that it became, if it is merged.
    """

    number: int
    title: str
    author: str
    head: str
    base: str
    state: str
    url: str
    merged_as: str = ""


@dataclass(frozen=True)
class Change:
    """A commit that one side has and the other has not.

    Attributes:
        title: The first line of its message.
        authors: Who wrote it, co-authors too, as the code host names them.
        strangers: Those of them whom the code host does not know, by name and address.
        merge: Whether the code host itself merged here what a pull request had, so that nobody wrote it.
        pulls: The pull requests that brought it; before that, those that it stands in.
    """

    commit: str
    title: str
    authors: tuple[str, ...]
    strangers: tuple[str, ...]
    merge: bool
    url: str
    pulls: tuple[PullRequest, ...]


@dataclass(frozen=True)
class Comparison:
    """What `head` has and `base` has not.

    Attributes:
        changes: Oldest first.
        lost: How many commits `base` has and `head` has not.
    """

    base: str
    head: str
    changes: tuple[Change, ...]
    lost: int
    url: str


@dataclass(frozen=True)
class Review:
    """One person's word on a pull request.

    Attributes:
        state: `approved`, `changes_requested`, `commented`, `dismissed`, `pending`, or another word of the host's.
        commit: What was reviewed; empty where the host does not say.
        counts: Whether it is a person whom the settings let decide.
    """

    author: str
    state: str
    commit: str
    counts: bool
    url: str


@dataclass(frozen=True)
class Thread:
    """A discussion of a place in a pull request, and whether it is settled."""

    path: str
    author: str
    resolved: bool
    url: str


@dataclass(frozen=True)
class Test:
    """A test of a commit.

    Attributes:
        state: `passed`, `failed`, `pending`, `skipped`, or `unknown`.
        word: The code host's own word.
    """

    name: str
    state: str
    word: str
    url: str


@dataclass(frozen=True)
class Alert:
    """Something that a scanner found and nobody settled; `severity` is empty where it was not rated."""

    severity: str
    title: str
    place: str
    url: str


@dataclass(frozen=True)
class Scan:
    """What a scanner found; `off` says why it could not be asked: it is switched off, or not ours to read."""

    scanner: str
    alerts: tuple[Alert, ...]
    off: str = ""


@dataclass(frozen=True)
class Recorded:
    """A deployment as the code host keeps it; `state` is its newest, empty where it has none."""

    id: str
    state: str
    url: str


class Repository(Protocol):
    """Where the code lives."""

    def commit(self, ref: str) -> str:
        """The full commit of a tag, branch or commit; `Rejected` where there is none."""
        ...

    def compare(self, base: str, head: str) -> Comparison:
        """What `head` has and `base` has not, whole: a list that is cut short is `Rejected`."""
        ...

    def authors(self, base: str, head: str) -> tuple[str, ...]:
        """Who wrote a change between the two, sorted; `Rejected` where the code host does not know one of them."""
        ...

    def reviews(self, pull: int) -> tuple[Review, ...]:
        """The reviews of a pull request, oldest first."""
        ...

    def threads(self, pull: int) -> tuple[Thread, ...]:
        """The discussions of a pull request."""
        ...

    def mergeable(self, pull: int) -> bool | None:
        """Whether a pull request can be merged without conflicts; None while the code host works it out."""
        ...

    def tests(self, commit: str) -> tuple[Test, ...]:
        """All tests of a commit, of every kind that the code host knows."""
        ...

    def required_tests(self, branch: str) -> tuple[str, ...]:
        """The tests without which nothing gets into a branch, as far as we may know."""
        ...

    def scan(self, scanner: str, branch: str) -> Scan:
        """What a scanner found in a branch: `code-scanning`, `dependabot` or `secret-scanning`."""
        ...

    def find_deployment(self, run: str, commit: str, environment: str) -> Recorded | None:
        """The record of this run, if it was made before."""
        ...

    def record_deployment(self, run: str, commit: str, environment: str, *, state: str, url: str = "") -> Recorded:
        """Record that a run deployed a commit, and how that stands: `in_progress`, `success`, `failure`, `inactive`.

        Safe to repeat: what is there already is found, and not made again.
        """
        ...
