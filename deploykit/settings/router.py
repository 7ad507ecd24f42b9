"""`[environments.NAME.router]`: what splits the traffic, by its `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from deploykit.model import Colour, Record
from deploykit.settings.commands import Command, WeightsCommand
from deploykit.settings.types import Seconds, Secret, Url

#: A UNIX socket's path, or host and port.
Socket = Annotated[str, Field(pattern=r"^(/\S+|[^\s/:]+:\d{1,5})$")]


class _Router(Record):
    """What is asked of every kind."""

    #: How long a request that was under way when the weights changed may still land.
    late: Seconds = 2.0


class EnvoySettings(_Router):
    """Envoy, over its admin interface."""

    kind: Literal["envoy"] = "envoy"
    url: Url
    runtime_prefix: str = "routing.traffic_split"
    #: The runtime's key that turns the maintenance answer on: the percentage of requests that meet it.
    maintenance_key: str = "routing.maintenance"


class HaproxySettings(_Router):
    """HAProxy, over its Runtime API.

    Attributes:
        socket: The stats socket, with `level admin`: a path, or `127.0.0.1:9999`. It knows no password.
        backend: The backend whose servers are the colours.
        servers: What each colour's server is called there.
    """

    kind: Literal["haproxy"]
    socket: Socket
    backend: Annotated[str, Field(pattern=r"^[\w.:-]+$")]
    servers: dict[Colour, Annotated[str, Field(pattern=r"^[\w.:-]+$")]] = Field(
        default={"blue": "blue", "green": "green"}, min_length=2
    )


class CommandRouterSettings(_Router):
    """A team's own programs. Each ends with 0 and writes one JSON object to stdout, within the time.

    Attributes:
        weights: Writes the weights in force, as the router itself has them: `{"blue": 0, "green": 100}`.
        set_weights: Sets both at once; `$blue` and `$green` stand for them. What it writes is not read.
        counts: Writes the requests sent to each colour since the router started.
        stop: Has every request answered 503.
        resume: Lets requests through again.
        stopped: Writes `{"stopped": true}` where all requests meet that answer.
        environment: Variables for them, beside those that deploykit has: the one place for a secret.
        timeout: How long one may take.
    """

    kind: Literal["command"]
    weights: Command
    set_weights: WeightsCommand
    counts: Command
    stop: Command
    resume: Command
    stopped: Command
    environment: dict[str, Secret] = Field(default_factory=dict)
    timeout: Seconds = 10.0


def _kind(value: Any) -> Any:
    return value.get("kind", "envoy") if isinstance(value, dict) else getattr(value, "kind", None)


RouterSettings = Annotated[
    Annotated[EnvoySettings, Tag("envoy")]
    | Annotated[HaproxySettings, Tag("haproxy")]
    | Annotated[CommandRouterSettings, Tag("command")],
    Discriminator(_kind, custom_error_type="kind", custom_error_message="kind is one of: envoy, haproxy, command"),
]
