"""A step is data: running it, showing it and reporting it are readers of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from deploykit.context import Context
from deploykit.errors import UsageError
from deploykit.model import Json, Result

#: Whether the effect has happened already: yes, no, or None where that cannot be told this time.
Probe = Callable[[], bool | None]


class Unseen(StrEnum):
    """What settles an end that nobody saw, where there is nothing to look at: a probe that cannot tell."""

    #: Doing it again under the same operation id: the vendor takes that as a key, or it has no second effect anyway.
    REPEAT = "repeat"
    #: Only a person can tell, and signs it: `deploykit resolve`.
    PERSON = "a person decides"

    def __call__(self) -> bool | None:
        """Looking tells nothing."""
        return None


@dataclass(frozen=True)
class Step:
    """One effect on the outside world.

    Attributes:
        id: The item's id, or a name below it: `blue-green.traffic/10`.
        intent: What is about to be done, for the journal. It must say the same whenever it is made: a replay that meets
            another intent, or another step, stops.
        do: Makes the effect and returns its facts. It is given the operation's id, to pass to a vendor that takes one:
            the same for every try of one operation, in every process.
        probe: How an end that nobody saw is settled: by looking, or as `Unseen` says. There is no step without it.
        settle: Waits and verifies; its result is the step's.
        alone: Neither it nor the steps after it hang on one another: whatever becomes of it, they are tried as well.
        ready: Sees to what must be there before even the intent, or refuses.
        moves_traffic: When the step does not pass, or is broken off, traffic goes back to live at once.
    """

    id: str
    intent: Json
    do: Callable[[str], Json]
    probe: Probe
    settle: Callable[[], Result]
    alone: bool = False
    ready: Callable[[], None] | None = None
    moves_traffic: bool = False

    def __post_init__(self) -> None:
        if not callable(self.probe):
            raise UsageError(
                "a step that does not say how an unseen end is settled",
                where=self.id,
                mend="give it a probe, Unseen.REPEAT or Unseen.PERSON",
            )


class Action(Protocol):
    """What a row of kind `action` names in the checklist."""

    def __init__(self, context: Context) -> None: ...

    def steps(self) -> tuple[Step, ...] | Result:
        """The steps, in order: a later one is begun only when the one before passed, or stands alone.

        Or, where the release does not need the action, the result that says so, with its proof.
        """
        ...
