from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploykit import redact
from deploykit.context import Ports
from deploykit.errors import UsageError
from deploykit.providers import ADAPTERS, EXTRAS, Connections, connect
from deploykit.settings import Settings

KEYS = ("RAILWAY", "DATADOG_API", "DATADOG_APP", "GITHUB", "SLACK", "SENTRY", "PAGERDUTY", "UNLEASH")


def settings() -> Settings:
    colours = {
        colour: {"url": f"http://{colour}.example", "platform_service": f"shop-{colour}"}
        for colour in ("blue", "green")
    }
    environment = {
        "url": "http://shop.example",
        "colours": colours,
        "router": {"url": "http://127.0.0.1:1"},
        "platform": {"project": "p", "environment": "e", "token": "env:RAILWAY"},
        "database": {"url": "env:DATABASE_URL", "scratch": "env:DATABASE_URL", "alembic": "alembic.ini"},
    }
    queries = dict.fromkeys(("requests", "errors", "slow", "p95"), "q")
    return Settings.model_validate(
        {
            "service": {"name": "shop"},
            "environments": {"production": environment},
            "github": {"repository": "acme/shop", "token": "env:GITHUB"},
            "metrics": {"api_key": "env:DATADOG_API", "app_key": "env:DATADOG_APP", **queries},
            "chat": {"token": "env:SLACK"},
            "errors": {"organization": "acme", "project": "shop", "token": "env:SENTRY"},
            "pager": {"token": "env:PAGERDUTY", "from": "d@example.com", "escalation_policy": "P", "service": "S"},
            "flags": {"url": "https://flags.example", "token": "env:UNLEASH"},
            "signing": {"allowed_signers": "allowed_signers"},
        }
    )


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    for key in KEYS:
        monkeypatch.setenv(key, f"secret-of-{key}")
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop:secret-of-DATABASE@db.example/shop")
    known = settings()
    return connect(known, known.environment("production"))


def test_every_port_is_connected_once_and_its_secret_is_known(connections: Connections) -> None:
    ports: Ports = connections
    for name in ADAPTERS:
        assert getattr(ports, name) is getattr(ports, name)
    for key in (*KEYS, "DATABASE"):
        assert redact.text(f"a secret-of-{key} b") == f"a {redact.MASK} b"


def test_a_missing_client_names_its_extra(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = {"chat": "slack_sdk", "metrics": "datadog_api_client", "repository": "github", "pager": "pagerduty"}
    for port, module in clients.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match="not installed") as caught:
            getattr(connections, port)
        (name,) = ADAPTERS[port]
        assert f"pip install 'deploykit-runbooks[{name}]'" in caught.value.mend


def test_a_missing_secret_is_found_when_its_port_is_used(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK")
    assert connections.router is not None
    with pytest.raises(UsageError, match="env:SLACK"):
        _ = connections.chat


def test_extras_are_in_the_project() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    for extra in EXTRAS:
        assert f"\n{extra} = [" in text


def test_connecting_imports_no_client() -> None:
    code = (
        "import sys, deploykit.providers;"
        "clients = 'httpx', 'gql', 'github', 'slack_sdk', 'datadog_api_client', 'pagerduty';"
        "print([m for m in clients if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_adapter_that_is_not_there_names_those_that_are(connections: Connections) -> None:
    with pytest.raises(UsageError, match="no chat is called 'carrier-pigeon'") as caught:
        connections._adapter("chat", "carrier-pigeon")
    assert "slack" in caught.value.mend


@pytest.mark.parametrize("port", ["errors", "pager", "flags"])
def test_a_section_that_was_left_out_is_named_where_it_is_used(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    known = settings().model_copy(update={port: None})
    with pytest.raises(UsageError, match=rf"no \[{port}\]") as caught:
        getattr(connect(known, known.environment("production")), port)
    assert f"[{port}]" in caught.value.mend


def test_a_file_that_holds_no_authority_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGERDUTY", "secret-of-PAGERDUTY")
    (tmp_path / "ca.pem").write_text("no certificate")
    known = settings()
    assert known.pager is not None
    for name in ("ca.pem", "not-there.pem"):
        pager = known.pager.model_copy(update={"ca": Path(name)})
        changed = known.model_copy(update={"pager": pager, "home": tmp_path})
        with pytest.raises(UsageError, match="holds no certificate"):
            _ = connect(changed, changed.environment("production")).pager
