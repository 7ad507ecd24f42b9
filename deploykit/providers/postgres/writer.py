"""Writes a release's migrations down as SQL: a process of its own, because the team's `env.py` runs in it.

It imports nothing of ours, so that any interpreter with Alembic runs it. It is given no address of a database and no
secret: Alembic's offline mode needs none, and code that connects anyway reaches nothing. It reads a job from standard
input, `{"ini": PATH, "since": REVISION}`, and writes `{"head": ..., "revisions": [...]}` or `{"fault": ...}` to
standard output, to which nothing else gets through.
"""

import io
import json
import os
import sys
from contextlib import suppress
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError

#: Nobody is there. Alembic wants an address for its dialect.
NOWHERE = "postgresql://nobody@offline.invalid/nothing"
Job = dict[str, Any]


class Statements(io.StringIO):
    """Takes what Alembic writes in offline mode: one call for each statement."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def write(self, text: str) -> int:
        """Keep a statement; Alembic's own line on where it is, is none."""
        statement = text.strip()
        if statement and not (statement.startswith("-- Running ") and "\n" not in statement):
            self.found.append(statement.rstrip(";").rstrip())
        return len(text)


def write_percent_once() -> None:
    """Have every `env.py` do what Alembic's template does: without it, a `%` in a statement is written twice."""
    configure = EnvironmentContext.configure

    def configured(self: EnvironmentContext, *given: Any, **options: Any) -> None:
        options["dialect_opts"] = {**(options.get("dialect_opts") or {}), "paramstyle": "named"}
        configure(self, *given, **options)

    EnvironmentContext.configure = configured  # type: ignore[method-assign]  # it has no other place for it


def written(ini: str, write: Any, span: str) -> list[str]:
    """The statements of one revision's way, up or down."""
    statements = Statements()
    config = Config(ini, output_buffer=statements, stdout=io.StringIO())
    config.set_main_option("sqlalchemy.url", NOWHERE)
    write(config, span, sql=True)
    return statements.found


def only(revisions: Any, what: str) -> str:
    """The one revision of several that a line of revisions has."""
    known = (revisions,) if isinstance(revisions, str) else tuple(revisions or ())
    if len(known) > 1:
        raise CommandError(f"{what} is more than one revision ({', '.join(known)}); make them one line")
    return known[0] if known else ""


def told(ini: str, script: Script) -> Job:
    """One revision as data."""
    before = only(script.down_revision, f"what {script.revision} builds on")
    up = written(ini, command.upgrade, f"{before}:{script.revision}" if before else script.revision)
    down, no_way_back = [], ""
    try:
        down = written(ini, command.downgrade, f"{script.revision}:{before or 'base'}")
    except Exception as error:  # noqa: BLE001 - a team's own code may raise anything, and not to have one is an answer
        no_way_back = f"{type(error).__name__}: {error}"
    flag = getattr(script.module, "feature_flag", "")
    return {
        "id": script.revision,
        "before": before,
        "title": script.doc,
        "flag": flag if isinstance(flag, str) else "",
        "up": up,
        "down": down,
        "no_way_back": no_way_back,
    }


def pending(job: Job) -> Job:
    """The revisions between two points, the oldest first."""
    config = Config(job["ini"])
    config.set_main_option("sqlalchemy.url", NOWHERE)
    scripts = ScriptDirectory.from_config(config)
    head = only(scripts.get_heads(), "the release's newest revision")
    since = job["since"]
    if since and since not in {script.revision for script in scripts.walk_revisions()}:
        raise CommandError(f"the release does not know revision {since}, at which the database is")
    found = [] if since == head or not head else list(scripts.iterate_revisions(head, since or "base"))
    if since and since != head and (not found or found[-1].down_revision != since):
        raise CommandError(f"the release's newest revision {head} does not build on {since}, at which the database is")
    return {"head": head, "revisions": [told(job["ini"], script) for script in reversed(found)]}


def main() -> None:
    """Answer the one job; the team's code may print what it likes."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    write_percent_once()
    os.environ["DATABASE_URL"] = NOWHERE  # many an env.py reads it, whether it connects or not
    job = json.load(sys.stdin)
    with suppress(FileNotFoundError):  # not there is said by Alembic below
        os.chdir(os.path.dirname(job["ini"]))  # noqa: PTH120 - this file runs alone
    try:
        said = pending(job)
    except BaseException as error:  # noqa: BLE001 - a team's code may raise anything, SystemExit too
        said = {"fault": f"{type(error).__name__}: {error}"}
    with answer:
        json.dump(said, answer)


if __name__ == "__main__":
    main()
