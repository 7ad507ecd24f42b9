"""What a release brings: read from the team's checkout of it, by Alembic, in a process of its own."""

from __future__ import annotations

import json
import re
import shutil
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from deploykit import redact
from deploykit.errors import Rejected
from deploykit.ports.database import Migrations, Revision
from deploykit.providers.postgres.programs import Programs, last_words

#: Beside `alembic.ini`: the commit that the checkout is of, where it is no work tree of git.
REVISION = "REVISION"
WHERE = "environments.NAME.database.alembic"
_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")


#: Answers that somebody waits for right now: checks that look side by side share one process of the team's code.
_under_way: dict[tuple[object, ...], Future[Migrations]] = {}
_turn = threading.Lock()


def read(ini: Path, commit: str, since: str, python: Path | None, programs: Programs) -> Migrations:
    """The revisions from `since` to the newest of the checkout.

    Raises:
        Rejected: There is no such checkout, it is of another commit, or its revisions are not one line from there.
        Unreachable: The team's code did not end in time.
    """
    key = (ini, commit, since, python)
    with _turn:
        shared, mine = _under_way.get(key), Future[Migrations]()
        if shared is None:
            _under_way[key] = mine
    if shared is not None:
        return shared.result()
    try:
        mine.set_result(_read(ini, commit, since, python, programs))
    except BaseException as error:  # noqa: BLE001 - raised below, and for whoever shares it
        mine.set_exception(error)
    with _turn:
        del _under_way[key]
    return mine.result()


def _read(ini: Path, commit: str, since: str, python: Path | None, programs: Programs) -> Migrations:
    if not ini.is_file():
        raise Rejected(f"{ini} is not there", where=WHERE, mend="check the release out there")
    known = commit_of(ini, programs)
    if known and known != commit:
        what = f"{ini.parent} is a checkout of {redact.visible(known[:40])}, and the release is {commit}"
        raise Rejected(what, where=WHERE, mend="check the release out there")
    source = Path(__file__).with_name("writer.py").read_text("utf-8")
    job = json.dumps({"ini": str(ini), "since": since})
    ended = programs.run([str(python or sys.executable), "-B", "-c", source], given=job, cwd=ini.parent)
    try:
        said = json.loads(ended.output)
        if "fault" in said:
            what = redact.visible(str(said["fault"]))
            raise Rejected(what, where=str(ini), mend="mend the migrations; `alembic upgrade head --sql` has to work")
        return Migrations(since, str(said["head"]), known, tuple(_revision(entry) for entry in said["revisions"]))
    except (ValueError, KeyError, TypeError) as error:
        what = f"its migrations cannot be read: {last_words(ended.errors) or 'nothing was said'}"
        mend = "install Alembic and what env.py imports for environments.NAME.database.python"
        raise Rejected(what, where=str(ini), mend=mend) from error


def _revision(entry: dict[str, Any]) -> Revision:
    name = str(entry["id"])
    if not _NAME.fullmatch(name):
        # Alembic writes it into its SQL as it is, and here it names a step.
        what = f"a revision is called {redact.visible(name)!r}"
        raise Rejected(what, where=WHERE, mend="name it with letters, digits, dots and underscores")
    return Revision(
        id=name,
        before=str(entry["before"]),
        title=str(entry["title"]),
        flag=str(entry["flag"]),
        up=tuple(map(str, entry["up"])),
        down=tuple(map(str, entry["down"])),
        no_way_back=str(entry["no_way_back"]),
    )


def commit_of(ini: Path, programs: Programs) -> str:
    """The commit that a checkout is of: what `REVISION` says, else git; empty where neither does.

    Raises:
        Rejected: It is a work tree of git that is not as committed.
    """
    note = ini.with_name(REVISION)
    if note.is_file():
        return note.read_text("utf-8", "replace").strip()
    if shutil.which("git") is None:
        return ""
    git = ["git", "-c", "core.fsmonitor=false", "-C", str(ini.parent)]
    head = programs.run([*git, "rev-parse", "HEAD"])
    if head.code:
        return ""
    changed = programs.run([*git, "status", "--porcelain", "--", "."])
    if changed.code or changed.output.strip():
        raise Rejected("the checkout is not as committed", where=WHERE, mend=f"look at git status in {ini.parent}")
    return head.output.strip()
