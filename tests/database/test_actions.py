"""The database's actions as the run executes them: what the journal says, what is done, and what is found after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from typing import Any

import psycopg
import pytest

from deploykit.actions.database import Backup, Migrate
from deploykit.actions.restore import Restore, RollbackMigration
from deploykit.actions.step import Step
from deploykit.checklist import Item, checklist
from deploykit.checks import database as checks
from deploykit.context import Context
from deploykit.errors import NotPassedError, StepUnknownError, Unreachable
from deploykit.execution import could_not_look, run_action
from deploykit.journal.events import Type
from deploykit.model import Evidence, Kind, Outcome, Result
from deploykit.run import Run
from tests.database.shop import INDEX, NOTES, Migration, Shop, Wire
from tests.world import World

MORE = Migration("0003", ["ALTER TABLE orders ADD COLUMN more text"], ["ALTER TABLE orders DROP COLUMN more"], "0002")
DID = Outcome.PASS, Outcome.NOT_NEEDED


def row(name: str, by: str) -> Item:
    phase = name.partition(".")[0]
    return Item(id=name, phase=phase, kind=Kind.ACTION, title=name, proof="", provider="database", by=f"actions.{by}")


BACKUP, MIGRATE = row("database.backup", "database:Backup"), row("database.migrate", "database:Migrate")
BACK, RESTORE = row("rollback.migration", "restore:RollbackMigration"), row("rollback.restore", "restore:Restore")


@pytest.fixture
def run(team: World) -> Run:
    return team.plan()


@pytest.fixture
def act(team: World, run: Run) -> Callable[[Item], Result]:
    """Execute an action as the runner does, after what comes before it, and return what the journal has of it."""

    def go(item: Item) -> Result:
        again = team.again(run)
        for before in takewhile(lambda known: known.id != item.id, checklist().items("database")):
            if item.phase == "database" and not again.state().opens(before.id):
                again.settle(Result(item=before.id, outcome=Outcome.PASS, summary="well"))
        made = item.load()(team.context(again)).steps()
        if isinstance(made, Result):
            again.settle(made)
            return made
        try:
            return run_action(again, team.context(again), item)
        except NotPassedError:
            found = again.result(item.id)
            assert found
            return found
        finally:
            again.store.close()

    return go


def ask_back(run: Run, *, database: bool = True) -> None:
    run.append(Type.ROLLBACK_ASKED, data={"reason": "a test", "database": database})


def steps_of(action: Any) -> tuple[Step, ...]:
    made = action.steps()
    assert isinstance(made, tuple), made
    return made


# --- forward


def test_a_backup_is_made_restored_and_counted(shop: Shop, act: Callable[[Item], Result]) -> None:
    result = act(BACKUP)
    assert result.outcome is Outcome.PASS
    assert "all 57 rows of 2 tables" in result.summary
    assert result.evidence.tables[0].rows == (("public.orders", "7", "7"), ("public.products", "50", "50"))
    assert [path.stat().st_mode & 0o077 for path in shop.backups.glob("*.dump")] == [0]


def test_a_backup_that_was_cut_short_is_made_again(shop: Shop, run: Run, act: Callable[[Item], Result]) -> None:
    run.intend(item=BACKUP.id, step=BACKUP.id, op="x", data={"backup": run.id})
    (shop.backups / f".{run.id}.0.part").write_bytes(b"half")
    assert act(BACKUP).outcome is Outcome.PASS


def test_a_backup_whose_end_nobody_saw_is_found_and_not_made_again(
    shop: Shop, run: Run, act: Callable[[Item], Result]
) -> None:
    run.intend(item=BACKUP.id, step=BACKUP.id, op="x", data={"backup": run.id})
    made = shop.adapter().back_up(run.id)
    assert act(BACKUP).evidence.facts["sha256"] == made.sum


def test_a_backup_that_is_damaged_at_once_does_not_pass(shop: Shop, run: Run, act: Callable[[Item], Result]) -> None:
    run.intend(item=BACKUP.id, step=BACKUP.id, op="x", data={"backup": run.id})
    shop.adapter().back_up(run.id)
    (shop.backups / f"{run.id}.dump").write_bytes(b"x")
    result = act(BACKUP)
    assert (result.outcome, "is not what was written" in result.summary) == (Outcome.ERROR, True)


def test_each_migration_is_a_step(shop: Shop, team: World, run: Run, act: Callable[[Item], Result]) -> None:
    shop.check_out(NOTES, MORE)
    assert act(MIGRATE).outcome is Outcome.PASS
    assert shop.adapter().revision() == "0003"
    happened = [event for event in team.said(Type.STEP_HAPPENED) if event.item == MIGRATE.id]
    assert [event.step for event in happened] == ["database.migrate/0002", "database.migrate/0003"]
    intent = next(event.data for event in team.said(Type.STEP_INTENDED))
    assert (intent["from"], intent["to"], intent["lock_timeout"]) == ("0001", "0002", 0.2)


def test_a_release_without_a_migration_needs_none(shop: Shop, act: Callable[[Item], Result]) -> None:
    shop.check_out()
    result = act(MIGRATE)
    assert result.outcome is Outcome.NOT_NEEDED
    assert result.evidence.facts == {"database": "0001", "release": "0001", "commit": "c" * 40}


def test_one_that_fails_half_way_leaves_what_was_whole(shop: Shop, team: World, act: Callable[[Item], Result]) -> None:
    shop.check_out(NOTES, replace(MORE, up=["ALTER TABLE orders ADD COLUMN more text", "SELECT 1/0"]))
    result = act(MIGRATE)
    assert result.outcome is Outcome.FAIL
    assert "division by zero" in result.summary
    assert shop.adapter().revision() == "0002"
    assert "more" not in "".join(shop.adapter().contents().schema)
    assert [event.step for event in team.said(Type.STEP_REJECTED)] == ["database.migrate/0003"]


def test_one_that_waits_for_a_lock_gives_way_and_tries_again(shop: Shop, act: Callable[[Item], Result]) -> None:
    with shop.holding():
        result = act(MIGRATE)
    assert result.outcome is Outcome.FAIL
    assert "lock timeout" in result.summary
    assert "tried 3 times" in result.summary
    assert "has a transaction open: pid" in result.mend
    assert shop.adapter().revision() == "0001"


def test_a_lock_that_is_let_go_in_time_is_had(shop: Shop, team: World, context: Context) -> None:
    holder = psycopg.connect(shop.dsn)
    with holder:
        holder.execute("LOCK TABLE orders")
        patient = shop.adapter(limits=replace(shop.adapter().limits, retries=1000))
        (revision,) = patient.release("v2", "c" * 40).revisions
        import threading  # noqa: PLC0415 - here alone

        let_go = threading.Timer(0.7, holder.rollback)
        let_go.start()
        applied = patient.upgrade(revision)
        let_go.join()
    assert applied.tries > 1
    assert shop.adapter().revision() == "0002"


def test_a_statement_that_takes_too_long_is_ended(shop: Shop) -> None:
    shop.check_out(replace(NOTES, up=["SELECT pg_sleep(30)"]))
    (revision,) = shop.adapter().release("v2", "c" * 40).revisions
    hasty = shop.adapter(limits=replace(shop.adapter().limits, statement=0.2))
    with pytest.raises(Exception, match="statement timeout"):
        hasty.upgrade(revision)
    assert shop.adapter().revision() == "0001"


def test_two_do_not_migrate_at_once(shop: Shop) -> None:
    from deploykit.providers.postgres.applying import KEY  # noqa: PLC0415 - here alone

    (revision,) = shop.adapter().release("v2", "c" * 40).revisions
    with psycopg.connect(shop.dsn) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (KEY,))
        assert shop.adapter().migrating()
        with pytest.raises(Exception, match="another migration of deploykit is under way"):
            shop.adapter().upgrade(revision)


def test_what_was_not_reviewed_is_not_applied(
    shop: Shop, run: Run, context: Context, act: Callable[[Item], Result]
) -> None:
    run.settle(checks.migrations_reviewed(context))
    shop.check_out(replace(NOTES, up=["DROP TABLE orders"]))
    result = act(MIGRATE)
    assert (result.outcome, "that were reviewed" in result.summary) == (Outcome.FAIL, True)
    assert shop.adapter().revision() == "0001"


def test_what_was_reviewed_is_applied(run: Run, context: Context, act: Callable[[Item], Result]) -> None:
    run.settle(checks.migrations_reviewed(context))
    assert act(MIGRATE).outcome is Outcome.PASS


# --- an end that nobody saw


@contextmanager
def through(team: World, wire: Wire) -> Iterator[None]:
    """Production is reached by a wire that can break."""
    secret = team.home / "secrets" / "database"
    before = secret.read_text()
    secret.write_text(wire.dsn)
    yield
    secret.write_text(before)


def test_a_commit_whose_reply_was_lost_is_found_to_have_happened(
    shop: Shop, team: World, wire: Wire, act: Callable[[Item], Result]
) -> None:
    wire.after = b"COMMIT\0"
    with through(team, wire):
        result = act(MIGRATE)
    assert (wire.broken, result.outcome) == (1, Outcome.PASS)
    assert shop.adapter().revision() == "0002"
    assert [event.data for event in team.said(Type.STEP_HAPPENED)] == [{"by": "probe"}]


def test_a_commit_that_never_arrived_is_found_not_to_have_happened(
    shop: Shop, team: World, wire: Wire, act: Callable[[Item], Result]
) -> None:
    wire.before = b"COMMIT\0"
    with through(team, wire):
        result = act(MIGRATE)
    assert (wire.broken, result.outcome) == (1, Outcome.FAIL)
    assert "it did not happen" in result.summary
    assert shop.adapter().revision() == "0001"


def test_a_second_process_goes_on_where_the_first_was_killed(
    shop: Shop, team: World, run: Run, act: Callable[[Item], Result]
) -> None:
    shop.check_out(NOTES, MORE)
    first, _ = steps_of(Migrate(team.context(run)))
    run.intend(item=MIGRATE.id, step=first.id, op="x", data=first.intent)
    first.do("x")
    assert act(MIGRATE).outcome is Outcome.PASS
    assert shop.adapter().revision() == "0003"


def test_one_outside_of_a_transaction_that_broke_is_for_a_person(
    shop: Shop, team: World, run: Run, act: Callable[[Item], Result]
) -> None:
    shop.ask("INSERT INTO orders (product_id, quantity) VALUES (7, 7)")
    shop.check_out(replace(INDEX, outside=["CREATE UNIQUE INDEX CONCURRENTLY by_channel ON orders (quantity)"]))
    with pytest.raises(StepUnknownError, match="begun"):
        act(MIGRATE)
    assert team.said(Type.STEP_UNKNOWN)
    assert "INVALID" not in "".join(shop.adapter().contents().schema)


def test_a_migration_elsewhere_leaves_the_end_open(shop: Shop, team: World, run: Run) -> None:
    (step,) = steps_of(Migrate(team.context(run)))
    assert step.probe() is False
    shop.ask("UPDATE alembic_version SET version_num = 'else'")
    assert step.probe() is None


# --- back


def migrated(shop: Shop, act: Callable[[Item], Result], *migrations: Migration) -> None:
    shop.check_out(*migrations)
    assert act(BACKUP).outcome is Outcome.PASS
    assert act(MIGRATE).outcome is Outcome.PASS


def test_nothing_goes_back_that_never_went_forward(run: Run, act: Callable[[Item], Result]) -> None:
    ask_back(run)
    for item in (BACK, RESTORE):
        result = act(item)
        assert (result.outcome, result.summary) == (Outcome.NOT_NEEDED, "this run applied no migration")


@pytest.mark.parametrize("database", [False, None, "yes", 1])
def test_nothing_goes_back_unless_somebody_asks(
    shop: Shop, run: Run, act: Callable[[Item], Result], database: Any
) -> None:
    migrated(shop, act, NOTES)
    if database is not None:
        ask_back(run, database=database)
    for item in (BACK, RESTORE):
        result = act(item)
        assert (result.outcome, "nobody asked" in result.summary) == (Outcome.NOT_NEEDED, True)
    assert shop.adapter().revision() == "0002"


def test_the_migrations_of_this_run_go_back_the_newest_first(
    shop: Shop, team: World, run: Run, act: Callable[[Item], Result]
) -> None:
    before = shop.adapter().contents()
    migrated(shop, act, NOTES, MORE)
    shop.order()
    ask_back(run)
    assert act(BACK).outcome is Outcome.PASS
    assert (shop.adapter().revision(), shop.adapter().contents().schema) == ("0001", before.schema)
    back = [event.step for event in team.said(Type.STEP_HAPPENED) if event.item == BACK.id]
    assert back == ["rollback.migration/0003", "rollback.migration/0002"]
    assert shop.ask("SELECT count(*) FROM orders") == [(8,)]
    result = act(RESTORE)
    assert (result.outcome, result.summary) == (Outcome.NOT_NEEDED, "the migrations were taken back")


def test_half_a_migration_goes_half_the_way_back(shop: Shop, run: Run, act: Callable[[Item], Result]) -> None:
    shop.check_out(NOTES, replace(MORE, up=["SELECT 1/0"]))
    assert act(BACKUP).outcome is Outcome.PASS
    assert act(MIGRATE).outcome is Outcome.FAIL
    ask_back(run)
    assert act(BACK).outcome is Outcome.PASS
    assert shop.adapter().revision() == "0001"


def test_a_way_back_whose_reply_was_lost_is_found_to_have_happened(
    shop: Shop, team: World, run: Run, wire: Wire, act: Callable[[Item], Result]
) -> None:
    migrated(shop, act, NOTES)
    ask_back(run)
    wire.after = b"COMMIT\0"
    with through(team, wire):
        assert act(BACK).outcome is Outcome.PASS
    assert shop.adapter().revision() == "0001"


KIOSK = Migration(
    "0002",
    ["ALTER TABLE orders DROP CONSTRAINT orders_channel_known", "ALTER TABLE orders ALTER channel SET DEFAULT 'kiosk'"],
    ["ALTER TABLE orders ADD CONSTRAINT orders_channel_known CHECK (channel IN ('web', 'phone'))"],
)


def test_where_the_way_back_fails_the_backup_takes_productions_place(
    shop: Shop, team: World, run: Run, act: Callable[[Item], Result]
) -> None:
    before = shop.adapter().contents()
    migrated(shop, act, KIOSK)
    shop.order()
    ask_back(run)
    back = act(BACK)
    assert (back.outcome, "is violated by some row" in back.summary) == (Outcome.FAIL, True)
    assert act(RESTORE).outcome is Outcome.PASS
    assert shop.adapter().contents() == before
    action = Restore(team.context(run))
    assert (action.aside, True) in shop.ask("SELECT datname, datallowconn FROM pg_database")
    assert steps_of(action)[0].probe() is True


def test_users_who_hold_on_are_ended_for_a_restore(shop: Shop, run: Run, act: Callable[[Item], Result]) -> None:
    migrated(shop, act, KIOSK)
    shop.order()
    ask_back(run)
    act(BACK)
    with psycopg.connect(shop.dsn) as user:
        user.execute("SELECT 1")
        assert act(RESTORE).outcome is Outcome.PASS
        with pytest.raises(psycopg.Error):
            user.execute("SELECT 1")


@pytest.mark.parametrize("fault", ["gone", "damaged"])
def test_a_restore_without_its_backup_leaves_production_alone(
    shop: Shop, run: Run, act: Callable[[Item], Result], fault: str
) -> None:
    migrated(shop, act, KIOSK)
    shop.order()
    ask_back(run)
    act(BACK)
    now = shop.adapter().contents()
    dump = shop.backups / f"{run.id}.dump"
    dump.unlink() if fault == "gone" else dump.write_bytes(b"x")
    assert act(RESTORE).outcome is Outcome.FAIL
    assert shop.adapter().contents() == now


def test_a_restore_waits_for_the_way_back(shop: Shop, run: Run, act: Callable[[Item], Result]) -> None:
    migrated(shop, act, NOTES)
    ask_back(run)
    assert act(RESTORE).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("action", [Backup, Migrate, RollbackMigration, Restore])
def test_where_no_database_is_set_up_no_action_says_that_it_was_not_needed(world: World, action: Any) -> None:
    made = action(world.context(world.plan(approved=False))).steps()
    assert (made.outcome, made.summary) == (Outcome.INCONCLUSIVE, "no database is set up")


def test_a_database_that_does_not_answer_is_no_reason_to_skip(shop: Shop, team: World, run: Run) -> None:
    (team.home / "secrets" / "database").write_text(f"host={shop.home} dbname=shop")
    with pytest.raises(Unreachable) as caught:
        Migrate(team.context(run)).steps()
    assert could_not_look(MIGRATE.id, caught.value).evidence != Evidence()
