"""A repository of one's own, as `deploykit init` writes it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, TypeAdapter

from deploykit import scaffold, settings
from deploykit.cli import cli
from deploykit.errors import RefusedError, UsageError
from deploykit.settings.platform import PlatformSettings
from deploykit.settings.router import RouterSettings

ANSWERS = scaffold.Answers(
    "shop", "production", "https://shop.example", "https://b.example", "https://g.example", "acme/shop", "olga@acme"
)


def init(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(cli, ["init", str(folder), *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def whole(text: str) -> str:
    """The file with each setting that stands behind a # set."""
    return re.sub(r'(?m)^#(?=[\w\["\]]|  \{)', "", text)


def test_what_init_writes_can_be_loaded_as_it_is(tmp_path: Path) -> None:
    words = ("--service", "shop", "--repository", "acme/shop", "--operator", "olga@acme", "-e", "live")
    said = init(tmp_path, *words)
    found = settings.load(tmp_path / settings.FILE)
    assert (found.service.name, found.github.repository, found.signing.operator) == ("shop", "acme/shop", "olga@acme")
    assert list(found.environments) == ["live"]
    assert "deploykit doctor" in said
    assert (tmp_path / ".gitignore").read_text().splitlines() == ["/reports/", "/.deploykit/"]
    assert len(list((tmp_path / "runbooks").glob("*.ipynb"))) == 7
    assert (tmp_path / "templates" / "slack" / "announced.j2").is_file()


def test_its_secrets_are_references_and_resolve_once_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(tmp_path, "--service", "shop", "--repository", "acme/shop")
    found = settings.load(tmp_path / settings.FILE)
    with pytest.raises(UsageError, match="env:GITHUB_TOKEN"):
        found.resolve(found.github.token)
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_made-up")
    assert found.resolve(found.github.token) == "ghp_made-up"


def test_every_setting_behind_a_hash_is_right_and_says_the_default(tmp_path: Path) -> None:
    text = scaffold.settings(ANSWERS)
    (tmp_path / "plain.toml").write_text(text)
    (tmp_path / "whole.toml").write_text(whole(text))
    plain, full = settings.load(tmp_path / "plain.toml"), settings.load(tmp_path / "whole.toml")
    for part in ("github", "chat", "limits", "rules", "lock"):
        assert getattr(full, part) == getattr(plain, part), part
    assert full.shift.model_copy(update={"cell_timeout": None}) == plain.shift
    assert full.signing.model_copy(update={"key": None}) == plain.signing
    assert full.metrics.model_copy(update={"plain": {}}) == plain.metrics
    here, there = full.environments["production"], plain.environments["production"]
    for part in ("health", "router", "platform", "sandbox", "smoke_timeout"):
        assert getattr(here, part) == getattr(there, part), part
    made = {"database", "variables", "tls", "rate_limit", "cors", "staging"}
    assert {part for part in made if getattr(here, part) is None} == set()


#: Where a default of an optional section's own is held against the file.
OPTIONAL = ("logs", "monitoring", "errors", "pager", "flags")


def test_an_optional_section_says_the_defaults_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "whole.toml").write_text(whole(scaffold.settings(ANSWERS)))
    full = settings.load(tmp_path / "whole.toml")
    parts: list[BaseModel] = [getattr(full, name) for name in OPTIONAL]
    here = full.environments["production"]
    parts += [part for part in (here.database, here.tls, here.rate_limit, here.cors) if part is not None]
    free = {"python", "programs", "ca", "headers"}
    said = {
        f"{type(part).__name__}.{name}": getattr(part, name)
        for part in parts
        for name, field in type(part).model_fields.items()
        if not field.is_required() and name not in free and getattr(part, name) != field.get_default()
    }
    assert said == {}


def keys(model: type[BaseModel], seen: frozenset[type[BaseModel]] = frozenset()) -> Iterator[str]:
    """Every key of a class and of those that it is made of, as the file has it."""
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        yield field.alias or name
        for inner in models(field.annotation):
            if inner not in seen:
                yield from keys(inner, seen | {inner})


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from named(inner)
    for inner in value if isinstance(value, list) else ():
        yield from named(inner)


def instead(text: str) -> list[dict[str, Any]]:
    """The sections that stand behind `#: `, each in the place of the one above it."""
    return [tomllib.loads(re.sub("(?m)^#: ", "", block)) for block in re.findall(r"(?m)(?:^#: .*\n)+", text)]


def test_what_may_stand_instead_of_a_section_is_right_and_says_the_defaults() -> None:
    haproxy, router, platform = instead(scaffold.settings(ANSWERS))
    adapters: tuple[tuple[dict[str, Any], TypeAdapter[Any]], ...] = (
        (haproxy, TypeAdapter(RouterSettings)),
        (router, TypeAdapter(RouterSettings)),
        (platform, TypeAdapter(PlatformSettings)),
    )
    for written, adapter in adapters:
        made = adapter.validate_python(written)
        for name, field in type(made).model_fields.items():
            if not field.is_required() and name != "environment":
                assert getattr(made, name) == field.get_default(call_default_factory=True), name


def test_every_key_of_the_settings_is_in_the_template() -> None:
    text = scaffold.settings(ANSWERS)
    written = {key for part in (tomllib.loads(whole(text)), *instead(text)) for key in named(part)}
    assert set(keys(settings.Settings)) - written == set()


def test_an_answer_is_text_and_never_toml() -> None:
    hostile = ANSWERS._replace(operator='o"\n[signing]\nsolo = true\n#', url="https://x/{{ 7 * 7 }}")
    found = tomllib.loads(scaffold.settings(hostile))
    assert found["signing"]["operator"] == hostile.operator
    assert "solo" not in found["signing"]
    assert found["environments"]["production"]["url"] == hostile.url


def test_what_is_there_is_left_as_it_is_and_named(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text("mine\n")
    with pytest.raises(RefusedError, match=r"deploykit\.toml") as caught:
        init(tmp_path)
    assert "--force deploykit.toml" in caught.value.mend
    assert (tmp_path / settings.FILE).read_text() == "mine\n"
    assert (tmp_path / "runbooks").is_dir(), "what is missing is written all the same"


def test_a_file_is_written_anew_only_by_name_and_the_old_one_is_kept(tmp_path: Path) -> None:
    init(tmp_path)
    for file in ("00_readiness.ipynb", "01_prepare.ipynb"):
        (tmp_path / "runbooks" / file).write_text(f"my {file}")
    with pytest.raises(RefusedError, match=r"01_prepare\.ipynb"):
        init(tmp_path, "--force", "runbooks/00_readiness.ipynb")
    assert (tmp_path / "runbooks" / "00_readiness.ipynb.bak").read_text() == "my 00_readiness.ipynb"
    assert (tmp_path / "runbooks" / "00_readiness.ipynb").read_text().startswith("{")
    assert (tmp_path / "runbooks" / "01_prepare.ipynb").read_text() == "my 01_prepare.ipynb"


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.pyc")
    init(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "wrote" not in init(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / ".gitignore").read_text().splitlines() == ["*.pyc", "/reports/", "/.deploykit/"]


def test_a_file_that_init_does_not_write_cannot_be_forced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="README"):
        init(tmp_path, "--force", "README.md")
    assert list(tmp_path.iterdir()) == []
