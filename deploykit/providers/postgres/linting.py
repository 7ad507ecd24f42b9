"""What squawk finds in a release's migrations. It is given what is run, and nothing in it can silence it."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from deploykit import redact
from deploykit.errors import Rejected
from deploykit.ports.database import Finding, Linted, Revision
from deploykit.providers.postgres.programs import Programs, last_words

#: What deploykit sees to itself: both time-outs are set before each migration.
_SEEN_TO = ("require-lock-timeout", "require-statement-timeout", "require-timeout-settings")
#: What squawk would only look for when asked.
_ASKED = (
    "ban-drop-view",
    "ban-drop-function",
    "ban-drop-type",
    "ban-drop-schema",
    "ban-drop-sequence",
    "ban-set-schema",
)
UNPARSED = "syntax-error"


def lint(programs: Programs, revisions: tuple[Revision, ...], server: str) -> Linted:
    """Lint the way up of each revision.

    Raises:
        Rejected: What squawk answers is of no use.
    """
    squawk = programs.find("squawk")
    linter = programs.must([squawk, "--version"], mend="see whether it is squawk").strip()
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        files = {f"{number}.sql": revision for number, revision in enumerate(revisions)}
        for name, revision in files.items():
            # A comment could tell squawk to look away; the reader of the review decides, not the migration.
            text = re.sub("squawk-ignore", "squawk_ignore", revision.sql, flags=re.IGNORECASE)
            Path(folder, name).write_text(text, "utf-8")
        Path(folder, ".squawk.toml").touch()  # so that none from a folder above counts
        options = ["--reporter=json", f"--pg-version={server}", f"--exclude={','.join(_SEEN_TO)}"]
        command = [squawk, *options, f"--include={','.join(_ASKED)}", *files]
        ended = programs.run(command, cwd=Path(folder))
    try:
        if not ended.output.strip() or ended.code not in {0, 1}:
            raise ValueError(ended.errors)  # noqa: TRY301 - one place words what cannot be used
        found = [_finding(files[Path(entry["file"]).name].id, entry) for entry in json.loads(ended.output)]
        if ended.code and not found:
            raise ValueError(ended.errors)  # noqa: TRY301 - the same
    except (ValueError, KeyError, TypeError) as error:
        said = last_words(ended.errors) or f"it ended with {ended.code}"
        raise Rejected(f"its answer cannot be used: {said}", where="squawk", mend="run squawk by hand") from error
    unparsed = tuple(finding for finding in found if finding.rule == UNPARSED)
    return Linted(linter, tuple(finding for finding in found if finding.rule != UNPARSED), unparsed)


def _finding(revision: str, entry: dict[str, object]) -> Finding:
    line = int(str(entry["line"])) + 1
    return Finding(revision, str(entry["rule_name"]), line, redact.visible(str(entry["message"])))
