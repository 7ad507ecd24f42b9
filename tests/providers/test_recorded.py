"""Every recorded answer of a vendor, given to every call of its adapter: it is read, or refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import CASES, END, START, Case, datadog, slack
from tests.providers.faults import Faults, Reply, refused

CONTRACTS = Path(__file__).parents[2].parent / "shared" / "contracts"
pytestmark = pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the shared contracts are not beside this checkout")


def recordings(vendor: str, beginning: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((CONTRACTS / vendor / "recorded").glob(f"{beginning}*.json")):
        yield path.stem, json.loads(path.read_text("utf-8"))["response"]


def replay(response: dict[str, Any]) -> Reply:
    body = response["body"]
    # Lengths and encodings are those of another transport.
    headers = {name: value for name, value in response["headers"].items() if name in {"retry-after", "content-type"}}
    return Reply(body.encode() if isinstance(body, str) else body, response["status"], headers)


RECORDED = [case for case in CASES if case.name.split(".")[0] in {"github", "datadog", "slack", "railway"}]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_every_recording_is_read_or_refused(case: Case, server: Faults, slept: list[float]) -> None:
    vendor = case.name.split(".")[0]
    call = case.at(server.url)
    seen = 0
    for name, response in recordings(vendor if vendor != "railway" else "github"):
        seen += 1
        server.reply(replay(response))
        error = refused(call)
        doubtful = case.changes or response["status"] in {403, 429, 503}
        assert error is None or (error.what and error.mend), name
        assert doubtful or not isinstance(error, Unreachable), name
    assert seen > 10


def test_recorded_series_are_read_whole(server: Faults) -> None:
    metrics = datadog(server.url, 2)
    seen = 0
    for name, response in recordings("datadog", "query.200"):
        seen += 1
        server.reply(replay(response))
        found = metrics.series("q", START, END, name="n", unit="count")
        expected = [point for one in response["body"]["series"] for point in one["pointlist"]]
        assert [(at * 1000, value) for at, value in found.points] == [tuple(point) for point in expected], name
    assert seen


def test_recorded_refusals_of_slack_keep_their_word(server: Faults) -> None:
    chat = slack(server.url, 2)
    for name, response in recordings("slack", "example."):
        if response["body"].get("ok") is False:
            server.reply(replay(response))
            with pytest.raises(Rejected, match=response["body"]["error"]):
                chat.post("C0123456789", name, run="r", kind="k")
