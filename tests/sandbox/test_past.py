"""The metrics' stand-in as the product asks it: every query tried, and past deployments judged again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploykit import measure, settings
from deploykit.cli import cli
from deploykit.errors import UsageError
from deploykit.providers import connect
from deploykit.sandbox import Sandbox
from deploykit.sandbox.project import write_project
from deploykit.sandbox.releases import find_release
from deploykit.settings import Settings

pytestmark = pytest.mark.sandbox
REQUESTS = "sum:shop.requests{colour:blue}.as_count().rollup(sum, 1)"


@pytest.fixture(scope="module")
def file(box: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("team"), box.addresses)


@pytest.fixture(autouse=True)
def measured(query: Callable[[str], Any], until: Callable[..., Any]) -> None:
    """The shop is measured in every way: its requests at once, the process a second or two later."""
    for metric in ("shop.memory.rss", "shop.cpu.percent", "shop.db.query.time"):
        until(partial(query, f"avg:{metric}{{env:production,colour:green}}.rollup(avg, 1)"))


def probe(found: Settings) -> tuple[str, ...]:
    ports = connect(found, found.environment("production"))
    return measure.probe(ports.metrics, found.metrics, "green", serving=True)


def test_the_projects_own_queries_are_fine(file: Path) -> None:
    notes = probe(settings.load(file))
    assert all(note.startswith(("metrics.errors: ", "metrics.slow: ")) for note in notes)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("errors", "sum:shop.errros{colour:$colour}.as_count()", "no metric shop.errros was ever reported"),
        ("requests", "sum:shop.requests{color:$colour}.as_count()", "no points of green in the last hour, though it"),
        ("p95", "p95:shop.latency{colour:$colour", "Error parsing query"),
        ("p95", "avg:shop.memory.rss{colour:$colour}", "is in bytes, not in ms"),
    ],
)
def test_a_query_that_cannot_be_right_is_found_over_the_wire(file: Path, key: str, text: str, said: str) -> None:
    known = settings.load(file)
    wrong = known.model_copy(update={"metrics": known.metrics.model_copy(update={key: text})})
    with pytest.raises(UsageError) as caught:
        probe(wrong)
    assert f"metrics.{key}: " in caught.value.what
    assert said in caught.value.what


def test_a_past_deployment_is_judged_again_from_the_metrics_alone(  # noqa: PLR0917 - fixtures
    file: Path,
    tmp_path: Path,
    query: Callable[[str], dict[str, dict[int, float]]],
    deploy: Callable[[str], str],
    settle: Callable[[str], str],
    split: Callable[[int], None],
    until: Callable[..., Any],
) -> None:
    release = find_release("v1.6.0")
    assert release
    assert settle(deploy(release.commit)) == "SUCCESS"
    began = time.time()
    split(50)
    until(lambda: sum(sum(v for at, v in p.items() if at >= began) for p in query(REQUESTS).values()) > 300)
    split(0)
    at = datetime.fromtimestamp(began, UTC).isoformat()
    kept = tmp_path / "cases.jsonl"
    asked = ["--settings", str(file), "backtest", "--from-datadog", "--at", at, "--before", "5m", "--after", "20s"]
    done = CliRunner().invoke(cli, [*asked, "--keep", str(kept)], catch_exceptions=False)
    verdict = json.loads(done.stdout)
    assert verdict["verdict"] == "rollback", verdict
    assert verdict["id"].endswith("blue")
    assert "errors" in verdict["reason"]
    # The cases that were kept are judged alike without the metrics.
    again = CliRunner().invoke(cli, ["backtest", str(kept)], catch_exceptions=False)
    assert json.loads(again.stdout) == verdict
    quiet = datetime.fromtimestamp(began - 3600, UTC).isoformat()
    with pytest.raises(UsageError, match="no requests are known"):
        CliRunner().invoke(cli, [*asked[:5], quiet], catch_exceptions=False)
