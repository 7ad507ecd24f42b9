"""The shop's own repository, as far as its database is concerned: Alembic's files, checked out for each release."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest.mock import patch

from deploykit.sandbox.releases import RELEASES, Release

SOURCE = Path(__file__).parent


def checkout_of(folder: Path, release: Release) -> Path:
    """Where the release is checked out: the path of its `alembic.ini`."""
    return folder / "checkouts" / release.tag / "alembic.ini"


def write_checkouts(folder: Path) -> None:
    """Checks every release out: the migrations that it has, and the commit that they are of."""
    for release in RELEASES:
        ini = checkout_of(folder, release)
        versions = ini.parent / "migrations" / "versions"
        shutil.rmtree(ini.parent, ignore_errors=True)
        versions.mkdir(parents=True)
        shutil.copy(SOURCE / "alembic.ini", ini)
        shutil.copy(SOURCE / "migrations" / "env.py", versions.parent)
        for revision in release.revisions:
            shutil.copy(SOURCE / "migrations" / "versions" / f"{revision}.py", versions)
        (ini.parent / "REVISION").write_text(release.commit + "\n")


def lay_schema(dsn: str, folder: Path, release: Release) -> None:
    """Brings a database to where a release needs it, with Alembic, as the team does."""
    from alembic import command  # noqa: PLC0415  # takes a while, and only the keeper needs it
    from alembic.config import Config  # noqa: PLC0415

    with patch.dict(os.environ, {"DATABASE_URL": dsn}):
        command.upgrade(Config(str(checkout_of(folder, release))), "head")
