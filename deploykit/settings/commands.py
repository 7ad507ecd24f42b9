"""A team's own program as a setting: its words, one by one, never a line for a shell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

_PLACE = re.compile(r"\$([a-z_]+)")


def filled(words: Iterable[str], **values: str | int) -> list[str]:
    """The words of a command with `$name` replaced; each stays one word, whatever it is given."""
    return [_PLACE.sub(lambda place: str(values[place[1]]), word) for word in words]


def _with(*names: str) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A command that takes exactly these places: with one missing, it could not know what is wanted of it."""

    def check(words: tuple[str, ...]) -> tuple[str, ...]:
        found = {name for word in words for name in _PLACE.findall(word)}
        if "$" in words[0] or found != set(names):
            wanted = ", ".join(f"${name}" for name in names) or "nothing to fill in"
            msg = f"a program and its arguments, with {wanted} among them"
            raise ValueError(msg)
        return words

    return check


_Words = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
#: A program and its arguments: `["./traffic", "show"]`. A relative program lies beside the settings.
Command = Annotated[_Words, AfterValidator(_with())]
WeightsCommand = Annotated[_Words, AfterValidator(_with("blue", "green"))]
ServiceCommand = Annotated[_Words, AfterValidator(_with("service"))]
DeployCommand = Annotated[_Words, AfterValidator(_with("service", "commit"))]
DeploymentCommand = Annotated[_Words, AfterValidator(_with("deployment"))]
