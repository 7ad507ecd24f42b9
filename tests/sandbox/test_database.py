"""The shop's database: as the live release needs it, with checkouts of every release and last night's backup."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from deploykit import settings
from deploykit.providers import connect
from deploykit.sandbox import Sandbox
from deploykit.sandbox.project import write_project
from deploykit.sandbox.releases import IDLE, LIVE, RELEASES, find_release

pytestmark = pytest.mark.sandbox


def test_production_is_where_the_live_release_needs_it(box: Sandbox) -> None:
    live, idle = find_release(LIVE), find_release(IDLE)
    assert live
    assert idle
    with psycopg.connect(box.addresses.postgres_dsn) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (live.revisions[-1],)
    assert idle.revisions == live.revisions


def test_last_nights_backup_is_there_and_is_one(box: Sandbox) -> None:
    (backup,) = box.addresses.backups.iterdir()
    assert time.time() - backup.stat().st_mtime < 86_400
    program = str(box.addresses.postgres_bin / "pg_restore")
    said = subprocess.run([program, "--list", str(backup)], check=True, capture_output=True, text=True).stdout
    assert "TABLE DATA public products" in said


def test_the_adapter_reads_it_by_the_settings_of_the_project(box: Sandbox, tmp_path: Path) -> None:
    known = settings.load(write_project(tmp_path, box.addresses))
    database = connect(known, known.environment("production")).database
    assert [backup.name for backup in database.backups()] == ["nightly"]
    head = next(release for release in RELEASES if release.tag == "v1.9.0")
    found = database.release(head.tag, head.commit)
    assert (found.since, found.head, found.commit) == ("0001", head.revisions[-1], head.commit)
    assert tuple(each.id for each in found.revisions) == head.revisions[1:]
    assert all(each.transactional and not each.no_way_back for each in found.revisions)
    with database.scratch(database.backups()[0]) as copy:
        for revision in found.revisions:
            copy.upgrade(revision)


def test_the_statistics_count_what_users_ask(box: Sandbox, tmp_path: Path) -> None:
    known = settings.load(write_project(tmp_path, box.addresses))
    statements = connect(known, known.environment("production")).database.statistics().statements
    assert any("FROM products" in each.query for each in statements)


def test_every_release_is_checked_out_at_its_commit_with_the_migrations_that_it_has(box: Sandbox) -> None:
    for release in RELEASES:
        folder = box.addresses.checkouts / release.tag
        versions = {path.stem for path in (folder / "migrations" / "versions").glob("*.py")}
        assert (versions, (folder / "REVISION").read_text().strip()) == (set(release.revisions), release.commit)
