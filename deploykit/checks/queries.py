"""`watch.database`: what the database's statements took before the release, and what they take with it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploykit import redact
from deploykit.context import Context
from deploykit.databases import not_set_up, result
from deploykit.model import Json, Outcome, Result, Table, canonical, now

ITEM = "watch.database"
#: Where they are kept, in the run's folder.
FILE = "data/queries.json"
#: Calls from which on a mean says something.
ENOUGH = 20
#: Statements that are shown in a table, and characters of each.
SHOWN, LONG = 10, 160


def keep(context: Context) -> None:
    """Write down what the statements took so far, before the release serves; `query_performance` compares with it.

    Raises:
        ProviderError: The statistics cannot be read.
    """
    found = context.ports.database.statistics()
    statements: Json = {each.id: [each.calls, each.milliseconds] for each in found.statements}
    kept: Json = {"at": now().isoformat(), "since": found.since, "statements": statements}
    context.write(FILE, canonical(kept))


@dataclass(frozen=True)
class Change:
    """One statement: mean milliseconds before (None where it is new) and since, and its calls and time since."""

    query: str
    before: float | None
    after: float
    calls: int
    total: float

    @property
    def times(self) -> float:
        """How many times slower it became; 1 for a new one."""
        return self.after / self.before if self.before else 1.0


def query_performance(context: Context) -> Result:
    """No statement with enough calls became too slow, or is new and too slow, since the baseline was recorded.

    Raises:
        ProviderError: The statistics cannot be read.
    """
    unset = not_set_up(context, ITEM)
    if unset is not None:
        return unset
    before = _before(context)
    if before is None:
        mend = "let prepare.baseline pass first: what was before cannot be had afterwards"
        return result(ITEM, Outcome.INCONCLUSIVE, "there is no snapshot from before to compare with", {}, mend=mend)
    found = context.ports.database.statistics()
    facts: Json = {"from": before["at"], "to": now().isoformat(), "counted_since": found.since}
    known = before["statements"]
    if found.since != before["since"] or not isinstance(known, dict):
        summary = "the server began to count anew in between"
        return result(ITEM, Outcome.INCONCLUSIVE, summary, facts, mend="find out who reset pg_stat_statements")
    changes = [
        change
        for each in found.statements
        if (change := _change(each.query, known.get(each.id), each.calls, each.milliseconds)) is not None
    ]
    return _judged(context, changes, facts)


def _before(context: Context) -> Json | None:
    """What `keep` wrote, if it did."""
    kept = context.read(FILE)
    return json.loads(kept) if kept is not None else None


def _change(query: str, before: object, calls: int, total: float) -> Change | None:
    """What a statement took since; None where it was not called, or not often enough."""
    old_calls, old_total = (float(str(value)) for value in before) if isinstance(before, list) else (0.0, 0.0)
    new_calls, new_total = calls - round(old_calls), total - old_total
    if new_calls < ENOUGH or new_total < 0:
        return None
    mean = old_total / old_calls if old_calls >= ENOUGH else None
    return Change(" ".join(redact.text(query).split())[:LONG], mean, new_total / new_calls, new_calls, new_total)


def _judged(context: Context, changes: list[Change], facts: Json) -> Result:
    settings = context.environment.database
    limit, slower = (settings.slow_query * 1000, settings.slower) if settings else (0.0, 1.0)
    facts |= {"statements": len(changes), "calls": sum(change.calls for change in changes), "limit_ms": limit}
    tables = (
        _table("Slowest since the release", sorted(changes, key=lambda change: -change.after)),
        _table("Most changed", sorted(changes, key=lambda change: -change.times)),
    )
    if not changes:
        summary = f"no statement was called {ENOUGH} times since"
        return result(ITEM, Outcome.INCONCLUSIVE, summary, facts, mend="wait until the release served some requests")
    worse = [c for c in changes if c.after > limit and (c.before is None or c.times > slower)]
    if worse:
        worst = max(worse, key=lambda change: change.after)
        was = "is new" if worst.before is None else f"took {worst.before:.1f} ms before"
        summary = f"{len(worse)} statements are too slow: one takes {worst.after:.1f} ms and {was}"
        mend = "look at its plan with EXPLAIN; `deploykit rollback` is always there"
        return result(ITEM, Outcome.FAIL, summary, facts, tables, mend)
    slowest = max(change.after for change in changes)
    summary = f"{len(changes)} statements, the slowest takes {slowest:.1f} ms; none is new or slower beyond its limit"
    return result(ITEM, Outcome.PASS, summary, facts, tables)


def _table(title: str, changes: list[Change]) -> Table:
    rows = tuple(
        (c.query, "new" if c.before is None else f"{c.before:.2f}", f"{c.after:.2f}", f"{c.calls:,}")
        for c in changes[:SHOWN]
    )
    return Table(title=title, columns=("statement", "ms before", "ms since", "calls since"), rows=rows)
