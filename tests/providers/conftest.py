from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploykit import redact
from tests.providers.adapters import TOKEN, Case
from tests.providers.faults import Faults, serving


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Faults]:
    with serving() as faults:
        callspec = getattr(request.node, "callspec", None)
        if callspec is not None and isinstance(callspec.params.get("case"), Case):
            faults.always = dict(callspec.params["case"].others)
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
