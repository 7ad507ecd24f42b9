"""A whole deployment in the sandbox, searched for every secret that it was given."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from deploykit.sandbox.addresses import VENDORS
from tests.e2e.conftest import Archived

pytestmark = pytest.mark.sandbox


def secrets(folder: Path) -> dict[str, str]:
    """What the project's references stand for, and the passwords in its addresses."""
    found = {path.name: path.read_text().strip() for path in sorted(folder.iterdir())}
    passwords = {f"{name}, password": urlsplit(value).password or "" for name, value in found.items() if "://" in value}
    return {name: value for name, value in {**found, **passwords}.items() if value}


def forms(secret: str) -> Iterator[str]:
    """As it may stand somewhere: plain, escaped, hex, and base64 at its three alignments."""
    yield from (secret, quote(secret, safe=""), html.escape(secret), secret.encode().hex())
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        yield whole[4:-2]
        yield whole[4:-2].replace("+", "-").replace("/", "_")


def found(data: bytes, known: dict[str, str]) -> list[str]:
    """The names of the secrets in it; line breaks hide none."""
    text = data.decode("utf-8", "replace")
    bare = "".join(text.replace("\\n", "").split())
    return [name for name, secret in known.items() if any(form in text or form in bare for form in forms(secret))]


def test_no_secret_is_in_what_a_deployment_wrote_or_told_anybody(archived: Archived) -> None:
    home, box = archived.project.home, archived.project.box
    known = secrets(home / "secrets")
    assert len(known) >= 10
    places = [path for part in ("reports", ".deploykit") for path in (home / part).rglob("*") if path.is_file()]
    assert {path.suffix for path in places} >= {".ipynb", ".jsonl", ".json", ".html", ".toml", ".sqlite3"}
    assert {str(path): names for path in places if (names := found(path.read_bytes(), known))} == {}
    told = {name: "\n".join(call.detail for call in box.vendors.calls(name)).encode() for name in VENDORS}
    assert {name: names for name, said in told.items() if (names := found(said, known))} == {}
    assert found((home / "secrets" / "slack-token").read_bytes(), known) == ["slack-token"], "the search finds"
