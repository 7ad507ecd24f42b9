"""The database before anything is announced: a backup that can be restored, and migrations that can be trusted."""

from __future__ import annotations

from datetime import UTC, datetime

from deploykit.context import Context
from deploykit.databases import (
    REVIEWED,
    backup_to_copy,
    brought,
    catch_up,
    counted,
    difference,
    not_set_up,
    result,
    shown,
)
from deploykit.errors import Rejected
from deploykit.model import Evidence, Json, Outcome, Result, Table, sha256
from deploykit.ports.database import Backup, Contents, Copy, Finding, Linted, Migrations, Revision

COMPLETED, PREPARED, BREAKING = (
    "database.backup-completed",
    "database.rollback-prepared",
    "database.no-breaking-changes",
)
#: The linter's rules that mean: what runs now may stop working.
BREAKS = frozenset(
    {
        "adding-not-nullable-field",
        "adding-required-field",
        "ban-drop-column",
        "ban-drop-database",
        "ban-drop-extension",
        "ban-drop-function",
        "ban-drop-not-null",
        "ban-drop-schema",
        "ban-drop-sequence",
        "ban-drop-table",
        "ban-drop-type",
        "ban-drop-view",
        "ban-set-schema",
        "ban-truncate-cascade",
        "changing-column-type",
        "renaming-column",
        "renaming-object",
        "renaming-table",
    }
)
#: Seconds that another machine's clock may be ahead.
AHEAD = 300.0


def backup_completed(context: Context) -> Result:
    """`database.backup-completed`: the newest backup is recent, and restored into scratch it holds what it must."""
    unset = not_set_up(context, COMPLETED)
    if unset is not None:
        return unset
    backups = context.ports.database.backups()
    if not backups:
        mend = "make a backup, or name the folder that it is in"
        return result(COMPLETED, Outcome.FAIL, "there is no backup", {"backups": 0}, mend=mend)
    newest, settings = backups[0], context.environment.database
    age = (datetime.now(UTC) - newest.made_at).total_seconds()
    facts: Json = {"backup": newest.name, "made_at": newest.made_at.isoformat(), "bytes": newest.size}
    if settings and (fault := _unfit(newest, age, settings.max_age, settings.min_size)):
        return result(COMPLETED, Outcome.FAIL, fault, facts, mend="make another backup, and see why this one is so")
    try:
        with context.ports.database.scratch(newest) as copy:
            held = copy.contents()
    except Rejected as error:
        summary = f"{newest.name} cannot be restored: {error.what}"
        return result(COMPLETED, Outcome.FAIL, summary, facts, mend=error.mend)
    return _held(newest, held, context.ports.database.contents(), facts, age)


def _unfit(backup: Backup, age: float, max_age: float, min_size: int) -> str:
    if age > max_age:
        return f"{backup.name} is {age / 3600:.1f} h old, and at most {max_age / 3600:.1f} h are allowed"
    if age < -AHEAD:
        return f"{backup.name} is from the future, by {-age / 3600:.1f} h"
    if backup.size < min_size:
        return f"{backup.name} has {backup.size:,} bytes, and less than {min_size:,} cannot be all"
    return ""


def _held(backup: Backup, held: Contents, now: Contents, facts: Json, age: float) -> Result:
    """What was restored against what the backup noted, or, where others made it, against production now."""
    facts |= {"revision": held.revision, "production": now.revision, "tables": len(held.tables)}
    rows = (counted("Rows: production now, and in the backup", now, held),)
    said = f"{backup.name}, {max(age, 0) / 3600:.1f} h old"
    if backup.contents is not None and held != backup.contents:
        tables = difference("Noted, and restored", backup.contents, held)
        summary = f"{said}, does not hold what it noted when it was made"
        return result(COMPLETED, Outcome.FAIL, summary, facts, tables, "make another backup")
    empty = [name for name, count in now.tables.items() if count and not held.tables.get(name)]
    if held.revision != now.revision:
        summary = f"{said}, is of revision {held.revision or 'none'}, and production is at {now.revision or 'none'}"
        return result(COMPLETED, Outcome.INCONCLUSIVE, summary, facts, rows, "make a backup of what there is now")
    if empty or set(held.schema) != set(now.schema):
        tables = rows + difference("Production now, and in the backup", now, held)
        summary = f"{said}, lacks {', '.join(empty)}" if empty else f"{said}, has another schema than production"
        return result(COMPLETED, Outcome.FAIL, summary, facts, tables, "make another backup, of all of the database")
    total = sum(held.tables.values())
    summary = f"{said}, was restored: {total:,} rows in {len(held.tables)} tables, and production's schema"
    return result(COMPLETED, Outcome.PASS, summary, facts, rows)


def migrations_reviewed(context: Context) -> Result:
    """`database.migrations-reviewed`: what is to be signed over, which is the SQL and what the linter says of it."""
    found = brought(context, REVIEWED)
    return found if isinstance(found, Result) else review(context, found)


def review(context: Context, found: Migrations) -> Result:
    """The evidence of a review; the same for the same SQL, linter and findings."""
    linted = context.ports.database.lint(found.revisions)
    facts: Json = {
        "sql": sha256(found.sql.encode()),
        "linter": linted.linter,
        "revisions": [revision.id for revision in found.revisions],
    }
    every = linted.unparsed + linted.findings
    evidence = Evidence(facts=facts, tables=_listed(every), text=found.sql)
    outcome, mend = Outcome.INCONCLUSIVE, "read the SQL and the findings, then `deploykit sign`"
    summary = f"{len(found.revisions)} migrations, {len(every)} findings of the linter: to be reviewed and signed"
    if linted.unparsed:
        outcome, mend = Outcome.FAIL, "mend the SQL; what the linter cannot parse, it did not look at"
        summary = f"the linter cannot parse {_names(linted.unparsed)}"
    return Result(item=REVIEWED, outcome=outcome, summary=summary, evidence=evidence, mend=mend)


def _listed(findings: tuple[Finding, ...]) -> tuple[Table, ...]:
    rows = tuple((f.revision, f.rule, str(f.line), f.message) for f in findings)
    return (Table(title="Findings", columns=("revision", "rule", "line", "what"), rows=rows),) if rows else ()


def _names(findings: tuple[Finding, ...]) -> str:
    return ", ".join(sorted({finding.revision for finding in findings}))


def rollback_prepared(context: Context) -> Result:
    """`database.rollback-prepared`: up, down and up on a scratch copy; after down all is as before, rows too."""
    found = brought(context, PREPARED)
    if isinstance(found, Result):
        return found
    none = [revision for revision in found.revisions if revision.no_way_back]
    if none:
        summary = f"{none[0].id} has no way back: {none[0].no_way_back}"
        return result(PREPARED, Outcome.FAIL, summary, {"revision": none[0].id}, mend="write its downgrade()")
    backup = backup_to_copy(context)
    if backup is None:
        mend = "make a backup, which the copy is made of"
        return result(PREPARED, Outcome.INCONCLUSIVE, "there is no backup to try it on", {}, mend=mend)
    with context.ports.database.scratch(backup) as copy:
        before = catch_up(context, copy, found.revisions)
        try:
            return _up_down_up(copy, found.revisions, before, backup)
        except Rejected as error:
            facts: Json = {"backup": backup.name, "where": error.where}
            summary = f"it does not go up, down and up again: {error.what}"
            return result(PREPARED, Outcome.FAIL, summary, facts, mend="mend the migration that it names")


def _up_down_up(copy: Copy, revisions: tuple[Revision, ...], before: Contents, backup: Backup) -> Result:
    up = tuple(copy.upgrade(revision) for revision in revisions)
    above = copy.contents()
    down = tuple(copy.downgrade(revision) for revision in reversed(revisions))
    back = copy.contents()
    again = tuple(copy.upgrade(revision) for revision in revisions)
    above_again = copy.contents()
    facts: Json = {"backup": backup.name, "revisions": [revision.id for revision in revisions]}
    tables = (shown(up + down + again),)
    for title, first, second in (("Before, and after down", before, back), ("Up, and up again", above, above_again)):
        if first != second:
            differs = (*tables, *difference(title, first, second))
            summary = f"{title.lower()}, the database is not the same"
            return result(PREPARED, Outcome.FAIL, summary, facts, differs, "mend the downgrade() that leaves this")
    summary = (
        f"{len(revisions)} migrations went up, down and up on a copy of {backup.name}; after down all was as before"
    )
    return result(PREPARED, Outcome.PASS, summary, facts, tables)


def no_breaking_changes(context: Context) -> Result:
    """`database.no-breaking-changes`: each breaking change is behind a feature flag that exists and is off."""
    found = brought(context, BREAKING)
    if isinstance(found, Result):
        return found
    linted = context.ports.database.lint(found.revisions)
    if linted.unparsed:
        summary, facts = f"the linter cannot parse {_names(linted.unparsed)}", _linter(linted)
        return result(BREAKING, Outcome.FAIL, summary, facts, _listed(linted.unparsed), "mend the SQL")
    breaking = tuple(finding for finding in linted.findings if finding.rule in BREAKS)
    if not breaking:
        summary = f"{linted.linter} finds no breaking change in {len(found.revisions)} migrations"
        return result(BREAKING, Outcome.PASS, summary, _linter(linted), _listed(linted.findings))
    behind = {revision.id: revision.flag for revision in found.revisions}
    faults = {flag: _fault(context, flag) for flag in {behind[finding.revision] for finding in breaking}}
    rows = tuple((f.revision, f.rule, behind[f.revision], faults[behind[f.revision]] or "is off") for f in breaking)
    table = Table(title="Breaking changes", columns=("revision", "rule", "flag", "which"), rows=rows)
    facts = _linter(linted) | {"breaking": len(breaking)}
    wrong = [row for row in rows if row[3] != "is off"]
    if wrong:
        summary = f"{wrong[0][1]} in {wrong[0][0]}: {wrong[0][3]}"
        mend = 'name its flag in the migration, `feature_flag = "NAME"`, make it and switch it off; or expand first'
        return result(BREAKING, Outcome.FAIL, summary, facts, (table,), mend)
    summary = f"{len(breaking)} breaking changes, each behind a flag that is off: {', '.join(sorted(faults))}"
    return result(BREAKING, Outcome.PASS, summary, facts, (table,))


def _fault(context: Context, flag: str) -> str:
    """What speaks against a flag; empty where it exists and is off."""
    if not flag:
        return "it is behind no flag"
    enabled = context.ports.flags.enabled(flag)
    if enabled is None:
        return f"there is no flag {flag}"
    return f"the flag {flag} can be on" if enabled else ""


def _linter(linted: Linted) -> Json:
    return {"linter": linted.linter, "findings": len(linted.findings)}
