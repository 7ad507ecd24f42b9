"""What deploykit needs from the database: what a release changes in it, a copy to try that on, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

#: What each statement runs in; a revision that is one transaction begins and ends with these and has none between.
BEGIN, COMMIT = "BEGIN", "COMMIT"


@dataclass(frozen=True)
class Revision:
    """One migration of the release, as the statements that it is.

    Attributes:
        before: The revision that it builds on; empty for the first.
        flag: The feature flag behind which a breaking change hides, as the migration's own `feature_flag` names it.
        up: The statements in order, `BEGIN` and `COMMIT` among them.
        down: The statements of its way back.
        no_way_back: Why it has none; empty where it has one.
    """

    id: str
    before: str
    title: str
    flag: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    no_way_back: str = ""

    @property
    def transactional(self) -> bool:
        """Whether all of it is one transaction, so that it happens as a whole or not at all."""
        return one_transaction(self.up)

    @property
    def sql(self) -> str:
        """What is reviewed, linted, tried and run."""
        return "".join(f"{statement};\n" for statement in self.up)


def one_transaction(statements: tuple[str, ...]) -> bool:
    """Whether the statements are one transaction."""
    inside = statements[1:-1]
    framed = len(statements) >= 2 and (statements[0], statements[-1]) == (BEGIN, COMMIT)
    return framed and BEGIN not in inside and COMMIT not in inside


@dataclass(frozen=True)
class Migrations:
    """What a release brings.

    Attributes:
        since: The revision from which it was counted.
        head: The revision that the release needs.
        commit: The commit that the migrations are of; empty where nothing says so.
        revisions: From the oldest to the newest; none where the database has all of them.
    """

    since: str
    head: str
    commit: str
    revisions: tuple[Revision, ...]

    @property
    def sql(self) -> str:
        """All of it."""
        return "\n".join(f"-- {revision.id}\n{revision.sql}" for revision in self.revisions)


@dataclass(frozen=True)
class Finding:
    """One finding of the linter in a revision; `line` is that of the revision's SQL, from 1."""

    revision: str
    rule: str
    line: int
    message: str


@dataclass(frozen=True)
class Linted:
    """What the linter says. What it could not parse is not among the findings, and was not looked at.

    Attributes:
        unparsed: Revision and reason of what it could not parse.
    """

    linter: str
    findings: tuple[Finding, ...]
    unparsed: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Contents:
    """What a database holds at one moment.

    Attributes:
        tables: Rows by table, `schema.name`.
        schema: The definitions, a line each, without owners and grants; two equal schemas have equal lines.
    """

    revision: str
    tables: Mapping[str, int]
    schema: tuple[str, ...]


@dataclass(frozen=True)
class Backup:
    """One backup in the folder.

    Attributes:
        size: In bytes.
        sum: SHA-256 that was noted when it was made; empty for one that was made by others.
        contents: What production held at that very moment; None for one that was made by others.
    """

    name: str
    size: int
    made_at: datetime
    sum: str = ""
    contents: Contents | None = None


@dataclass(frozen=True)
class Applied:
    """How one revision went: seconds, the locks it took on tables, and how many tries it needed."""

    revision: str
    seconds: float
    locks: tuple[str, ...]
    tries: int = 1


@dataclass(frozen=True)
class Statement:
    """One kind of statement since the statistics began: calls, and milliseconds in all."""

    id: str
    query: str
    calls: int
    milliseconds: float


@dataclass(frozen=True)
class Statistics:
    """The statements that took most time, and when the server began to count."""

    since: str
    statements: tuple[Statement, ...]


class Copy(Protocol):
    """A database to which migrations can be applied: a scratch copy, or production."""

    def contents(self) -> Contents:
        """Schema, and rows counted in one snapshot."""
        ...

    def upgrade(self, revision: Revision) -> Applied:
        """Apply one revision. `Rejected`: nothing of it happened. `Unreachable`: how much did is not known."""
        ...

    def downgrade(self, revision: Revision) -> Applied:
        """Take one revision back, likewise."""
        ...


class Database(Copy, Protocol):
    """Production's database, and what lies around it."""

    def revision(self) -> str:
        """The revision in force; empty where no migration was ever applied."""
        ...

    def migrating(self) -> bool:
        """Whether a migration of deploykit is under way there, as far as the server knows."""
        ...

    def release(self, release: str, commit: str, *, since: str | None = None) -> Migrations:
        """What the release brings to a database at `since`, or at the revision in force; `Rejected` where unclear."""
        ...

    def lint(self, revisions: tuple[Revision, ...]) -> Linted:
        """What the linter finds in the way up."""
        ...

    def try_out(self, revisions: tuple[Revision, ...]) -> tuple[Applied, ...]:
        """Apply transactional revisions to production in one transaction that is rolled back."""
        ...

    def backups(self) -> tuple[Backup, ...]:
        """All backups, the newest first."""
        ...

    def back_up(self, name: str) -> Backup:
        """Make a backup now, of one snapshot, under a name that is not taken; there as a whole or not at all."""
        ...

    def scratch(self, backup: Backup) -> AbstractContextManager[Copy]:
        """A scratch database, never production, with the backup restored into it; dropped at the end."""
        ...

    def restore(self, backup: Backup, aside: str) -> None:
        """Restore beside production, compare with what the backup noted, then swap; the old one is kept as `aside`."""
        ...

    def restored(self, aside: str) -> bool:
        """Whether production was swapped, so that its old self is there under that name."""
        ...

    def statistics(self) -> Statistics:
        """What the statements of this database took so far."""
        ...
