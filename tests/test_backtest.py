from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploykit import backtest
from deploykit.cli import cli
from deploykit.errors import UsageError
from deploykit.journal.events import Type
from tests.analysis.recorded import case, metric, steady
from tests.world import World

BAD = case(metric([101.0, *[400.0] * 9], steady(30))) | {"id": "bad"}
GOOD = case(metric(steady(10), steady(30))) | {"id": "<b>good</b>"}


def written(path: Path, *cases: object) -> Path:
    text = "\n".join([*(json.dumps(one) for one in cases), ""])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.jsonl.gz"])
def test_cases_go_in_and_verdicts_come_out(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(cli, ["backtest", str(written(tmp_path / name, BAD, GOOD))])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [(line["id"], line["verdict"]) for line in lines] == [("bad", "rollback"), ("<b>good</b>", "pass")]
    assert all(set(line) == {"id", "verdict", "decided_at", "reason"} for line in lines)
    assert done.stderr == "1 pass, 1 rollback\n"


def test_cases_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(cli, ["backtest", "-"], input=json.dumps(BAD) + "\n\n")
    assert json.loads(done.stdout)["verdict"] == "rollback"


def test_a_report_has_every_cases_pictures_and_needs_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["backtest", str(written(tmp_path / "c.jsonl", BAD, GOOD)), "--report", str(page)])
    text = page.read_text("utf-8")
    assert done.exit_code == 0
    assert text.count("<img") == text.count('src="data:image/png;base64,') == 4
    assert "&lt;b&gt;good&lt;/b&gt;" in text
    assert "<b>" not in text
    assert 'alt="Evidence that the candidate is worse: evidence from' in text


def test_a_line_that_is_no_case_is_named_after_those_before_it_were_judged(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{{}}\n", "utf-8")
    told: list[str] = []
    with pytest.raises(UsageError) as caught:
        backtest.run(backtest.read(path), lambda judged: told.append(judged.case.id))
    assert told == ["<b>good</b>"]
    assert caught.value.where == f"{path}, line 3"
    assert caught.value.what == "lacks 'metrics'"


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"{}" * 99)[:20]], ids=["none", "cut"])
def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cases.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read"):
        backtest.run(backtest.read(path), print)
    with pytest.raises(UsageError, match="cannot be read"):
        backtest.run(backtest.read(tmp_path / "none.jsonl"), print)


def test_an_empty_file_has_no_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert backtest.run(backtest.read(Path("-")), print) == {}
    assert backtest.run(backtest.read(written(tmp_path / "cases.jsonl")), print) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cases.jsonl", "--from-datadog", "--at", "2026-11-20T10:00:00Z"],
        ["cases.jsonl", "--at", "2026-11-20T10:00:00Z"],
        ["--from-datadog"],
        ["--from-datadog", "--at", "yesterday"],
        ["--from-datadog", "--at", "2026-11-20T10:00:00"],
        ["--from-datadog", "--at", "2026-11-20T10:00:00Z=red"],
        ["--from-datadog", "--at", "2026-11-20T10:00:00Z", "--after", "30"],
    ],
)
def test_what_is_to_be_judged_has_to_be_clear(arguments: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        CliRunner().invoke(cli, ["backtest", *arguments], catch_exceptions=False)
    assert caught.value.mend


def test_a_past_run_is_judged_from_its_first_traffic_on(world: World) -> None:
    run = world.plan()
    with pytest.raises(UsageError, match="never gave its candidate any traffic"):
        backtest.moment_of(run)
    for step in ("blue-green.deploy", "blue-green.traffic/10", "blue-green.traffic/50"):
        run.append(Type.STEP_HAPPENED, item=step.partition("/")[0], step=step)
    moment = backtest.moment_of(run)
    assert (moment.candidate, moment.name) == ("blue", run.id)
    assert datetime.fromtimestamp(moment.at, UTC).isoformat(timespec="milliseconds")[:23] == run.events()[-2].at[:23]
