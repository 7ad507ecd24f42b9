"""A rehearsal, as a person types it: it reads what is real, and changes nothing anywhere."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg
import pytest

from deploykit import settings as settings_module
from deploykit.checklist import checklist
from deploykit.errors import Exit
from deploykit.model import Kind, Outcome, now
from deploykit.providers import connect
from deploykit.sandbox.addresses import VENDORS
from tests.e2e.conftest import Project, until
from tests.e2e.test_no_secrets import found, secrets

pytestmark = pytest.mark.sandbox

#: Requests after which staging's stability is not inconclusive for want of traffic.
ENOUGH = 300
COLUMNS = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"


def changes(project: Project) -> dict[str, list[str]]:
    """Every changing operation that a stand-in saw."""
    return {name: [call.name for call in project.box.vendors.calls(name) if call.changing] for name in VENDORS}


def database(project: Project) -> tuple[object, ...]:
    """Which databases there are, and production's tables, columns and revision. Its rows go on changing: it is live."""
    asked = (COLUMNS, "SELECT datname FROM pg_database", "SELECT version_num FROM alembic_version")
    with psycopg.connect(project.box.addresses.postgres_dsn) as connection:
        return tuple(tuple(sorted(connection.execute(query).fetchall())) for query in asked)


def staging_is_known(project: Project) -> bool:
    """Whether staging has served enough to tell whether it is stable."""
    settings = settings_module.load(project.home / settings_module.FILE)
    query = settings.metrics.staged(settings.metrics.requests)
    metrics = connect(settings, settings.environment("production")).metrics
    asked = metrics.series(query, now() - timedelta(minutes=30), now(), name="staging", unit="requests")
    return asked.total >= ENOUGH


def test_a_rehearsal_looks_at_everything_and_changes_nothing(project: Project) -> None:
    until(lambda: staging_is_known(project), "staging's requests", 180)
    before, held, weights = changes(project), database(project), project.weights()
    backups = sorted(path.name for path in project.box.addresses.backups.iterdir())
    done = project.call("plan", "-e", "production", "-r", "v1.4.3", "--rehearse", "--json")
    assert done.returncode == Exit.DONE, done.stderr
    run = str(json.loads(done.stdout)["run"])
    ended = project.call("run", run)
    state = project.run(run).state()
    assert ended.returncode == Exit.DONE, ended.stderr
    assert changes(project) == before
    assert database(project) == held
    assert project.weights() == weights
    assert sorted(path.name for path in project.box.addresses.backups.iterdir()) == backups
    assert project.effects(run) == []
    outcomes = {name: settled.outcome for name, settled in state.items.items()}
    assert set(outcomes.values()) <= {Outcome.PASS, Outcome.LEFT_OUT, Outcome.NOT_NEEDED}
    actions = [item.id for item in checklist().item if item.kind is Kind.ACTION and item.when == "always"]
    assert {outcomes[name] for name in actions} == {Outcome.LEFT_OUT}
    known, home = secrets(project.home / "secrets"), project.home
    files = [path for part in ("reports", ".deploykit") for path in (home / part).rglob("*") if path.is_file()]
    assert {str(path): names for path in files if (names := found(path.read_bytes(), known))} == {}
