from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploykit import redact
from deploykit.sandbox.authority import certify
from tests.providers import adapters
from tests.providers.adapters import TOKEN, Case
from tests.providers.faults import Faults, serving


@pytest.fixture(scope="session", autouse=True)
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chain and key of a server on loopback, for clients that speak TLS only."""
    authority, server = certify(tmp_path_factory.mktemp("authority"), "127.0.0.1")
    adapters.authority = authority
    return server


@pytest.fixture
def server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Faults]:
    """A server that speaks TLS where the test's case needs it, or its module says so by `TLS = True`."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    case = params.get("case")
    tls = case.tls if isinstance(case, Case) else getattr(request.module, "TLS", False)
    with serving(certificate if tls else None) as faults:
        if isinstance(case, Case):
            faults.always = dict(case.others)
        yield faults


@pytest.fixture(autouse=True)
def known_token() -> Iterator[None]:
    redact.learn(TOKEN)
    yield
    redact.forget()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits that were asked for, none of which is waited."""
    waits: list[float] = []
    monkeypatch.setattr("deploykit.providers._errors.sleep", waits.append)
    return waits
