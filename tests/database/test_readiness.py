"""The database before anything is announced: situations, and what is said of each."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploykit.checks import database
from deploykit.context import Context
from deploykit.databases import fingerprint
from deploykit.model import Outcome, Result
from tests.database.shop import DROPS, NOTES, Migration, Shop, looked
from tests.world import Fault, World

Prepare = Callable[[Shop, World], object]
Situation = tuple[Prepare, Outcome, str]
PASS, FAIL, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.ERROR
INCONCLUSIVE, NOT_NEEDED = Outcome.INCONCLUSIVE, Outcome.NOT_NEEDED
HOSTILE = "'; DROP TABLE orders; --\n</pre><script>alert(1)</script>"


def nothing(_shop: Shop, _team: World) -> None: ...


def no_server(_shop: Shop, team: World, which: str = "database") -> None:
    (team.home / "secrets" / which).write_text(f"host={team.home} dbname=shop password=hunter2-hunter2")


def no_scratch(shop: Shop, team: World) -> None:
    no_server(shop, team, "scratch")


def no_checkout(shop: Shop, _team: World) -> None:
    (shop.checkout / "alembic.ini").unlink()


def unknown_commit(shop: Shop, _team: World) -> None:
    (shop.checkout / "REVISION").unlink()


def other_commit(shop: Shop, _team: World) -> None:
    shop.check_out(NOTES, commit="d" * 40)


def has_it_all(shop: Shop, _team: World) -> None:
    (revision,) = shop.adapter().release("v2", "c" * 40).revisions
    shop.adapter().upgrade(revision)


def rubbish(shop: Shop, _team: World) -> None:
    (shop.backups / "nightly.dump").write_bytes(os.urandom(5000))


def truncated(shop: Shop, _team: World) -> None:
    whole = shop.dump().read_bytes()
    (shop.backups / "nightly.dump").write_bytes(whole[: len(whole) * 2 // 3])


def damaged(shop: Shop, _team: World) -> None:
    made = shop.adapter().back_up("ours")
    path = shop.backups / f"{made.name}.dump"
    path.write_bytes(path.read_bytes() + b"\0")


def swapped(shop: Shop, _team: World) -> None:
    """The file and its sum are another database's; what was noted to be in it is not."""
    made = shop.adapter().back_up("ours")
    note = shop.backups / f"{made.name}.dump.json"
    note.write_text(note.read_text().replace('"public.orders": 7', '"public.orders": 8'))


def old(shop: Shop, _team: World) -> None:
    path, long_ago = shop.dump(), time.time() - 90_000
    os.utime(path, (long_ago, long_ago))


def from_tomorrow(shop: Shop, _team: World) -> None:
    path, then = shop.dump(), time.time() + 90_000
    os.utime(path, (then, then))


def tiny(shop: Shop, _team: World) -> None:
    (shop.backups / "nightly.dump").write_bytes(b"PGDMP")


def changed_since(shop: Shop, team: World) -> None:
    shop.dump()
    has_it_all(shop, team)


def drifted(shop: Shop, _team: World) -> None:
    shop.dump()
    shop.ask("CREATE INDEX by_hand ON orders (quantity)")


def dumped(shop: Shop, _team: World) -> None:
    shop.dump()


def ordered(shop: Shop, _team: World) -> None:
    shop.order()


def then(*all_of_it: Prepare) -> Prepare:
    """One after the other."""

    def prepare(shop: Shop, team: World) -> None:
        for each in all_of_it:
            each(shop, team)

    return prepare


BACKUPS: dict[str, Situation] = {
    "by others": (lambda s, _: s.dump(), PASS, "was restored: 57 rows in 2 tables"),
    "by us": (lambda s, _: s.adapter().back_up("ours"), PASS, "ours, 0.0 h old"),
    "fewer orders than now": (then(dumped, ordered), PASS, "was restored"),
    "none": (nothing, FAIL, "there is no backup"),
    "old": (old, FAIL, "is 25.0 h old"),
    "from the future": (from_tomorrow, FAIL, "from the future"),
    "tiny": (tiny, FAIL, "has 5 bytes"),
    "random bytes": (rubbish, FAIL, "cannot be restored"),
    "truncated": (truncated, FAIL, "cannot be restored"),
    "not the bytes that were written": (damaged, FAIL, "is not what was written"),
    "not what was noted": (swapped, FAIL, "does not hold what it noted"),
    "without the orders": (lambda s, _: s.dump("n", "--exclude-table-data=orders"), FAIL, "lacks public.orders"),
    "without a table": (lambda s, _: s.dump("n", "--exclude-table=orders"), FAIL, "lacks public.orders"),
    "of another schema": (drifted, FAIL, "another schema"),
    "of an older revision": (changed_since, INCONCLUSIVE, "is of revision 0001, and production is at 0002"),
    "a note that is none": (
        lambda s, _: (s.dump(), (s.backups / "nightly.dump.json").write_text("[]")),
        ERROR,
        "not a note of deploykit",
    ),
    "no folder": (lambda s, _: s.backups.rmdir(), ERROR, "cannot be read"),
    "production down": (then(dumped, no_server), ERROR, "connection"),
    "scratch down": (then(dumped, no_scratch), ERROR, "connection"),
}


@pytest.mark.parametrize("situation", BACKUPS)
def test_a_backup_passes_only_when_it_was_restored_and_holds_what_it_must(
    shop: Shop, team: World, context: Context, situation: str
) -> None:
    prepare, outcome, said = BACKUPS[situation]
    prepare(shop, team)
    told(looked(database.backup_completed, context), outcome, said)


def told(result: Result, outcome: Outcome, said: str) -> None:
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert (result.mend == "") == result.outcome.opens
    assert "hunter2" not in result.model_dump_json()


# --- what a release brings, asked by several

REVIEW: dict[str, Situation] = {
    "a migration": (nothing, INCONCLUSIVE, "1 migrations, 0 findings of the linter: to be reviewed and signed"),
    "findings": (lambda s, _: s.check_out(DROPS), INCONCLUSIVE, "1 findings"),
    "none": (lambda s, _: s.check_out(), NOT_NEEDED, "v2 brings no migration: it needs 0001"),
    "applied already": (has_it_all, NOT_NEEDED, "it needs 0002, where the database is"),
    "not SQL": (
        lambda s, _: s.check_out(Migration("0002", ["ALTER TABEL orders"])), FAIL, "cannot parse 0002",
    ),
    "hostile words": (
        lambda s, _: s.check_out(replace(NOTES, title=HOSTILE, up=[f"COMMENT ON TABLE orders IS $${HOSTILE}$$"])),
        INCONCLUSIVE,
        "to be reviewed",
    ),
    "a checkout of nobody knows what": (unknown_commit, INCONCLUSIVE, "nothing says that these migrations are those"),
    "a checkout of another commit": (other_commit, ERROR, "is a checkout of ddd"),
    "no checkout": (no_checkout, ERROR, "is not there"),
    "production down": (no_server, ERROR, "connection"),
    "two heads": (
        lambda s, _: s.check_out(NOTES, replace(NOTES, id="0002b")), ERROR, "more than one revision",
    ),
    "another line": (
        lambda s, _: s.ask("UPDATE alembic_version SET version_num = 'else'"), ERROR, "does not know revision else",
    ),
    "reads data": (
        lambda s, _: (s.checkout / "migrations/versions/x.py").write_text(READS), ERROR, "fetch",
    ),
    "not Python": (
        lambda s, _: (s.checkout / "migrations/versions/x.py").write_text("def"), ERROR, "SyntaxError",
    ),
    "an env.py that connects": (
        lambda s, _: (s.checkout / "migrations/env.py").write_text(CONNECTS), ERROR, "offline.invalid",
    ),
    "an env.py that ends": (
        lambda s, _: (s.checkout / "migrations/env.py").write_text("import os; os._exit(3)"), ERROR, "cannot be read",
    ),
    "an env.py that prints": (
        lambda s, _: prepend(s.checkout / "migrations/env.py", "print('{}')\n"), INCONCLUSIVE, "1 migrations",
    ),
}  # fmt: skip
READS = """
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.get_bind().execute("SELECT 1").fetchall()
def downgrade():
    pass
"""
CONNECTS = """
import os, sqlalchemy
sqlalchemy.create_engine(os.environ["DATABASE_URL"].replace("postgresql", "postgresql+psycopg")).connect()
"""


def prepend(path: Path, text: str) -> None:
    path.write_text(text + path.read_text())


@pytest.mark.parametrize("situation", REVIEW)
def test_a_review_is_never_more_than_gathered(shop: Shop, team: World, context: Context, situation: str) -> None:
    prepare, outcome, said = REVIEW[situation]
    prepare(shop, team)
    result = looked(database.migrations_reviewed, context)
    told(result, outcome, said)
    if outcome is INCONCLUSIVE and "reviewed" in said:
        assert result.evidence.text.startswith("-- 0002\nBEGIN;\n")


def test_a_review_depends_on_nothing_but_sql_linter_and_findings(shop: Shop, context: Context) -> None:
    first = fingerprint(database.migrations_reviewed(context).evidence)
    shop.order()
    assert fingerprint(database.migrations_reviewed(context).evidence) == first
    shop.check_out(replace(NOTES, title="Another title, and the same SQL"))
    assert fingerprint(database.migrations_reviewed(context).evidence) == first
    shop.check_out(replace(NOTES, up=["ALTER TABLE orders ADD COLUMN notes text"]))
    assert fingerprint(database.migrations_reviewed(context).evidence) != first


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "it ended with 1"),
        ("exit 0", "it ended with 0"),
        ("echo squawk 2.0; exit 0", "cannot be used"),
        ('echo "[{}]"; exit 1', "cannot be used"),
        ('echo "[]"; exit 1', "cannot be used"),
        ('echo "nonsense"; exit 0', "cannot be used"),
        ("echo boom >&2; exit 101", "boom"),
    ],
)
def test_a_linter_that_answers_rubbish_is_an_error(
    team: World, shop: Shop, context: Context, script: str, said: str
) -> None:
    folder = team.home / "programs"
    folder.mkdir()
    for program in ("pg_dump", "pg_restore"):
        (folder / program).symlink_to(shop.programs / program)
    (folder / "squawk").write_text(f"#!/bin/sh\n{VERSION}{script}\n")
    (folder / "squawk").chmod(0o755)
    adapter = shop.adapter(programs=replace(shop.adapter().programs, folder=folder))
    ported = replace(context, ports=Ported(context.ports, adapter))  # type: ignore[arg-type]  # the one port that is asked
    for check in (database.migrations_reviewed, database.no_breaking_changes):
        told(looked(check, ported), ERROR, said)


VERSION = 'if [ "$1" = --version ]; then echo squawk 2; exit; fi; '


class Ported:
    def __init__(self, ports: Any, adapter: Any) -> None:
        self.database, self.flags = adapter, ports.flags


# --- breaking changes

BARE = replace(DROPS, flag="")
BREAKING: dict[str, tuple[tuple[Migration, ...], Outcome, str]] = {
    "none": ((NOTES,), PASS, "finds no breaking change in 1 migrations"),
    "behind a flag that is off": ((replace(DROPS, flag="shop.codes"),), PASS, "each behind a flag that is off"),
    "behind none": ((BARE,), FAIL, "ban-drop-column in 0002: it is behind no flag"),
    "behind one that is not there": ((replace(DROPS, flag="shop.cods"),), FAIL, "there is no flag shop.cods"),
    "behind one that can be on": ((replace(DROPS, flag="shop.on"),), FAIL, "the flag shop.on can be on"),
    "the second, unguarded": (
        (replace(DROPS, flag="shop.codes"), Migration("0003", ["DROP TABLE products CASCADE"], before="0002")),
        FAIL,
        "in 0003: it is behind no flag",
    ),
    "told to be silent": (
        (replace(BARE, up=["-- squawk-ignore ban-drop-column\nALTER TABLE products DROP COLUMN legacy_code"]),),
        FAIL,
        "behind no flag",
    ),
    "told to be silent in the whole file": (
        (replace(BARE, up=["-- SQUAWK-IGNORE-FILE\nALTER TABLE products DROP COLUMN legacy_code"]),),
        FAIL,
        "behind no flag",
    ),
    "a view": ((Migration("0002", ["DROP VIEW best_sellers"]),), FAIL, "ban-drop-view"),
    "a type": ((Migration("0002", ["ALTER TABLE orders ALTER quantity TYPE bigint"]),), FAIL, "changing-column-type"),
    "not SQL": ((Migration("0002", ["DROP DROP"]),), FAIL, "cannot parse 0002"),
    "no migration": ((), NOT_NEEDED, "brings no migration"),
}


@pytest.mark.parametrize("situation", BREAKING)
def test_a_breaking_change_needs_a_flag_that_exists_and_is_off(shop: Shop, context: Context, situation: str) -> None:
    migrations, outcome, said = BREAKING[situation]
    shop.check_out(*migrations)
    told(looked(database.no_breaking_changes, context), outcome, said)


def test_flags_that_cannot_be_asked_are_an_error(shop: Shop, team: World, context: Context) -> None:
    shop.check_out(replace(DROPS, flag="shop.codes"))
    team.fail("flags.enabled", Fault.DOWN)
    told(looked(database.no_breaking_changes, context), ERROR, "flags.enabled did not answer")


# --- a rollback that works


def with_backup(*migrations: Migration) -> Prepare:
    return lambda shop, _team: (shop.check_out(*migrations), shop.dump())


LEAVES = Migration("0002", ["CREATE TABLE IF NOT EXISTS more (id int)"])
LATER = Migration("0003", ["ALTER TABLE orders ADD COLUMN more text"], ["ALTER TABLE orders DROP COLUMN more"], "0002")
DROP_ORDERS = Migration(
    "0002",
    ["CREATE TABLE kept AS TABLE orders", "TRUNCATE orders"],
    ["INSERT INTO orders SELECT * FROM kept LIMIT 3", "DROP TABLE kept"],
)
PREPARED: dict[str, Situation] = {
    "up, down and up": (with_backup(NOTES), PASS, "went up, down and up on a copy of nightly"),
    "a column that comes back last": (with_backup(DROPS), PASS, "after down all was as before"),
    "outside of a transaction": (
        with_backup(Migration("0002", [], ["DROP INDEX i"], outside=["CREATE INDEX CONCURRENTLY i ON orders (id)"])),
        PASS,
        "1 migrations",
    ),
    "a copy that is behind production": (
        then(dumped, has_it_all, lambda s, _: s.check_out(NOTES, LATER)), PASS, "1 migrations went up",
    ),
    "no way back": (with_backup(replace(NOTES, down=None)), FAIL, "has no way back: NotImplementedError"),
    "a way back that leaves something": (with_backup(LEAVES), FAIL, "before, and after down"),
    "a way back that fails": (with_backup(replace(NOTES, down=["DROP TABLE nowhere"])), FAIL, "nowhere"),
    "a way back that loses rows": (with_backup(DROP_ORDERS), FAIL, "before, and after down"),
    "a way up that fails": (with_backup(replace(NOTES, up=["SELECT 1/0"])), FAIL, "division by zero"),
    "no backup": (nothing, INCONCLUSIVE, "there is no backup to try it on"),
    "no migration": (lambda s, _: s.check_out(), NOT_NEEDED, "brings no migration"),
    "a backup of random bytes": (rubbish, ERROR, "archive"),
    "scratch down": (then(dumped, no_scratch), ERROR, "connection"),
    "production down": (then(dumped, no_server), ERROR, "connection"),
}  # fmt: skip


@pytest.mark.parametrize("situation", PREPARED)
def test_a_rollback_is_prepared_when_up_down_and_up_leave_nothing(
    shop: Shop, team: World, context: Context, situation: str
) -> None:
    prepare, outcome, said = PREPARED[situation]
    prepare(shop, team)
    before = shop.adapter().contents()
    told(looked(database.rollback_prepared, context), outcome, said)
    assert shop.adapter().contents() == before


CHECKS = (
    database.backup_completed,
    database.migrations_reviewed,
    database.rollback_prepared,
    database.no_breaking_changes,
)


@pytest.mark.parametrize("check", CHECKS)
def test_where_no_database_is_set_up_nothing_passes(team: World, check: Any) -> None:
    text = re.sub(
        r"\[environments.production.database\].*?(?=\[github\])", "", team.settings_file.read_text(), flags=re.DOTALL
    )
    team.settings_file.write_text(text)
    result = check(team.context(team.plan(approved=False)))
    told(result, INCONCLUSIVE, "no database is set up")
    assert "[environments.production.database]" in result.mend
