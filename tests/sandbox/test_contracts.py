"""The stand-ins' answers fit the vendors' official schemas."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploykit.sandbox import Sandbox

pytestmark = pytest.mark.sandbox
CHECK = Path(__file__).parents[2].parent / "shared" / "contracts" / "check_stand_in.py"


@pytest.mark.skipif(not CHECK.exists(), reason="the official schemas do not lie beside this checkout")
@pytest.mark.parametrize(
    ("vendor", "operations", "passed"),
    [
        ("datadog", [], 16),
        ("github", [], 22),
        ("slack", [], 9),
        ("railway", [], 11),
        ("unleash", [], 4),
    ],
)
def test_every_operation_offered_fits_the_schema(box: Sandbox, vendor: str, operations: list[str], passed: int) -> None:
    a = box.addresses
    headers = {
        "github": [f"authorization: Bearer {a.github_token}"],
        "datadog": [f"dd-api-key: {a.datadog_api_key}", f"dd-application-key: {a.datadog_app_key}"],
        "slack": [f"authorization: Bearer {a.slack_token}"],
        "railway": [f"authorization: Bearer {a.railway_token}"],
        "unleash": [f"authorization: {a.unleash_token}"],
    }[vendor]
    known = {"projectId": a.railway_project_id, "serviceId": a.railway_blue_id, "owner": "acme", "repo": "shop"}
    options = [part for header in headers for part in ("--header", header)]
    options += [part for name, value in known.items() for part in ("--set", f"{name}={value}")]
    options += [part for operation in operations for part in ("--only", operation)]
    options += ["--no-undocumented"] if vendor == "github" else []
    command = [sys.executable, str(CHECK), vendor, f"http://127.0.0.1:{a.ports[vendor]}", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"{passed} passed, 0 failed"], done.stdout + done.stderr


#: Operations whose real answers have keys that the official schema does not name; the others must have none.
OPEN = {
    "datadog": {"query", "query.timeseries", "query.scalar", "notebooks.create"},
    "slack": {"chat.postMessage", "chat.update", "conversations.history", "conversations.replies"},
}
EVERY = {
    "datadog": {
        "validate", "monitor.list", "monitor.search", "monitor.get", "slo.get", "slo.history", "downtime.list",
        "events.create-v1", "events.create-v2", "logs.search", "logs.aggregate", "dora.deployment",
    },
    "slack": {"auth.test", "conversations.list", "reactions.add", "pins.add", "users.info"},
}  # fmt: skip


@pytest.mark.skipif(not CHECK.exists(), reason="the official schemas do not lie beside this checkout")
@pytest.mark.parametrize("vendor", ["datadog", "slack"])
def test_no_key_is_made_up_where_the_schema_is_whole(box: Sandbox, vendor: str) -> None:
    a = box.addresses
    headers = {
        "datadog": [f"dd-api-key: {a.datadog_api_key}", f"dd-application-key: {a.datadog_app_key}"],
        "slack": [f"authorization: Bearer {a.slack_token}"],
    }[vendor]
    options = [part for header in headers for part in ("--header", header)]
    command = [sys.executable, str(CHECK), vendor, f"http://127.0.0.1:{a.ports[vendor]}", "--no-undocumented", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    good = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")}
    bad = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("bad")}
    assert EVERY[vendor] <= good, done.stdout + done.stderr
    assert bad <= OPEN[vendor], done.stdout
