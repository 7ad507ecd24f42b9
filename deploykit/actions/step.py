"""A step is data: running it, showing it and reporting it are readers of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from deploykit.context import Context
from deploykit.model import Json, Result


@dataclass(frozen=True)
class Step:
    """One effect on the outside world.

    Attributes:
        id: The item's id, or a name below it: `blue-green.traffic/10`.
        intent: What is about to be done, for the journal.
        do: Makes the effect and returns its facts. It is given the operation's id, to pass to a vendor that takes one.
        probe: Whether it has happened already: yes, no, or None where that cannot be told and a person must decide.
        settle: Waits and verifies; its result is the step's.
        moves_traffic: When the step does not pass, or is broken off, traffic goes back to live at once.
    """

    id: str
    intent: Json
    do: Callable[[str], Json]
    probe: Callable[[], bool | None]
    settle: Callable[[], Result]
    moves_traffic: bool = False


class Action(Protocol):
    """What a row of kind `action` names in the checklist."""

    def __init__(self, context: Context) -> None: ...

    def steps(self) -> tuple[Step, ...] | Result:
        """The steps, in order: a later one is begun only when the one before passed.

        Or, where the release does not need the action, the result that says so, with its proof.
        """
        ...
