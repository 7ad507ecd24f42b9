"""A team's own programs as the platform: see `CommandPlatformSettings` for what each is asked and has to answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from deploykit import redact
from deploykit.providers._answers import listing, mapping, parse, text
from deploykit.providers._commands import Commands, unread
from deploykit.providers._faults import Fault, Why

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploykit.ports import Deployment
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.platform import CommandPlatformSettings

STATES = ("running", "pending", "failed", "gone")


class CommandPlatform:
    """A `ports.Platform`.

    Args:
        settings: The programs.
        commands: Runs them.
        plain: Text that is no secret; a variable whose value stands in it is not masked.
    """

    def __init__(self, settings: CommandPlatformSettings, commands: Commands, *, plain: str = "") -> None:
        self._settings, self._commands, self._plain = settings, commands, plain

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether the programs are there."""
        return {"project": self._programs}

    def _programs(self) -> str:
        known = self._settings
        words = (known.deployments, known.deploy, known.roll_back, known.restart, known.logs, known.variables)
        return self._commands.require_programs(tuple(one[0] for one in words))

    def deployments(self, service: str, *, limit: int = 10) -> tuple[Deployment, ...]:
        """The latest deployments of a service, newest first.

        Raises:
            Unreachable: No answer in time, or no good end.
            Rejected: The program said no, or nothing of use.
        """

        def read(answer: Any) -> tuple[Deployment, ...]:
            found = map(_deployment, listing(answer, "the answer"))
            return tuple(sorted(found, key=lambda one: one.created_at, reverse=True))[:limit]

        return self._commands.ask("deployments", self._settings.deployments, read, service=service)

    def deploy(self, service: str, commit: str) -> str:
        """Start a deployment of a commit and return its id at once.

        Raises:
            Unreachable: It is not known whether it was started.
            Rejected: The program said no.
        """

        def read(raw: bytes) -> str:
            return text(mapping(parse(raw), "the answer").get("id"), "the new deployment's id")

        return self._commands.tell("deploy", self._settings.deploy, read, service=service, commit=commit)

    def roll_back(self, deployment: str) -> None:
        """Start going back to an earlier deployment. The new one is found in `deployments` afterwards.

        Raises:
            ProviderError: As `deploy`.
        """
        self._commands.tell("roll_back", self._settings.roll_back, unread, deployment=deployment)

    def restart(self, deployment: str) -> None:
        """Start restarting the processes of a deployment; its status tells when they are up.

        Raises:
            ProviderError: As `deploy`.
        """
        self._commands.tell("restart", self._settings.restart, unread, deployment=deployment)

    def logs(self, deployment: str, *, limit: int = 100) -> tuple[str, ...]:
        """The last lines that a deployment wrote, oldest first.

        Raises:
            ProviderError: As `deployments`.
        """

        def read(answer: Any) -> tuple[str, ...]:
            lines = listing(answer, "the answer")
            if not all(isinstance(line, str) for line in lines):
                raise Fault(Why.GARBLED, "a line of the log is no text")
            return tuple(lines[-limit:])

        return self._commands.ask("logs", self._settings.logs, read, deployment=deployment)

    def variables(self, service: str) -> Mapping[str, str]:
        """A service's variables, each value masked from now on in all that is written.

        Raises:
            ProviderError: As `deployments`; it quotes nothing that the program wrote.
        """

        def read(answer: Any) -> Mapping[str, str]:
            found = mapping(answer, "the answer")
            if not all(isinstance(value, str) for value in found.values()):
                raise Fault(Why.GARBLED, "a variable is no text")
            for value in found.values():
                if value not in self._plain:
                    redact.learn(value)
            return found

        return self._commands.ask("variables", self._settings.variables, read, secret=True, service=service)


def connect(settings: Settings, environment: EnvironmentSettings) -> CommandPlatform:
    """The platform of an environment.

    Raises:
        UsageError: A secret of its programs is not there.
    """
    platform = cast("CommandPlatformSettings", environment.platform)
    commands = Commands.of(settings, "platform", platform.timeout, platform.environment)
    return CommandPlatform(platform, commands, plain=settings.model_dump_json())


def _deployment(entry: Any) -> Deployment:
    from deploykit.ports import Deployment  # noqa: PLC0415 - what it draws in is not needed to import this module

    one = mapping(entry, "a deployment")
    state = text(one.get("state"), "a deployment's state")
    if state not in STATES:
        raise Fault(Why.GARBLED, f"a deployment has the unknown state {state}")
    return Deployment(
        id=text(one.get("id"), "a deployment's id"),
        commit=commit if isinstance(commit := one.get("commit"), str) else "",
        status=status if isinstance(status := one.get("status"), str) and status else state,
        state=state,
        created_at=_time(one.get("created_at")),
        can_roll_back=one.get("can_roll_back") is True,
        changed=changed if isinstance(changed := one.get("changed"), str) else "",
    )


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(text(value, "created_at"))
    except ValueError as error:
        raise Fault(Why.GARBLED, f"created_at is no time but {value!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
