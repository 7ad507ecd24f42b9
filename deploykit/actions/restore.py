"""The database's way back. Never automatic: only where the operator asked for it, and this run migrated."""

from __future__ import annotations

from functools import partial

from deploykit.actions.step import Step
from deploykit.context import Context, data_of
from deploykit.databases import (
    backup_of_run,
    brought,
    counted,
    difference,
    migrated,
    not_set_up,
    outcome_of,
    result,
)
from deploykit.errors import Rejected
from deploykit.model import Json, Outcome, Result, Table
from deploykit.ports.database import Contents, Revision, one_transaction

MIGRATION, RESTORE = "rollback.migration", "rollback.restore"


def asked(context: Context) -> bool:
    """Whether somebody asked for the database to be rolled back as well: `deploykit rollback --database`."""
    events = (event for event in context.timeline() if event["type"] == "rollback.asked")
    return any(data_of(event).get("database") is True for event in events)


def _not_needed(context: Context, item: str) -> Result | None:
    """Why there is no way back to go; None where there is one."""
    unset = not_set_up(context, item)
    if unset is not None:
        return unset
    if not migrated(context).begun:
        return result(item, Outcome.NOT_NEEDED, "this run applied no migration", {"applied": []})
    if not asked(context):
        facts: Json = {"applied": list(migrated(context).happened), "asked": False}
        summary = "nobody asked to roll the database back, so its migrations stay"
        return result(item, Outcome.NOT_NEEDED, summary, facts)
    return None


class RollbackMigration:
    """`rollback.migration`: takes this run's revisions back, the newest first.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...] | Result:
        """A step for each revision that this run applied; a result where there is none."""
        unneeded = _not_needed(self.context, MIGRATION)
        if unneeded is not None:
            return unneeded
        known = migrated(self.context)
        found = brought(self.context, MIGRATION, since=known.since)
        if isinstance(found, Result):
            return found
        back = [revision for revision in found.revisions if self._is_applied(revision, known.happened, known.begun)]
        if not back:
            return result(
                MIGRATION, Outcome.NOT_NEEDED, "nothing of the migration happened", {"begun": list(known.begun)}
            )
        return tuple(self._step(revision, last=revision is back[0]) for revision in reversed(back))

    def _is_applied(self, revision: Revision, happened: tuple[str, ...], begun: tuple[str, ...]) -> bool:
        """What the journal says; of a step that nobody saw end, what the database says."""
        if revision.id in happened:
            return True
        return revision.id in begun and self.context.ports.database.revision() == revision.id

    def _step(self, revision: Revision, *, last: bool) -> Step:
        name = f"{MIGRATION}/{revision.id}"
        intent: Json = {"from": revision.id, "to": revision.before}
        return Step(
            id=name,
            intent=intent,
            do=partial(self._do, revision),
            probe=partial(self._probe, revision),
            settle=partial(self._settle, revision, name, last=last),
        )

    def _do(self, revision: Revision, _op: str) -> Json:
        applied = self.context.ports.database.downgrade(revision)
        return {"seconds": round(applied.seconds, 3), "tries": applied.tries}

    def _probe(self, revision: Revision) -> bool | None:
        """The table says where the database is; one that is no transaction may have gone back in part."""
        database = self.context.ports.database
        if database.migrating():
            return None
        at = database.revision()
        if at == revision.before:
            return True
        return False if at == revision.id and one_transaction(revision.down) else None

    def _settle(self, revision: Revision, name: str, *, last: bool) -> Result:
        now, backup = self.context.ports.database.contents(), backup_of_run(self.context)
        facts: Json = {"revision": now.revision}
        if now.revision != revision.before:
            summary = f"the database is at {now.revision or 'none'}, not at {revision.before or 'none'}"
            return result(name, Outcome.FAIL, summary, facts, mend="rollback.restore is next")
        if not last:
            return result(name, Outcome.PASS, f"{revision.id} is taken back", facts)
        if backup is None or backup.contents is None:
            summary = f"back at {now.revision or 'none'}, with no backup of this run to compare with"
            return result(name, Outcome.INCONCLUSIVE, summary, facts, mend="look at the schema yourself")
        tables: tuple[Table, ...] = (counted("Rows: before the migration, and now", backup.contents, now),)
        if set(now.schema) != set(backup.contents.schema):
            tables += difference("Before the migration, and now", backup.contents, now)
            summary = "the schema is not as it was before"
            return result(name, Outcome.FAIL, summary, facts, tables, "rollback.restore is next")
        return result(name, Outcome.PASS, f"back at {now.revision or 'none'}, the schema as before", facts, tables)


class Restore:
    """`rollback.restore`: where the migrations did not go back, this run's backup takes production's place.

    Rows that were written since the backup are not in it. The old database is kept beside the new one.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.aside = f"before_{context.plan.run[-4:]}_{context.plan.number}"

    def steps(self) -> tuple[Step, ...] | Result:
        """The one step; a result where the way back was not needed, or was gone already."""
        unneeded = _not_needed(self.context, RESTORE)
        if unneeded is not None:
            return unneeded
        ended = outcome_of(self.context, MIGRATION)
        if ended is not None and ended.opens:
            facts: Json = {MIGRATION: ended.value}
            return result(RESTORE, Outcome.NOT_NEEDED, "the migrations were taken back", facts)
        if ended is None:
            mend = "run rollback.migration first"
            return result(RESTORE, Outcome.INCONCLUSIVE, "the migrations were not taken back yet", {}, mend=mend)
        intent: Json = {"backup": self.context.plan.run, "aside": self.aside}
        return (Step(id=RESTORE, intent=intent, do=self._do, probe=self._probe, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        backup = backup_of_run(self.context)
        if backup is None or backup.contents is None:
            mend = "restore another backup by hand: pg_restore into a new database, then rename"
            raise Rejected("this run made no backup", where=RESTORE, mend=mend)
        self.context.ports.database.restore(backup, self.aside)
        return {"backup": backup.name, "sha256": backup.sum, "aside": self.aside}

    def _probe(self) -> bool | None:
        """Both names were swapped in one transaction, so the old one tells."""
        return self.context.ports.database.restored(self.aside)

    def _settle(self) -> Result:
        now, backup = self.context.ports.database.contents(), backup_of_run(self.context)
        facts: Json = {"revision": now.revision, "aside": self.aside}
        if backup is None or backup.contents is None:
            summary = "the backup is not there any more, so there is nothing to compare with"
            return result(RESTORE, Outcome.INCONCLUSIVE, summary, facts, mend="look at the database yourself")
        return _compared(backup.contents, now, facts)


def _compared(held: Contents, now: Contents, facts: Json) -> Result:
    """Revision and schema as in the backup; rows at least as many, since users may be back already."""
    tables: tuple[Table, ...] = (counted("Rows: in the backup, and now", held, now),)
    fewer = [name for name, rows in held.tables.items() if now.tables.get(name, 0) < rows]
    if (now.revision, set(now.schema)) != (held.revision, set(held.schema)) or fewer:
        tables += difference("In the backup, and now", held, now)
        summary = "what is there now is not what the backup held"
        mend = f"look at it; the old database is kept as {facts['aside']}"
        return result(RESTORE, Outcome.FAIL, summary, facts, tables, mend)
    summary = f"restored to {now.revision or 'none'}: {sum(held.tables.values()):,} rows, as the backup held them"
    return result(RESTORE, Outcome.PASS, summary, facts, tables)
