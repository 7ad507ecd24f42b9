"""Canaries: secrets that come in by every way in, looked for in everything that is written."""

from __future__ import annotations

import base64
import json
import logging
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from deploykit import checklist as checklist_module
from deploykit import redact, report, templates
from deploykit.context import Context
from deploykit.errors import Rejected, Unreachable, UsageError
from deploykit.execution import run_check
from deploykit.model import Evidence, Outcome, Result, Series, Table
from deploykit.run import Run
from tests.world import World, item

CANARY = "c4nary/Zm9v+bar=baz&7Qx9"
ENCODED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda s: quote(s, safe=""),
    "base64": lambda s: base64.b64encode(b"u:" + s.encode()).decode(),
    "base64 for urls": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "json": lambda s: json.dumps({"token": s}),
    "json in json": lambda s: json.dumps(json.dumps({"token": s})),
    "hex": lambda s: s.encode().hex(),
    "over lines": lambda s: "\n".join(textwrap.wrap(s, 9)),
    "base64 over lines": lambda s: base64.encodebytes((s * 4).encode()).decode(),
    "hex over lines": lambda s: "\n".join(textwrap.wrap(s.encode().hex(), 16)),
}
EVERY_WAY = {name: encode(CANARY) for name, encode in ENCODED.items()}


def decoded(text: str) -> Iterator[str]:
    """A text as it is, without breaks, and what stands in it in base64 and hex."""
    yield text
    bare = "".join(text.replace("\\n", "").split())
    yield bare
    yield from (bare.replace(old, new) for old, new in (("%2F", "/"), ("\\/", "/")))


def leaks(data: bytes) -> list[str]:
    """In which encodings the canary stands there, by a search of its own and not by the redactor's."""
    core = CANARY[3:-3]
    text = data.decode("utf-8", "replace")
    needles = {"plain": core, "url": quote(core, safe=""), "hex": core.encode().hex()}
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + core.encode()).decode().rstrip("=")
        needles[f"base64 {shift}"] = whole[4:-2]
        needles[f"base64 for urls {shift}"] = whole[4:-2].replace("+", "-").replace("/", "_")
    return [name for name, needle in needles.items() if any(needle in one for one in decoded(text))]


def test_the_search_finds_the_canary_in_every_encoding() -> None:
    missed = [name for name, text in EVERY_WAY.items() if not leaks(text.encode())]
    assert missed == []


@pytest.mark.parametrize("way", EVERY_WAY)
def test_the_redactor_masks_it_in_every_encoding(way: str) -> None:
    redact.learn(CANARY)
    assert leaks(redact.text(f"before {EVERY_WAY[way]} after").encode()) == []
    assert leaks(redact.visible(f"before {EVERY_WAY[way]} after").encode()) == []


# --- the way in by the settings


def test_a_secret_written_into_the_settings_is_refused_and_not_repeated(world: World) -> None:
    world.edit('"env:GITHUB_TOKEN"', json.dumps(CANARY))
    with pytest.raises(UsageError) as caught:
        world.settings()
    assert "github.token: a secret is a reference" in str(caught.value)
    assert leaks(str(caught.value).encode()) == []


def test_a_password_in_an_address_is_a_secret_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"postgresql://shop:{quote(CANARY, safe='')}@db/shop", f"host=db password={CANARY} dbname=shop"):
        redact.forget()
        monkeypatch.setenv("GITHUB_TOKEN", address)
        world.settings().resolve("env:GITHUB_TOKEN")
        assert redact.text(f"login with {CANARY} failed") == f"login with {redact.MASK} failed"


# --- the way through a run


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose settings name the canary, which no adapter ever resolves."""
    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    return world.plan()


def written(run: Run) -> dict[str, bytes]:
    """Everything that the run left: its folder, the journal, the report."""
    found = {str(path): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    found |= {str(path): path.read_bytes() for path in run.store.folder.rglob("*") if path.is_file()}
    return found | {"report": report.render(run)}


def spread(name: str) -> Result:
    """A result that bears the canary in each of its places, in every encoding."""
    everything = "\n".join(EVERY_WAY.values())
    series = Series(name=f"errors {CANARY}", unit="count", query=f"sum:x{{token:{CANARY}}}", points=((1.0, 2.0),))
    evidence = Evidence(
        facts={f"{way} {text}": text for way, text in EVERY_WAY.items()},
        tables=(Table(title=CANARY, columns=(CANARY,), rows=tuple((text,) for text in EVERY_WAY.values())),),
        figures=(),
        text=everything + series.query,
        links={CANARY: f"https://x.example/?token={EVERY_WAY['url']}"},
    )
    return Result(item=name, outcome=Outcome.FAIL, summary=everything, evidence=evidence, mend=everything)


def raises(_: Context) -> Result:
    try:
        int(f"SELECT '{CANARY}'")
    except ValueError as error:
        raise Rejected(f"syntax error near {CANARY}", where=f"GET /x?token={EVERY_WAY['url']}", mend=CANARY) from error
    raise AssertionError


@pytest.mark.parametrize("find", [lambda _context: spread("blue-green.health"), raises], ids=["result", "error"])
def test_whatever_a_check_finds_or_raises_leaves_no_secret(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, find: Callable[[Context], Result]
) -> None:
    monkeypatch.setattr(checklist_module.Item, "load", lambda _self: find)
    result = run_check(run, world.context(run), item("blue-green.health"))
    assert result.outcome in {Outcome.FAIL, Outcome.ERROR}
    assert {name: found for name, data in written(run).items() if (found := leaks(data))} == {}


def test_a_smoke_test_that_prints_its_environment_leaves_no_secret(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "smoke_test.py"
    file.write_text(
        "import base64, os\n\ndef test_it():\n    secret = os.environ['GITHUB_TOKEN']\n"
        "    print(secret, secret.encode().hex(), base64.encodebytes(secret.encode() * 4).decode())\n"
        "    assert not secret\n"
    )
    environment = run.environment.model_copy(update={"smoke_tests": file})
    result = run_check(run, world.context(run, environment=environment), item("blue-green.smoke"))
    assert "1 failed" in result.evidence.text
    assert {name: found for name, data in written(run).items() if (found := leaks(data))} == {}


def test_a_message_made_from_a_template_bears_no_secret(run: Run) -> None:
    made = templates.environment().from_string("{{ plain }} {{ plain|md }} {{ plain|line }}")
    for text in EVERY_WAY.values():
        assert leaks(made.render(plain=text).encode()) == []


def test_what_a_clients_log_says_at_its_loudest_bears_no_token(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from deploykit.providers._faults import Fault  # noqa: PLC0415 - likewise
    from deploykit.providers._rest import Rest  # noqa: PLC0415 - for this test alone
    from deploykit.providers._slack_client import web_client  # noqa: PLC0415 - likewise
    from deploykit.providers.http import HttpxHttp  # noqa: PLC0415 - likewise
    from tests.providers.faults import closed_port, serving  # noqa: PLC0415 - likewise

    caplog.set_level(logging.DEBUG)
    redact.learn(CANARY)
    with pytest.raises(Fault) as caught:
        Rest(f"http://127.0.0.1:{closed_port()}", {"Authorization": f"Bearer {CANARY}"}, timeout=2).get("/x")
    with pytest.raises(OSError, match="refused"):
        web_client(f"http://127.0.0.1:{closed_port()}/api/", CANARY, 2).auth_test()
    assert leaks(caplog.text.encode()) == []
    assert leaks(str(caught.value).encode()) == []
    caplog.clear()
    query = f"key={EVERY_WAY['url']}&b={EVERY_WAY['base64 for urls']}"
    with serving(None) as server:
        HttpxHttp().get(f"{server.url}/x?{query}")
    with pytest.raises(Unreachable) as unreached:
        HttpxHttp().get(f"http://127.0.0.1:{closed_port()}/x?{query}")
    assert (leaks(caplog.text.encode()), leaks(str(unreached.value).encode())) == ([], [])
