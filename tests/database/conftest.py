"""One real server for all tests here; every test has a database of its own on it, copied from a template."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from deploykit import providers
from deploykit.context import Context
from deploykit.providers.postgres import releases
from deploykit.sandbox import postgres
from deploykit.sandbox import shop as sandbox_shop
from deploykit.sandbox.releases import LIVE, find_release
from tests.database.shop import NOTES, ORDERS, Shop, Wire, remembering
from tests.world import World

_numbers = itertools.count()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a shop's database with a few orders, to be copied."""
    logs = tmp_path_factory.mktemp("postgres")
    live = find_release(LIVE)
    assert live
    with postgres.own_server(logs) as (_, dsn):
        sandbox_shop.write_checkouts(logs)
        sandbox_shop.lay_schema(dsn, logs, live)
        with psycopg.connect(dsn) as connection:
            connection.execute("TRUNCATE orders RESTART IDENTITY")
            connection.execute(
                "INSERT INTO orders (product_id, quantity) SELECT n, n FROM generate_series(1, %s) n", (ORDERS,)
            )
        yield dsn


@pytest.fixture(scope="session", autouse=True)
def _alembic_is_asked_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases, "read", remembering(releases.read))
        yield


@pytest.fixture
def shop(template: str, tmp_path: Path) -> Iterator[Shop]:
    """Production, with the release v2 checked out, which adds a column."""
    server, name = make_conninfo(template, dbname="postgres"), f"shop_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE shop STRATEGY file_copy").format(sql.Identifier(name)))
    made = Shop(make_conninfo(template, dbname=name), server, tmp_path)
    made.backups.mkdir()
    made.check_out(NOTES)
    yield made
    with psycopg.connect(server, autocommit=True) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'deploykit_scratch_%'").fetchall()
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    assert left == [], "a scratch database was left behind"


@pytest.fixture
def wire(shop: Shop) -> Iterator[Wire]:
    """A way to production that breaks when it is told to."""
    with tempfile.TemporaryDirectory(prefix="dk-") as folder:
        made = Wire(Path(folder), shop.dsn)
        yield made
        made.close()


@pytest.fixture
def team(world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, with a real database in it."""
    monkeypatch.setitem(providers.ADAPTERS, "database", {"postgres": "deploykit.providers.postgres"})
    section = f"""
[environments.production.database]
url = "file:secrets/database"
scratch = "file:secrets/scratch"
alembic = "{shop.home}/checkouts/$release/alembic.ini"
backups = "{shop.backups}"
programs = "{shop.programs}"
lock_timeout = "200ms"
retries = 2
retry_after = "50ms"

[github]"""
    world.edit("\n[github]", section)
    (world.home / "secrets").mkdir()
    (world.home / "secrets" / "database").write_text(shop.dsn)
    (world.home / "secrets" / "scratch").write_text(shop.server)
    return world


@pytest.fixture
def context(team: World) -> Context:
    """What a check of a run is given; its flags are those of the test."""
    team.flags = {"shop.codes": False, "shop.on": True}
    return team.context(team.plan(approved=False))
