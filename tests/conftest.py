"""What all tests share: a clean memory for secrets, and what happens where there is no browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploykit import redact

if TYPE_CHECKING:
    from tests.standins import StandIns
    from tests.world import World

pytest.register_assert_rewrite("tests.kills.matrix", "tests.kills.kernels", "tests.world")

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


@pytest.fixture(scope="session")
def team_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings, keys and allowed signers to copy."""
    from tests.world import make_team  # noqa: PLC0415 - only for the tests that use it

    home = tmp_path_factory.mktemp("team")
    make_team(home)
    return home


@pytest.fixture
def world(team_folder: Path, tmp_path: Path) -> Iterator[World]:
    """Every outside system as a fake, and a team to plan runs in it."""
    from tests.world import made  # noqa: PLC0415 - only for the tests that use it

    with made(team_folder, tmp_path / "team") as fresh:
        yield fresh


@pytest.fixture(scope="session")
def _stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    from tests.standins import standing_in  # noqa: PLC0415 - only for the tests that use it

    with standing_in(tmp_path_factory.mktemp("stand-ins")) as running:
        yield running


@pytest.fixture
def stand_ins(_stand_ins: StandIns) -> StandIns:
    """The vendors' stand-ins, as at the start."""
    _stand_ins.reset()
    return _stand_ins
