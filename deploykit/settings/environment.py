"""`[environments.NAME]`: where one environment of the service runs, and how it says that it is well."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from deploykit.model import Colour, Record
from deploykit.settings.database import DatabaseSettings
from deploykit.settings.edge import CorsSettings, RateLimitSettings, StagingSettings, TlsSettings, VariableSettings
from deploykit.settings.platform import PlatformSettings
from deploykit.settings.router import RouterSettings
from deploykit.settings.types import Seconds, Url, Zone


class ColourSettings(Record):
    """Where one colour runs: its own address and its service on the platform."""

    url: Url
    platform_service: str


class HealthSettings(Record):
    """How a copy says that it is well, and which release it is."""

    path: str = "/health"
    version_path: str = "/version"
    version_key: str = "version"
    #: What the body must hold; nothing is asked of it where this is empty.
    contains: str = ""
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
    database: DatabaseSettings | None = None
    health: HealthSettings = HealthSettings()
    smoke: tuple[SmokeRequest, ...] = ()
    #: A pytest file of the team's, relative to the settings. It finds the address in DEPLOYKIT_URL.
    smoke_tests: Path | None = None
    #: For how long it may run, in all.
    smoke_timeout: Seconds = 120.0
    #: Without one of these, its item of the checklist cannot pass.
    variables: VariableSettings | None = None
    tls: TlsSettings | None = None
    rate_limit: RateLimitSettings | None = None
    cors: CorsSettings | None = None
    staging: StagingSettings | None = None
    timezone: Zone = "UTC"
    sandbox: bool = False

    @model_validator(mode="after")
    def _both_colours(self) -> Self:
        if set(self.colours) != {"blue", "green"}:
            msg = "both colours are needed: [...colours.blue] and [...colours.green]"
            raise ValueError(msg)
        return self
