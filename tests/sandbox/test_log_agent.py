"""What the shop writes is found at Datadog's stand-in: the agent ships it, and the index takes its time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploykit.providers._datadog import Datadog
from deploykit.providers.datadog_logs import DatadogLogs
from deploykit.sandbox import Sandbox
from deploykit.sandbox.vendors.agent import Agent


def test_whole_lines_are_shipped_once_and_in_order(tmp_path: Path) -> None:
    shipped: list[dict[str, Any]] = []
    file = tmp_path / "shop.jsonl"
    agent = Agent({file: {"service": "shop"}}, lambda lines: shipped.extend(map(dict, lines)))
    agent.look()
    file.write_bytes(b"one\ntwo\nthr")
    agent.look()
    assert [line["message"] for line in shipped] == ["one", "two"]
    with file.open("ab") as stream:
        stream.write(b"ee\n\n\xff\n")
    agent.look()
    agent.look()
    assert [line["message"] for line in shipped] == ["one", "two", "three", "�"]
    assert {line["service"] for line in shipped} == {"shop"}


@pytest.mark.sandbox
def test_a_request_through_the_router_is_found_in_the_logs(box: Sandbox, until: Any) -> None:
    a = box.addresses
    logs = DatadogLogs(Datadog(a.datadog_url, a.datadog_api_key, a.datadog_app_key))
    start = datetime.now(UTC) - timedelta(minutes=2)
    httpx.get(f"{a.service_url}/version?deploykit=dk5f3a9c0e", trust_env=False).raise_for_status()

    def found() -> Any:
        query = 'service:shop env:production colour:green "dk5f3a9c0e"'
        return logs.search(query, start, datetime.now(UTC) + timedelta(minutes=1), limit=5)

    (line,) = until(found)
    assert (line.service, line.status, line.message) == ("shop", "info", "GET /version?deploykit=dk5f3a9c0e 200")
    counted = until(lambda: logs.count("service:shop @status:200", start, datetime.now(UTC)))
    written = (a.folder / "shop-green.jsonl").read_text("utf-8").splitlines()
    assert counted > 0
    assert {"message", "path", "status"} <= json.loads(written[0]).keys()
