"""How the record is kept: who else sees its head, and when a lock's holder counts as gone."""

from __future__ import annotations

from pathlib import Path

from deploykit.model import Record
from deploykit.settings.types import Seconds


class WitnessSettings(Record):
    """Who is told the journal's newest hash, beside the chat's messages; a cut tail is seen by it.

    Attributes:
        file: A file that only ever grows, best on another machine: one line a head.
        git: A repository that gets an annotated tag for each head.
        remote: Where these tags are pushed at once, such as `origin`; empty keeps them here.
    """

    file: Path | None = None
    git: Path | None = None
    remote: str = ""


class LockSettings(Record):
    """The lock on an environment.

    Attributes:
        expires: After this long without a heartbeat a person may break it. It never breaks by itself.
    """

    expires: Seconds = 900.0
