"""Canaries from below: what the server, Alembic's env.py and PostgreSQL's programs say is kept without the secret."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest

from deploykit import redact
from deploykit.execution import run_check
from deploykit.model import Outcome
from tests.database.shop import NOTES, Shop
from tests.test_secrets import CANARY, EVERY_WAY, leaks, written
from tests.world import World, item

#: A beginning that is no secret, so that it is seen to have arrived, and the secret in every encoding.
SAID = "it said: " + " ".join(EVERY_WAY.values())


def the_server(shop: Shop, _team: World) -> str:
    """A statement that fails, and that PostgreSQL repeats in its error."""
    shop.dump()
    shop.check_out(replace(NOTES, up=[f"DO $x$ BEGIN RAISE EXCEPTION '%', $said${SAID}$said$; END $x$"]))
    return "database.rollback-prepared"


def env_py(shop: Shop, _team: World) -> str:
    """The team's own code, which prints and raises."""
    env = shop.checkout / "migrations" / "env.py"
    env.write_text(f"import sys\nprint({SAID!r}, file=sys.stderr)\nraise RuntimeError({SAID!r})\n")
    return "database.migrations-reviewed"


def env_py_at_its_end(shop: Shop, _team: World) -> str:
    """The same, ending without an answer."""
    env = shop.checkout / "migrations" / "env.py"
    env.write_text(f"import os, sys\nprint({SAID!r}, file=sys.stderr, flush=True)\nos._exit(3)\n")
    return "database.rollback-prepared"


def pg_restore(shop: Shop, team: World) -> str:
    """A program that fails, with what it was connected to in its error."""
    shop.dump()
    folder = team.home / "programs"
    folder.mkdir()
    (folder / "pg_restore").write_text(f"#!/bin/sh\nprintf %s {shlex.quote(SAID)} >&2\nexit 1\n")
    (folder / "pg_restore").chmod(0o755)
    team.edit(f'programs = "{shop.programs}"', f'programs = "{folder}"')
    return "database.backup-completed"


@pytest.mark.parametrize("source", [the_server, env_py, env_py_at_its_end, pg_restore])
def test_whatever_fails_below_leaves_no_secret(shop: Shop, team: World, source: Callable[[Shop, World], str]) -> None:
    redact.learn(CANARY)
    name = source(shop, team)
    run = team.plan(approved=False)
    result = run_check(run, team.context(run), item(name))
    assert result.outcome in {Outcome.FAIL, Outcome.ERROR}
    kept = written(run)
    assert any(b"it said: " in data for data in kept.values()), result.summary
    assert {place: found for place, data in kept.items() if (found := leaks(data))} == {}
