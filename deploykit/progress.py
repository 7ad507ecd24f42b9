"""The last line of what is under way, for `status`, the shell, and nobody's archive."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from deploykit import redact
from deploykit.run import Run


def _file(run: Run) -> Path:
    return run.settings.path(run.settings.state) / "progress" / f"{run.id}.txt"


def say(run: Run, line: str) -> None:
    """Replace the line. A reader may see it torn or empty; it decides nothing, and a full disk stops nothing here."""
    path = _file(run)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(redact.visible(redact.text(line)), "utf-8")


def last(run: Run) -> str:
    """The newest line, or nothing."""
    path = _file(run)
    return path.read_text("utf-8", "replace") if path.is_file() else ""
