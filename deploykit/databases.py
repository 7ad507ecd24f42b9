"""What the database's checks and actions have in common: what the release brings, and what this run did so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deploykit import redact
from deploykit.context import Context, data_of
from deploykit.model import Evidence, Json, Outcome, Result, Table, canonical, sha256
from deploykit.ports.database import Applied, Backup, Contents, Copy, Migrations, Revision

MIGRATE, REVIEWED, BACKUP = "database.migrate", "database.migrations-reviewed", "database.backup"
#: Lines of a difference that are shown.
MOST = 40


def not_set_up(context: Context, item: str) -> Result | None:
    """The result of an item where the environment names no database."""
    if context.environment.database is not None:
        return None
    section = f"[environments.{context.plan.environment}.database]"
    return Result(item=item, outcome=Outcome.INCONCLUSIVE, summary="no database is set up", mend=f"write {section}")


def brought(context: Context, item: str, *, since: str | None = None) -> Migrations | Result:
    """What the release brings to production's database, or the item's result where there is nothing to ask of it.

    Returns:
        *not-needed* where production has all of the release's revisions, proved by both; inconclusive where nothing
        says that the migrations are those of the release.

    Raises:
        ProviderError: It cannot be told.
    """
    unset = not_set_up(context, item)
    if unset is not None:
        return unset
    plan = context.plan
    found = context.ports.database.release(plan.release, plan.commit, since=since)
    facts: Json = {"database": found.since, "release": found.head, "commit": found.commit}
    if not found.commit:
        mend = "write the release's commit into a file REVISION beside alembic.ini, or use a work tree of git"
        summary = f"nothing says that these migrations are those of {plan.release}"
        return result(item, Outcome.INCONCLUSIVE, summary, facts, mend=mend)
    if not found.revisions:
        summary = f"{plan.release} brings no migration: it needs {found.head or 'none'}, where the database is"
        return result(item, Outcome.NOT_NEEDED, summary, facts)
    return found


def result(
    item: str, outcome: Outcome, summary: str, facts: Json, tables: tuple[Table, ...] = (), mend: str = ""
) -> Result:
    """A result with facts and tables."""
    evidence = Evidence(facts=facts, tables=tables)
    return Result(item=item, outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def backup_of_run(context: Context) -> Backup | None:
    """The backup that this run made."""
    return next((known for known in context.ports.database.backups() if known.name == context.plan.run), None)


def backup_to_copy(context: Context) -> Backup | None:
    """The backup to make a scratch copy of: this run's own, else the newest."""
    return backup_of_run(context) or next(iter(context.ports.database.backups()), None)


def catch_up(context: Context, copy: Copy, pending: tuple[Revision, ...]) -> Contents:
    """Bring a copy of an older backup to where production is before the pending revisions; returns what it holds."""
    held, plan = copy.contents(), context.plan
    later = {revision.id for revision in pending}
    behind = context.ports.database.release(plan.release, plan.commit, since=held.revision).revisions
    for revision in behind:
        if revision.id not in later:
            copy.upgrade(revision)
    return copy.contents()


def difference(title: str, before: Contents, after: Contents) -> tuple[Table, ...]:
    """How two schemas differ, and how many rows their tables have; nothing where they are equal."""
    tables = []
    gone, new = set(before.schema) - set(after.schema), set(after.schema) - set(before.schema)
    rows = sorted([("-", line) for line in gone] + [("+", line) for line in new], key=lambda row: row[::-1])[:MOST]
    if before.revision != after.revision:
        rows.insert(0, ("revision", f"{before.revision or 'none'} → {after.revision or 'none'}"))
    if rows:
        tables.append(Table(title=f"{title}: schema", columns=("", "definition"), rows=tuple(rows)))
    if dict(before.tables) != dict(after.tables):
        tables.append(counted(f"{title}: rows", before, after))
    return tuple(tables)


def counted(title: str, before: Contents, after: Contents) -> Table:
    """The rows of each table, side by side."""
    names = sorted({*before.tables, *after.tables})
    rows = tuple((name, _number(before.tables.get(name)), _number(after.tables.get(name))) for name in names)
    return Table(title=title, columns=("table", "before", "after"), rows=rows)


def _number(rows: int | None) -> str:
    return "not there" if rows is None else f"{rows:,}"


def shown(applied: tuple[Applied, ...]) -> Table:
    """How each revision went."""
    rows = tuple((a.revision, f"{a.seconds:.3f}", str(a.tries), ", ".join(a.locks)) for a in applied)
    return Table(title="Revisions", columns=("revision", "seconds", "tries", "locks"), rows=rows)


@dataclass(frozen=True)
class Migrated:
    """What this run's journal says of its migration.

    Attributes:
        since: The revision at which the database was when the run first meant to migrate; None where it never did.
        happened: The revisions that were applied, in order.
        begun: Those that the run meant to apply, and of which nobody saw that they were not.
    """

    since: str | None
    happened: tuple[str, ...]
    begun: tuple[str, ...]


def migrated(context: Context) -> Migrated:
    """Read the journal."""
    since, phases = None, dict[str, str]()
    for kind, step, data in _steps(context):
        if kind == "step.intended" and since is None:
            since = str(data.get("from", ""))
        phases[step] = kind
    names = {step: step.partition("/")[2] for step in phases}
    happened = tuple(names[step] for step, kind in phases.items() if kind == "step.happened")
    begun = tuple(names[step] for step, kind in phases.items() if kind != "step.rejected")
    return Migrated(since, happened, begun)


def _steps(context: Context) -> Iterator[tuple[str, str, Json]]:
    for event in context.timeline():
        step = str(event.get("step", ""))
        if step.startswith(f"{MIGRATE}/"):
            yield str(event["type"]), step, data_of(event)


def outcome_of(context: Context, item: str) -> Outcome | None:
    """How an item of this run ended, as the journal has it."""
    data = _settled(context, item)
    return Outcome(str(data["outcome"])) if data else None


def reviewed_evidence(context: Context) -> str:
    """The hash of the evidence over which the migrations were reviewed; empty where they were not."""
    return str(_settled(context, REVIEWED).get("evidence", ""))


def _settled(context: Context, item: str) -> Json:
    settled = [e for e in context.timeline() if e["type"] == "item.settled" and e["item"] == item]
    return data_of(settled[-1]) if settled else {}


def fingerprint(evidence: Evidence) -> str:
    """The hash under which a run keeps evidence."""
    return sha256(canonical(redact.tree(evidence.model_dump(mode="json"))))
