"""The database forward: a backup made now, then the migrations, one step for each."""

from __future__ import annotations

from functools import partial

from deploykit.actions.step import Step
from deploykit.checks.database import review
from deploykit.context import Context
from deploykit.databases import (
    BACKUP,
    MIGRATE,
    backup_of_run,
    brought,
    counted,
    difference,
    fingerprint,
    migrated,
    not_set_up,
    result,
    reviewed_evidence,
    shown,
)
from deploykit.model import Json, Outcome, Result, sha256
from deploykit.ports.database import Applied, Migrations, Revision


class Backup:
    """`database.backup`: made now, of one snapshot, restored into scratch, and compared row by row count.

    Args:
        context: The run, whose id is the backup's name.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...] | Result:
        """The one step; a result where no database is set up."""
        unset = not_set_up(self.context, BACKUP)
        if unset is not None:
            return unset
        intent: Json = {"backup": self.context.plan.run}
        return (Step(id=BACKUP, intent=intent, do=self._do, probe=self._probe, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        made = self.context.ports.database.back_up(self.context.plan.run)
        return {"backup": made.name, "bytes": made.size, "sha256": made.sum}

    def _probe(self) -> bool | None:
        """It is there as a whole or not at all."""
        return backup_of_run(self.context) is not None

    def _settle(self) -> Result:
        backup = backup_of_run(self.context)
        if backup is None or backup.contents is None:
            summary = "the backup is not there, or nothing says what it must hold"
            return result(BACKUP, Outcome.FAIL, summary, {}, mend="look at the folder of backups")
        with self.context.ports.database.scratch(backup) as copy:
            held = copy.contents()
        facts: Json = {"backup": backup.name, "bytes": backup.size, "sha256": backup.sum, "revision": held.revision}
        if held != backup.contents:
            tables = difference("Production then, and restored", backup.contents, held)
            summary = "restored into scratch, it does not hold what production held"
            return result(BACKUP, Outcome.FAIL, summary, facts, tables, "see why, then make a new plan")
        tables = (counted("Rows: production then, and restored", backup.contents, held),)
        rows = sum(held.tables.values())
        summary = f"{backup.size:,} bytes, restored into scratch: all {rows:,} rows of {len(held.tables)} tables"
        return result(BACKUP, Outcome.PASS, summary, facts, tables)


class Migrate:
    """`database.migrate`: each pending revision, with time-outs and retries.

    Where this run meant to migrate before, the steps are those that it meant then, whatever happened since.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.applied: dict[str, Applied] = {}

    def steps(self) -> tuple[Step, ...] | Result:
        """A step for each revision; a result where there is none, or they are not the ones that were reviewed."""
        found = not_set_up(self.context, MIGRATE) or brought(self.context, MIGRATE, since=migrated(self.context).since)
        if isinstance(found, Result):
            return found
        reviewed = reviewed_evidence(self.context)
        if reviewed and fingerprint(review(self.context, found).evidence) != reviewed:
            facts: Json = {"sql": sha256(found.sql.encode()), "reviewed": reviewed}
            summary = "these are not the migrations, or not the findings, that were reviewed"
            return result(MIGRATE, Outcome.FAIL, summary, facts, mend="see what changed, then make a new plan")
        return tuple(self._step(found, revision) for revision in found.revisions)

    def _step(self, found: Migrations, revision: Revision) -> Step:
        database = self.context.environment.database
        intent: Json = {"from": revision.before, "to": revision.id, "sql": sha256(revision.sql.encode())}
        if database is not None:
            intent |= {"lock_timeout": database.lock_timeout, "statement_timeout": database.statement_timeout}
        return Step(
            id=f"{MIGRATE}/{revision.id}",
            intent=intent,
            do=partial(self._do, revision),
            probe=lambda: reached(self.context, found.revisions, revision),
            settle=partial(self._settle, revision),
        )

    def _do(self, revision: Revision, _op: str) -> Json:
        applied = self.context.ports.database.upgrade(revision)
        self.applied[revision.id] = applied
        return {"seconds": round(applied.seconds, 3), "tries": applied.tries, "locks": list(applied.locks)}

    def _settle(self, revision: Revision) -> Result:
        item, at = f"{MIGRATE}/{revision.id}", self.context.ports.database.revision()
        facts: Json = {"revision": at, "title": revision.title}
        applied = self.applied.get(revision.id)
        tables = (shown((applied,)),) if applied else ()
        if at != revision.id:
            summary = f"the database says {at or 'no revision'}, not {revision.id}"
            mend = "look who else migrates it; `deploykit rollback --database` goes back"
            return result(item, Outcome.FAIL, summary, facts, tables, mend)
        took = f" in {applied.seconds:.2f} s, try {applied.tries}" if applied else ""
        return result(item, Outcome.PASS, f"{revision.id} is applied{took}", facts, tables)


def reached(context: Context, revisions: tuple[Revision, ...], revision: Revision) -> bool | None:
    """Whether a revision was applied, as the database's own table has it; None while that may still change.

    One that is no transaction may have happened in part, so that its not being in the table says nothing.
    """
    database = context.ports.database
    if database.migrating():
        return None
    at, order = database.revision(), [known.id for known in revisions]
    if at in order:
        happened = order.index(at) >= order.index(revision.id)
    elif at == revisions[0].before:
        happened = False
    else:
        return None
    return happened if happened or revision.transactional else None
