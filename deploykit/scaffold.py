"""A repository of one's own: settings to fill in, the notebooks and the texts; what is there is never overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from deploykit import templates
from deploykit.errors import UsageError
from deploykit.files import write_atomically
from deploykit.planning import packed_runbooks
from deploykit.settings import FILE

IGNORE = ".gitignore"
#: What the record of a run is made of does not belong into the code's history.
IGNORED = ("/reports/", "/.deploykit/")
SETTINGS = f"{FILE}.j2"


class Answers(NamedTuple):
    """What is known of the team so far; all of it can be changed in the file."""

    service: str
    environment: str
    url: str
    blue: str
    green: str
    repository: str
    operator: str


class Written(NamedTuple):
    """What became of each file, by its path below the folder.

    Attributes:
        kept: Those that are there and say something else.
        backups: What was overwritten, and where it is now.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    backups: dict[str, str]


def write(folder: Path, answers: Answers, force: Iterable[str] = ()) -> Written:
    """Write what is missing.

    Args:
        folder: The repository's top.
        answers: What goes into the settings.
        force: Files to write though they are there, by their path below the folder; each is kept beside it.

    Raises:
        UsageError: There is no such file to write, or one cannot be written.
    """
    files, forced = _files(answers), frozenset(force)
    unknown = sorted(forced - files.keys())
    if unknown:
        mend = f"use one of: {', '.join(files)}"
        raise UsageError(f"init does not write {', '.join(unknown)}", where="--force", mend=mend)
    written, kept, backups = list[str](), list[str](), dict[str, str]()
    try:
        for name, content in files.items():
            path = folder / name
            if path.exists() and path.read_bytes() == content:
                continue
            if path.exists() and name not in forced:
                kept.append(name)
                continue
            if path.exists():
                backups[name] = _set_aside(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            written.append(name)
        written += _ignore(folder / IGNORE)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(error.filename or folder)) from error
    return Written(tuple(written), tuple(kept), backups)


def settings(answers: Answers) -> str:
    """The settings file, every section and default explained."""
    jinja = templates.environment()
    # A string in JSON is one in TOML, too.
    jinja.filters["toml"] = lambda text: json.dumps(str(text), ensure_ascii=False)
    return jinja.get_template(SETTINGS).render(**answers._asdict()) + "\n"


def _files(answers: Answers) -> dict[str, bytes]:
    """Everything that is written, by its path."""
    files = {FILE: settings(answers).encode()}
    files |= {f"runbooks/{path.name}": path.read_bytes() for path in sorted(packed_runbooks().glob("*.ipynb"))}
    ours = templates.packed()
    for path in sorted(ours.rglob("*.j2")):
        if path.name != SETTINGS:
            files[f"templates/{path.relative_to(ours).as_posix()}"] = path.read_bytes()
    return files


def _set_aside(path: Path) -> str:
    """Give a file another name, and return it."""
    names = (f"{path.name}.bak{number or ''}" for number in range(1000))
    name = next(name for name in names if not path.with_name(name).exists())
    path.rename(path.with_name(name))
    return name


def _ignore(path: Path) -> tuple[str, ...]:
    """Add what git is to ignore, below what is there."""
    before = path.read_text("utf-8") if path.exists() else ""
    missing = [line for line in IGNORED if line not in before.splitlines()]
    if not missing:
        return ()
    gap = "" if not before or before.endswith("\n") else "\n"
    write_atomically(path, (before + gap + "".join(f"{line}\n" for line in missing)).encode())
    return (path.name,)
