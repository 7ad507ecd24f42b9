"""`[environments.NAME]`: where one environment of the service runs, and how it says that it is well."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from deploykit.model import Colour, Record
from deploykit.settings.types import Seconds, Secret, Url, Zone


class ColourSettings(Record):
    """Where one colour runs: its own address and its service on the platform."""

    url: Url
    platform_service: str


class RouterSettings(Record):
    """The router that splits traffic."""

    kind: Literal["envoy"] = "envoy"
    url: Url
    runtime_prefix: str = "routing.traffic_split"
    #: How long a request that was under way when the weights changed may still land.
    late: Seconds = 2.0


class PlatformSettings(Record):
    """The platform that runs the copies."""

    kind: Literal["railway"] = "railway"
    url: Url = "https://backboard.railway.com/graphql/v2"
    project: str
    environment: str
    token: Secret
    deploy_timeout: Seconds = 900.0


class HealthSettings(Record):
    """How a copy says that it is well, and which release it is."""

    path: str = "/health"
    version_path: str = "/version"
    version_key: str = "version"
    within: Seconds = 2.0


class SmokeRequest(Record):
    """One request of the smoke test: a path and the status it must answer."""

    path: str
    status: int = 200
    contains: str = ""


class EnvironmentSettings(Record):
    """One environment of the service."""

    url: Url
    colours: dict[Colour, ColourSettings]
    router: RouterSettings
    platform: PlatformSettings
    health: HealthSettings = HealthSettings()
    smoke: tuple[SmokeRequest, ...] = ()
    timezone: Zone = "UTC"
    sandbox: bool = False

    @model_validator(mode="after")
    def _both_colours(self) -> Self:
        if set(self.colours) != {"blue", "green"}:
            msg = "both colours are needed: [...colours.blue] and [...colours.green]"
            raise ValueError(msg)
        return self
