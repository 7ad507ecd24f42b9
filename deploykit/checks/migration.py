"""The migration: tried before, and looked at after."""

from __future__ import annotations

from deploykit.checks.service import look_at_health
from deploykit.context import Context
from deploykit.databases import (
    backup_of_run,
    backup_to_copy,
    brought,
    catch_up,
    counted,
    difference,
    migrated,
    not_set_up,
    result,
    shown,
)
from deploykit.errors import Rejected
from deploykit.model import Json, Outcome, Result, Table, worst
from deploykit.ports.database import Applied, Contents, Migrations

DRY_RUN, VERIFIED = "database.dry-run", "database.verified"


def dry_run(context: Context) -> Result:
    """`database.dry-run`: in a transaction that is rolled back, or on a scratch copy where it cannot run in one."""
    found = brought(context, DRY_RUN)
    if isinstance(found, Result):
        return found
    inside = all(revision.transactional for revision in found.revisions)
    backup = None if inside else backup_to_copy(context)
    if not inside and backup is None:
        mend = "make a backup, which the copy is made of"
        summary = "it cannot run in a transaction, and there is no backup to try it on"
        return result(DRY_RUN, Outcome.INCONCLUSIVE, summary, {}, mend=mend)
    where = f"on a scratch copy of {backup.name}" if backup else "in production, in a transaction that was rolled back"
    facts: Json = {"where": where, "revisions": [revision.id for revision in found.revisions]}
    try:
        applied = _tried(context, found)
    except Rejected as error:
        return result(DRY_RUN, Outcome.FAIL, f"it fails {where}: {error.what}", facts, mend=error.mend)
    seconds = sum(each.seconds for each in applied)
    summary = f"{len(applied)} migrations succeed in {seconds:.2f} s, {where}"
    return result(DRY_RUN, Outcome.PASS, summary, facts, (shown(applied),))


def _tried(context: Context, found: Migrations) -> tuple[Applied, ...]:
    database = context.ports.database
    if all(revision.transactional for revision in found.revisions):
        return database.try_out(found.revisions)
    backup = backup_to_copy(context)
    if backup is None:
        raise Rejected("the backup is gone", where=DRY_RUN, mend="make a backup")
    with database.scratch(backup) as copy:
        catch_up(context, copy, found.revisions)
        return tuple(copy.upgrade(revision) for revision in found.revisions)


def verified(context: Context) -> Result:
    """`database.verified`: revision at head, schema as on a copy that went the same way, rows kept, service well."""
    since = migrated(context).since
    found = not_set_up(context, VERIFIED) or brought(context, VERIFIED, since=since)
    if isinstance(found, Result):
        return found
    backup = backup_of_run(context)
    facts: Json = {"release": found.head, "before": found.since}
    if since is None:
        summary = f"{found.head} was not applied by this run: the database is at {found.since or 'none'}"
        return result(VERIFIED, Outcome.FAIL, summary, facts, mend="run database.migrate")
    if backup is None:
        mend = "run database.backup; the copy to compare with is made of it"
        return result(VERIFIED, Outcome.INCONCLUSIVE, "this run made no backup to compare with", facts, mend=mend)
    with context.ports.database.scratch(backup) as copy:
        catch_up(context, copy, found.revisions)
        for revision in found.revisions:
            copy.upgrade(revision)
        planned = copy.contents()
    return _compared(context, found, planned, context.ports.database.contents(), facts)


def _compared(context: Context, found: Migrations, planned: Contents, now: Contents, facts: Json) -> Result:
    health, sentence, asked = look_at_health(context, context.environment.url)
    facts |= {"revision": now.revision, "tables": len(now.tables), "health": asked}
    tables: tuple[Table, ...] = (counted("Rows: planned, and now", planned, now),)
    lost = [name for name, rows in planned.tables.items() if rows and not now.tables.get(name)]
    fewer = [name for name, rows in planned.tables.items() if now.tables.get(name, 0) < rows]
    findings = [(health, sentence)]
    if now.revision != found.head:
        findings.append((Outcome.FAIL, f"the database is at {now.revision or 'none'}, not at {found.head}"))
    if set(now.schema) != set(planned.schema):
        tables += difference("Planned, and now", planned, now)
        findings.append((Outcome.FAIL, "the schema is not the one that was planned"))
    if lost:
        findings.append((Outcome.FAIL, f"no rows are left in {', '.join(lost)}"))
    elif fewer:
        findings.append((Outcome.INCONCLUSIVE, f"rows are fewer in {', '.join(fewer)}: deleted since, or lost"))
    outcome = worst([each for each, _ in findings])
    if outcome is Outcome.PASS:
        summary = f"the database is at {now.revision}, its schema as planned, its rows kept; {sentence}"
        return result(VERIFIED, outcome, summary, facts, tables)
    summary = "; ".join(said for each, said in findings if each is not Outcome.PASS)
    mend = "look at the differences; `deploykit rollback --database` goes back"
    return result(VERIFIED, outcome, summary, facts, tables, mend)
