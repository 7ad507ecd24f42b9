"""What the port promises, held against PostgreSQL and against the fake that other tests rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from deploykit.errors import Rejected, Unreachable
from deploykit.ports.database import Database
from tests.database.shop import COMMIT, INDEX, Shop
from tests.world import FakeDatabase, Fault, World


@pytest.fixture(params=["postgres", "fake"])
def database(request: pytest.FixtureRequest) -> Database:
    """Production at revision 0001, and a release that brings 0002."""
    if request.param == "fake":
        return FakeDatabase(request.getfixturevalue("world"))
    shop: Shop = request.getfixturevalue("shop")
    return shop.adapter()


@pytest.fixture
def down(request: pytest.FixtureRequest, database: Database) -> Database:
    """The same, where nobody answers any more."""
    if isinstance(database, FakeDatabase):
        world: World = request.getfixturevalue("world")
        world.broken["database"] = Fault.DOWN
        return database
    shop: Shop = request.getfixturevalue("shop")
    return shop.adapter(conninfo=f"host={shop.home} dbname=shop user=postgres")


def test_a_release_brings_what_the_database_does_not_have(database: Database) -> None:
    brought = database.release("v2", COMMIT)
    assert (brought.since, brought.head, brought.commit) == ("0001", "0002", COMMIT)
    assert [(each.before, each.id) for each in brought.revisions] == [("0001", "0002")]
    assert brought.revisions[0].transactional
    assert database.release("v2", COMMIT, since="0002").revisions == ()


def test_up_and_down_lead_to_where_they_say(database: Database) -> None:
    (revision,), before = database.release("v2", COMMIT).revisions, database.contents()
    assert database.upgrade(revision).revision == "0002"
    assert database.revision() == "0002"
    assert database.contents() != before
    assert database.release("v2", COMMIT).revisions == ()
    database.downgrade(revision)
    assert database.contents() == before


def test_a_revision_is_not_applied_twice(database: Database) -> None:
    (revision,) = database.release("v2", COMMIT).revisions
    database.upgrade(revision)
    with pytest.raises(Rejected, match="the database is at 0002"):
        database.upgrade(revision)
    assert database.revision() == "0002"


def test_what_was_tried_out_did_not_happen(database: Database) -> None:
    before = database.contents()
    (applied,) = database.try_out(database.release("v2", COMMIT).revisions)
    assert applied.revision == "0002"
    assert applied.seconds >= 0
    assert database.contents() == before


def test_what_is_no_transaction_is_not_tried_out(database: Database) -> None:
    (revision,) = database.release("v2", COMMIT).revisions
    pieces = replace(revision, up=("BEGIN", "COMMIT", "SELECT 1", "BEGIN", *revision.up[1:]))
    with pytest.raises(Rejected, match="not all of it is one transaction"):
        database.try_out((pieces,))


def test_a_backup_holds_what_production_held(database: Database) -> None:
    assert database.backups() == ()
    made, now = database.back_up("first"), database.contents()
    assert made.contents == now
    assert [known.name for known in database.backups()] == ["first"]
    with database.scratch(made) as copy:
        assert copy.contents() == now


def test_the_name_of_a_backup_is_not_used_twice(database: Database) -> None:
    database.back_up("first")
    with pytest.raises(Rejected, match=r"first\.dump is there already"):
        database.back_up("first")


def test_what_happens_to_a_copy_does_not_happen_to_production(database: Database) -> None:
    (revision,), before = database.release("v2", COMMIT).revisions, database.contents()
    with database.scratch(database.back_up("first")) as copy:
        copy.upgrade(revision)
        assert copy.contents().revision == "0002"
        copy.downgrade(revision)
        assert copy.contents() == before
    assert database.contents() == before


def test_what_was_restored_is_production_and_the_old_one_is_kept(database: Database) -> None:
    backup = database.back_up("first")
    (revision,) = database.release("v2", COMMIT).revisions
    database.upgrade(revision)
    assert not database.restored("before_1")
    database.restore(backup, "before_1")
    assert database.restored("before_1")
    assert database.contents() == backup.contents


def test_statistics_grow(database: Database) -> None:
    before = database.statistics()
    database.contents()
    assert database.statistics().since == before.since
    assert all(each.calls > 0 and each.milliseconds >= 0 for each in database.statistics().statements)


def test_nobody_migrates(database: Database) -> None:
    assert database.migrating() is False


REVISION = FakeDatabase.REVISION
CALLS: dict[str, Callable[[Database], object]] = {
    "revision": lambda d: d.revision(),
    "migrating": lambda d: d.migrating(),
    "contents": lambda d: d.contents(),
    "release": lambda d: d.release("v2", COMMIT),
    "back_up": lambda d: d.back_up("first"),
    "statistics": lambda d: d.statistics(),
    "restored": lambda d: d.restored("before_1"),
    "upgrade": lambda d: d.upgrade(REVISION),
    "downgrade": lambda d: d.downgrade(REVISION),
    "try_out": lambda d: d.try_out((REVISION,)),
    "lint": lambda d: d.lint((REVISION,)),
}


@pytest.mark.parametrize("call", CALLS)
def test_where_nobody_answers_it_says_so(down: Database, call: str) -> None:
    with pytest.raises(Unreachable):
        CALLS[call](down)


def test_a_revision_outside_of_a_transaction_says_so(shop: Shop) -> None:
    shop.check_out(INDEX)
    (revision,) = shop.adapter().release("v2", COMMIT).revisions
    assert not revision.transactional
    assert shop.adapter().upgrade(revision).revision == "0002"
    assert shop.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_channel'::regclass") == [(True,)]
