"""`[environments.NAME.platform]`: what runs the copies, by its `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from deploykit.model import Record
from deploykit.settings.commands import DeployCommand, DeploymentCommand, ServiceCommand
from deploykit.settings.types import Seconds, Secret, Url


class _Platform(Record):
    """What is asked of every kind."""

    #: For how long a deployment, a rollback or a restart is waited for.
    deploy_timeout: Seconds = 900.0


class RailwaySettings(_Platform):
    """Railway, over its GraphQL API."""

    kind: Literal["railway"] = "railway"
    url: Url = "https://backboard.railway.com/graphql/v2"
    project: str
    environment: str
    token: Secret


class CommandPlatformSettings(_Platform):
    """A team's own programs. Each ends with 0 and writes JSON to stdout, within the time.

    Attributes:
        deployments: Writes the latest deployments of `$service` as a list, newest first: `id`, `commit`, `state`
            (`running`, `pending`, `failed` or `gone`), `created_at`, `can_roll_back`, and if it likes `status` (the
            platform's own word) and `changed` (when that last changed).
        deploy: Starts a deployment of `$commit` to `$service` and writes `{"id": "..."}` at once.
        roll_back: Starts going back to `$deployment`. What it writes is not read, nor what `restart` writes.
        restart: Starts restarting the processes of `$deployment`.
        logs: Writes the last lines of `$deployment` as a list, oldest first.
        variables: Writes the variables of `$service` as an object. They are compared in memory, and never written.
        environment: Variables for these programs, beside those that deploykit has: the one place for a secret.
        timeout: How long one may take.
    """

    kind: Literal["command"]
    deployments: ServiceCommand
    deploy: DeployCommand
    roll_back: DeploymentCommand
    restart: DeploymentCommand
    logs: DeploymentCommand
    variables: ServiceCommand
    environment: dict[str, Secret] = Field(default_factory=dict)
    timeout: Seconds = 30.0


def _kind(value: Any) -> Any:
    return value.get("kind", "railway") if isinstance(value, dict) else getattr(value, "kind", None)


PlatformSettings = Annotated[
    Annotated[RailwaySettings, Tag("railway")] | Annotated[CommandPlatformSettings, Tag("command")],
    Discriminator(_kind, custom_error_type="kind", custom_error_message="kind is one of: railway, command"),
]
