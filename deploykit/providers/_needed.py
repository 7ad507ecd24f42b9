"""A section of the settings that may be left out, where it is used."""

from __future__ import annotations

from typing import TypeVar

from deploykit.errors import UsageError

T = TypeVar("T")


def needed(section: T | None, name: str) -> T:
    """The section.

    Raises:
        UsageError: It was left out.
    """
    if section is None:
        mend = f"write the section [{name}] with where it is and a token"
        raise UsageError(f"there is no [{name}] in the settings", where=f"[{name}]", mend=mend)
    return section
