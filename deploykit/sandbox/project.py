"""A team's repository for the sandbox: settings that point at it, secrets in files, keys made on the spot."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from deploykit.sandbox.addresses import Addresses
from deploykit.sandbox.errors import SandboxError

#: Principals that end so are made for a demo, and are accepted nowhere but in a sandbox.
DOMAIN = "sandbox.invalid"
OPERATOR, APPROVER = f"olga@{DOMAIN}", f"anna@{DOMAIN}"

_SETTINGS = """\
# Settings of the sandbox. A team's own file looks the same, with its own addresses and env: references.
runbooks = "{runbooks}"
archive = "{archive}"

[service]
name = "shop"

[environments.production]
url = "{a.service_url}"
timezone = "Europe/Berlin"
sandbox = true
smoke_tests = "smoke_test.py"
smoke = [
  {{ path = "/products", contains = "name" }},
  {{ path = "/products/1" }},
  {{ path = "/nothing-here", status = 404 }},
]

[environments.production.health]
contains = '"status":"ok"'

[environments.production.variables]
required = ["LOG_LEVEL", "SHOP_CURRENCY"]
expected = {{ DATABASE_URL = "file:secrets/database-url", SESSION_KEY = "file:secrets/session-key" }}

[environments.production.tls]
hosts = [{{ name = "{a.tls_host}", address = "127.0.0.1", port = {tls_port} }}]
ca = "{a.ca_file}"

[environments.production.rate_limit]
path = "/products/1"
burst = 60
headers = {{ x-client-key = "deploykit" }}

[environments.production.cors]
path = "/orders"
method = "POST"
headers = ["content-type"]
allowed = ["{a.origin}"]

[environments.production.staging]
url = "{a.staging_url}"

[environments.production.colours.green]
url = "{a.green_url}"
platform_service = "{a.railway_green_id}"

[environments.production.colours.blue]
url = "{a.blue_url}"
platform_service = "{a.railway_blue_id}"

[environments.production.router]
url = "{a.envoy_admin_url}"
late = "500ms"

[environments.production.platform]
url = "{a.railway_url}"
project = "{a.railway_project_id}"
environment = "{a.railway_environment_id}"
token = "file:secrets/railway-token"
deploy_timeout = "60s"

[environments.production.database]
url = "file:secrets/database-url"
scratch = "file:secrets/scratch-url"
alembic = "{a.checkouts}/$release/alembic.ini"
backups = "{a.backups}"
programs = "{a.postgres_bin}"

[github]
url = "{a.github_url}"
repository = "{a.github_owner}/{a.github_repository}"
token = "file:secrets/github-token"

[metrics]
url = "{a.datadog_url}"
api_key = "file:secrets/datadog-api-key"
app_key = "file:secrets/datadog-app-key"
requests = "sum:shop.requests{{env:production,colour:$colour}}.as_count().rollup(sum, 1)"
errors = "sum:shop.errors{{env:production,colour:$colour}}.as_count().rollup(sum, 1)"
slow = "count(v: v>500):shop.latency{{env:production,colour:$colour}}.as_count().rollup(sum, 1)"
p50 = "p50:shop.latency{{env:production,colour:$colour}}.rollup(max, 1)"
p95 = "p95:shop.latency{{env:production,colour:$colour}}.rollup(max, 1)"
p99 = "p99:shop.latency{{env:production,colour:$colour}}.rollup(max, 1)"
cpu = "avg:shop.cpu.percent{{env:production,colour:$colour}}.rollup(avg, 1)"
memory = "avg:shop.memory.rss{{env:production,colour:$colour}}.rollup(avg, 1)"
query_time = "avg:shop.db.query.time{{env:production,colour:$colour}}.rollup(avg, 1)"
staging = {{ "env:production,colour:$colour" = "env:staging" }}
delay = "2s"

[logs]
query = "service:shop env:production"
path = "/version?deploykit=$marker"
within = "20s"

[monitoring]
tags = ["service:shop", "env:production"]
required = ["alert:errors", "alert:latency", "alert:memory", "alert:logs"]

[limits]
error_rate = {pace.error_rate:g}
latency = "500ms"

[chat]
url = "{a.slack_url}"
token = "file:secrets/slack-token"
deployments = "deployments"
support = ["support"]

[errors]
url = "{a.sentry_url}"
organization = "{a.sentry_organization}"
project = "{a.sentry_project}"
token = "file:secrets/sentry-token"
environment = "production"

[pager]
url = "{a.pagerduty_url}"
token = "file:secrets/pagerduty-token"
from = "{a.pagerduty_from}"
escalation_policy = "{a.pagerduty_policy}"
service = "{a.pagerduty_service}"
ca = "{a.ca_file}"

[flags]
url = "{a.unleash_url}"
token = "file:secrets/unleash-token"
environment = "production"

[[contacts.product]]
name = "Paula"
slack = "@paula"
hours = "08:00-18:00"
days = ["mon", "tue", "wed", "thu", "fri"]
timezone = "Europe/Berlin"

[[contacts.product]]
name = "Head of product"
phone = "+49 30 0000000"
timezone = "Europe/Berlin"

# The runbook's own times, {pace.scale:g} times as fast: a minute lasts {minute:.1f} seconds. Every record says so.
[shift]
time_scale = {pace.scale:g}
steps = [
  {{ percent = 10, seconds = {step:g}, requests = {few} }},
  {{ percent = 50, seconds = {step:g}, requests = {more} }},
  {{ percent = 100, seconds = {step:g}, requests = {many} }},
]
watch = "{watch:g}s"
hold_limit = "{hold:g}s"
guard = "{pace.guard:g}s"

# A demo may be played on any day.
[rules]
quiet_days = []
window = "{window:g}s"

[people.olga]
principal = "{operator}"
github = "olga"
pagerduty = "PDEPLOY"
roles = ["operator"]

[people.anna]
principal = "{approver}"
github = "anna"
roles = ["approver"]

[signing]
allowed_signers = "allowed_signers"
key = "keys/olga"
operator = "{operator}"
"""

_SMOKE = '''\
"""What the team tries on a release before anybody else sees it."""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

SHOP = os.environ["DEPLOYKIT_URL"]


def test_a_product_has_a_price():
    with urlopen(f"{SHOP}/products/7") as answer:
        assert json.load(answer)["price_cents"] == 700


def test_an_order_for_nothing_is_refused():
    order = json.dumps({"product_id": 999, "quantity": 1}).encode()
    with pytest.raises(HTTPError, match="404"):
        urlopen(Request(f"{SHOP}/orders", order, {"content-type": "application/json"}))
'''


@dataclass(frozen=True)
class Pace:
    """How fast the runbook passes, in seconds of this machine.

    Attributes:
        scale: How many times faster than in production; each time below is written into the settings that much longer.
        step: What a traffic step lasts.
        watch: What the watch after it lasts.
        hold: For how long a hold is borne.
        window: How long it may take from the first change of production to all traffic.
        guard: When a silent run is given up.
        requests: What the candidate must have served in the first step; three and five times as many in the next two.
        error_rate: The limit that the success items prove; the smaller, the more requests the proof takes.
    """

    scale: float = 60.0
    step: float = 10.0
    watch: float = 30.0
    hold: float = 15.0
    window: float = 60.0
    guard: float = 10.0
    requests: int = 100
    error_rate: float = 0.001


def write_project(
    home: Path,
    addresses: Addresses,
    *,
    archive: str = "reports",
    runbooks: str = "runbooks",
    pace: Pace = Pace(),
) -> Path:
    """Write the settings, the secrets and the keys of two made-up people.

    Args:
        home: Folder of the settings file, made when it is not there.
        addresses: Where the sandbox's parts are.
        archive: Where runs are archived, relative to the settings.
        runbooks: Where the notebooks are, relative to the settings.
        pace: How fast the runbook passes.

    Returns:
        The settings file.

    Raises:
        SandboxError: `ssh-keygen` is missing.
    """
    home.mkdir(parents=True, exist_ok=True)
    for name in ("railway", "github", "slack", "sentry", "pagerduty", "unleash"):
        _write_private(home / "secrets" / f"{name}-token", getattr(addresses, f"{name}_token") + "\n")
    for name in ("api", "app"):
        _write_private(home / "secrets" / f"datadog-{name}-key", getattr(addresses, f"datadog_{name}_key") + "\n")
    _write_private(home / "secrets" / "database-url", addresses.postgres_dsn + "\n")
    _write_private(home / "secrets" / "session-key", addresses.session_key + "\n")
    (home / "smoke_test.py").write_text(_SMOKE)
    scratch = make_conninfo(addresses.postgres_dsn, dbname="postgres")
    _write_private(home / "secrets" / "scratch-url", scratch + "\n")
    signers = [_key(home / "keys" / name, principal) for name, principal in (("olga", OPERATOR), ("anna", APPROVER))]
    (home / "allowed_signers").write_text("".join(signers))
    file = home / "deploykit.toml"
    file.write_text(_settings(addresses, archive, runbooks, pace))
    return file


def _settings(addresses: Addresses, archive: str, runbooks: str, pace: Pace) -> str:
    return _SETTINGS.format(
        a=addresses,
        tls_port=addresses.ports["tls"],
        archive=archive,
        runbooks=runbooks,
        pace=pace,
        minute=60 / pace.scale,
        step=pace.step * pace.scale,
        watch=pace.watch * pace.scale,
        hold=pace.hold * pace.scale,
        window=pace.window * pace.scale,
        few=pace.requests,
        more=3 * pace.requests,
        many=5 * pace.requests,
        operator=OPERATOR,
        approver=APPROVER,
    )


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(text)


def _key(path: Path, principal: str) -> str:
    """Make an SSH key, and return its line for `allowed_signers`."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise SandboxError("ssh-keygen is missing", "PATH", "install OpenSSH (Debian: apt install openssh-client)")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    command = [program, "-q", "-t", "ed25519", "-N", "", "-C", f"{principal} (demo)", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    public = path.with_suffix(".pub").read_text().split()
    return f'{principal} namespaces="deploykit-*" {public[0]} {public[1]}\n'
