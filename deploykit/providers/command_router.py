"""A team's own programs as the router: see `CommandRouterSettings` for what each is asked and has to answer.

A rollback waits for this module, so it draws in no client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from deploykit.errors import Rejected
from deploykit.providers._answers import mapping
from deploykit.providers._commands import Commands, unread
from deploykit.providers._faults import Fault, Why
from deploykit.providers._weights import COLOURS, checked, require_applied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploykit.model import Colour
    from deploykit.ports import Weights
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.router import CommandRouterSettings


class CommandRouter:
    """A `ports.Router`.

    Args:
        settings: The programs.
        commands: Runs them.
    """

    def __init__(self, settings: CommandRouterSettings, commands: Commands) -> None:
        self._settings, self._commands = settings, commands

    def weights(self) -> Weights:
        """The weights in force, as the program says.

        Raises:
            Unreachable: No answer in time, or no good end.
            Rejected: It said no, or nothing of use.
        """
        return self._commands.ask("weights", self._settings.weights, _of_colours)

    def set_weights(self, weights: Weights) -> None:
        """Set both weights with one program, and read them back.

        Raises:
            UsageError: They are not two whole percentages that sum to 100; nothing was run.
            Unreachable: It is not known whether they are set.
            Rejected: It said no, or said yes and does not apply them.
        """
        checked(weights, "router")
        known = self._settings
        self._commands.tell("set_weights", known.set_weights, unread, blue=weights["blue"], green=weights["green"])
        found = self._commands.ask("weights", known.weights, _of_colours, changed=True)
        where, mend = "command, router.set_weights", "see that router.weights reads what router.set_weights sets"
        require_applied(weights, found, where=where, mend=mend)

    def counts(self) -> Mapping[Colour, int]:
        """Requests sent to each colour since the router started.

        Raises:
            ProviderError: As `weights`.
        """
        return self._commands.ask("counts", self._settings.counts, _of_colours)

    def stop(self) -> None:
        """Have every request met by the maintenance answer, and read that back.

        Raises:
            Unreachable: It is not known whether it is in force.
            Rejected: It said no, or said yes and does not apply it.
        """
        self._switch("stop", self._settings.stop, stopped=True)

    def resume(self) -> None:
        """Let requests through again, and read that back.

        Raises:
            ProviderError: As `stop`.
        """
        self._switch("resume", self._settings.resume, stopped=False)

    def stopped(self) -> bool:
        """Whether every request meets the maintenance answer.

        Raises:
            ProviderError: As `weights`.
        """
        return self._commands.ask("stopped", self._settings.stopped, _yes_or_no)

    def _switch(self, name: str, words: tuple[str, ...], *, stopped: bool) -> None:
        self._commands.tell(name, words, unread)
        if self._commands.ask("stopped", self._settings.stopped, _yes_or_no, changed=True) is not stopped:
            raise Rejected(
                "it ended well, and nothing changed",
                where=f"command, router.{name}",
                mend=f"see that router.stopped reads what router.{name} does",
            )


def connect(settings: Settings, environment: EnvironmentSettings) -> CommandRouter:
    """The router of an environment.

    Raises:
        UsageError: A secret of its programs is not there.
    """
    router = cast("CommandRouterSettings", environment.router)
    return CommandRouter(router, Commands.of(settings, "router", router.timeout, router.environment))


def _of_colours(answer: Any) -> dict[Colour, int]:
    """A whole number for each colour, and nothing else."""
    found = mapping(answer, "the answer")
    if set(found) != set(COLOURS) or not all(type(n) is int and n >= 0 for n in found.values()):
        raise Fault(Why.GARBLED, f"it is no whole number for blue and for green but {answer!r}")
    return {colour: found[colour] for colour in COLOURS}


def _yes_or_no(answer: Any) -> bool:
    found = mapping(answer, "the answer").get("stopped")
    if not isinstance(found, bool):
        raise Fault(Why.GARBLED, f"stopped is neither true nor false but {found!r}")
    return found
