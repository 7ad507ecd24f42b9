"""What all tests share: a clean memory for secrets, and what happens where there is no browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from deploykit import redact

#: Set in CI: a browser test that would be skipped fails instead.
REQUIRE_BROWSER = "DEPLOYKIT_REQUIRE_BROWSER"


def _find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and _find_chromium() is None:
        reason = "no chromium, chromium-browser or google-chrome on PATH"
        if os.environ.get(REQUIRE_BROWSER) == "1":
            pytest.fail(f"{reason}, and {REQUIRE_BROWSER}=1", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser to drive; for tests marked `browser`."""
    path = _find_chromium()
    assert path, "mark the test with @pytest.mark.browser"
    return path


@pytest.fixture(autouse=True)
def _no_secrets_known() -> Iterator[None]:
    yield
    redact.forget()
