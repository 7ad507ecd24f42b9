"""The command line, as somebody types it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploykit import cli
from tests.world import World


@pytest.fixture
def call(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Types a command as `main` does, in this process."""

    def typed(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["deploykit", "--settings", str(world.settings_file), *words])
        typist = CliRunner()
        with typist.isolation() as (out, err, _):
            code: Any = 0
            try:
                cli.main()
            except SystemExit as end:
                code = end.code
            return Result(typist, out.getvalue(), err.getvalue(), out.getvalue(), None, code or 0, None)

    return typed
