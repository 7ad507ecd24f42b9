"""The migration tried before and looked at after, and the statements' times: situations, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from deploykit.checks import migration, queries
from deploykit.context import Context
from deploykit.databases import MIGRATE
from deploykit.model import Json, Outcome, Result
from tests.database.shop import COMMIT, INDEX, NOTES, Migration, Shop, looked
from tests.database.test_readiness import (
    ERROR,
    FAIL,
    INCONCLUSIVE,
    NOT_NEEDED,
    PASS,
    has_it_all,
    no_scratch,
    no_server,
    nothing,
    rubbish,
    then,
    told,
    with_backup,
)
from tests.world import Fault, World, answered

Situation = tuple[Callable[[Shop, World], object], Outcome, str]

DEFERRED = [
    "CREATE TABLE a (id int PRIMARY KEY)",
    "CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)",
    "INSERT INTO b VALUES (1)",
]
DRY: dict[str, Situation] = {
    "a transaction": (nothing, PASS, "1 migrations succeed in"),
    "outside of a transaction": (with_backup(INDEX), PASS, "on a scratch copy of nightly"),
    "several": (
        lambda s, _: s.check_out(NOTES, Migration("0003", ["UPDATE orders SET note = 'x'"], before="0002")),
        PASS,
        "2 migrations succeed",
    ),
    "an error": (lambda s, _: s.check_out(replace(NOTES, up=["SELECT 1/0"])), FAIL, "division by zero"),
    "an error at the end": (lambda s, _: s.check_out(replace(NOTES, up=DEFERRED)), FAIL, "violates foreign key"),
    "a commit of its own": (
        lambda s, _: s.check_out(replace(NOTES, up=["ALTER TABLE orders ADD x int; COMMIT; SELECT 1"])),
        FAIL,
        "transaction",
    ),
    "an end of its own": (
        lambda s, _: s.check_out(replace(NOTES, up=["ALTER TABLE orders ADD x int", "end"])), FAIL, "transaction",
    ),
    "Alembic's table written by hand": (
        lambda s, _: s.check_out(replace(NOTES, up=["DELETE FROM alembic_version"])), FAIL, "says no revision",
    ),
    "an error on the copy": (
        with_backup(replace(INDEX, outside=["CREATE INDEX CONCURRENTLY i ON nowhere (id)"])), FAIL, "nowhere",
    ),
    "no backup for a copy": (lambda s, _: s.check_out(INDEX), INCONCLUSIVE, "no backup to try it on"),
    "a backup of random bytes": (then(lambda s, _: s.check_out(INDEX), rubbish), FAIL, "archive"),
    "no migration": (lambda s, _: s.check_out(), NOT_NEEDED, "brings no migration"),
    "production down": (no_server, ERROR, "connection"),
    "scratch down": (then(with_backup(INDEX), no_scratch), ERROR, "connection"),
}  # fmt: skip


@pytest.mark.parametrize("situation", DRY)
def test_a_dry_run_passes_when_all_of_it_succeeds_and_changes_nothing(
    shop: Shop, team: World, context: Context, situation: str
) -> None:
    prepare, outcome, said = DRY[situation]
    prepare(shop, team)
    before = shop.adapter().contents()
    result = looked(migration.dry_run, context)
    told(result, outcome, said)
    assert shop.adapter().contents() == before
    if outcome is PASS:
        assert result.evidence.tables[0].rows[0][0] == "0002"


def test_a_dry_run_that_does_not_get_its_lock_fails_and_says_so(shop: Shop, context: Context) -> None:
    with shop.holding():
        told(looked(migration.dry_run, context), FAIL, "lock timeout")


def test_a_dry_run_names_the_locks_that_it_took(context: Context) -> None:
    (table,) = migration.dry_run(context).evidence.tables
    assert "orders AccessExclusiveLock" in str(table.rows[0][3])


# --- verified


def went(context: Context, *, since: str = "0001") -> Context:
    """The run's journal says that it migrated."""
    events: tuple[Json, ...] = (
        {"type": "step.intended", "item": MIGRATE, "step": f"{MIGRATE}/0002", "data": {"from": since, "to": "0002"}},
        {"type": "step.happened", "item": MIGRATE, "step": f"{MIGRATE}/0002", "data": {}},
    )
    return replace(context, timeline=lambda: events)


def lost_rows(shop: Shop, _team: World) -> None:
    shop.ask("DELETE FROM orders")


def fewer_rows(shop: Shop, _team: World) -> None:
    shop.ask("DELETE FROM orders WHERE id = 1")


def ill(_shop: Shop, team: World) -> None:
    team.pages["https://shop.example.com/health"] = answered(503)


def no_backups(shop: Shop, _team: World) -> None:
    for path in shop.backups.iterdir():
        path.unlink()


VERIFIED: dict[str, Situation] = {
    "as planned": (nothing, PASS, "the database is at 0002, its schema as planned, its rows kept"),
    "users went on": (lambda s, _: s.order(), PASS, "rows kept"),
    "another revision": (
        lambda s, _: s.ask("UPDATE alembic_version SET version_num = '0001'"), FAIL, "is at 0001, not at 0002",
    ),
    "another schema": (lambda s, _: s.ask("ALTER TABLE orders DROP note"), FAIL, "not the one that was planned"),
    "a change by hand": (lambda s, _: s.ask("CREATE INDEX x ON orders (note)"), FAIL, "not the one that was planned"),
    "rows lost": (lost_rows, FAIL, "no rows are left in public.orders"),
    "fewer rows": (fewer_rows, INCONCLUSIVE, "rows are fewer in public.orders"),
    "the service ill": (ill, FAIL, "answers 503"),
    "the service silent": (lambda _, t: t.broken.update({"http.get": Fault.DOWN}), ERROR, "did not answer"),
    "no backup of the run": (no_backups, INCONCLUSIVE, "made no backup"),
    "another backup": (lambda s, _: [f.write_bytes(b"x") for f in s.backups.glob("*.dump")], ERROR, "is not what was"),
    "production down": (no_server, ERROR, "connection"),
    "scratch down": (no_scratch, ERROR, "connection"),
}  # fmt: skip


@pytest.mark.parametrize("situation", VERIFIED)
def test_a_migration_is_verified_when_all_is_as_on_the_copy(
    shop: Shop, team: World, context: Context, situation: str
) -> None:
    shop.adapter().back_up(context.plan.run)
    has_it_all(shop, team)
    prepare, outcome, said = VERIFIED[situation]
    prepare(shop, team)
    told(looked(migration.verified, went(context)), outcome, said)


def test_what_was_not_applied_is_not_verified(shop: Shop, context: Context) -> None:
    told(looked(migration.verified, context), FAIL, "0002 was not applied by this run")
    shop.check_out()
    told(looked(migration.verified, context), NOT_NEEDED, "brings no migration")


# --- query performance


def call(shop: Shop, query: str, times: int = queries.ENOUGH) -> None:
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        for _ in range(times):
            connection.execute(query.encode())


@pytest.fixture
def before(shop: Shop, context: Context) -> None:
    """The service's one statement was called often, and took no time."""
    shop.ask("CREATE FUNCTION price() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'")
    call(shop, "SELECT price()")
    queries.keep(context)


def slower(shop: Shop, seconds: float) -> None:
    made = "CREATE OR REPLACE FUNCTION price() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1 FROM pg_sleep(%s)'"
    shop.ask(made % seconds)
    call(shop, "SELECT price()")


QUERIES: dict[str, Situation] = {
    "as before": (lambda s, _: call(s, "SELECT price()"), PASS, "none is new or slower beyond its limit"),
    "new and fast": (lambda s, _: call(s, "SELECT 'new', 1"), PASS, "1 statements"),
    "slower beyond its limit": (lambda s, _: slower(s, 0.12), FAIL, "1 statements are too slow"),
    "new and slow": (lambda s, _: call(s, "SELECT 'new', pg_sleep(0.12)"), FAIL, "is new"),
    "not called enough": (lambda s, _: call(s, "SELECT 'seldom', pg_sleep(0.12)", 2), INCONCLUSIVE, "no statement"),
    "counted anew": (lambda s, _: s.ask("SELECT pg_stat_statements_reset()"), INCONCLUSIVE, "began to count anew"),
    "no extension": (lambda s, _: s.ask("DROP EXTENSION pg_stat_statements"), ERROR, "is not there"),
    "production down": (no_server, ERROR, "connection"),
}


@pytest.mark.parametrize("situation", QUERIES)
def test_statements_are_held_against_what_they_took_before(
    shop: Shop, team: World, context: Context, before: None, situation: str
) -> None:
    prepare, outcome, said = QUERIES[situation]
    prepare(shop, team)
    fresh = replace(context, ports=team.context(team.run).ports) if situation == "production down" else context
    told(looked(queries.query_performance, fresh), outcome, said)


def test_without_a_snapshot_from_before_nothing_is_said(context: Context) -> None:
    told(looked(queries.query_performance, context), INCONCLUSIVE, "no snapshot from before")


def test_a_statement_that_was_fast_enough_may_grow_slower(context: Context) -> None:
    faster = context.environment.model_copy(
        update={"database": context.environment.database.model_copy(update={"slow_query": 9.0})}  # type: ignore[union-attr]  # it is set up
    )
    changed = queries.Change("SELECT 1", 1.0, 500.0, 100, 50_000.0)
    judged: Any = queries._judged
    assert judged(replace(context, environment=faster), [changed], {}).outcome is PASS
    assert judged(context, [changed], {}).outcome is FAIL


def test_evidence_shows_the_slowest_and_the_most_changed(shop: Shop, context: Context, before: None) -> None:
    call(shop, f"SELECT price() /* {'x' * 400} */")
    result: Result = queries.query_performance(context)
    assert [table.title for table in result.evidence.tables] == ["Slowest since the release", "Most changed"]
    assert max(len(str(row[0])) for table in result.evidence.tables for row in table.rows) <= queries.LONG
    assert context.plan.commit == COMMIT
