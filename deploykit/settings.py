"""`deploykit.toml`: read once, typed, and refused as a whole when one key is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from deploykit import redact
from deploykit.errors import UsageError
from deploykit.model import Colour, Record, TrafficStep, sha256

FILE = "deploykit.toml"
VARIABLE = "DEPLOYKIT_SETTINGS"
#: Tells a kernel that the engine started how it is run: `run` or `replay`.
MODE = "DEPLOYKIT_MODE"

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: Any) -> Any:
    """Turn `90s`, `15m`, `1h` or `500ms` into seconds; everything else goes on to the next validator."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", text) if isinstance(text, str) else None
    if match is None:
        msg = "write a time with its unit, such as 90s, 15m or 1h"
        raise ValueError(msg)
    return float(match[1]) * _UNITS[match[2]]


def reference(text: Any) -> Any:
    """A secret stands in an environment variable or a file, never in the settings."""
    if not isinstance(text, str) or not re.fullmatch(r"env:[A-Za-z_]\w*|file:.+", text):
        msg = "a secret is a reference: env:NAME or file:PATH"
        raise ValueError(msg)
    return text


def zone(name: str) -> str:
    """A time zone that this machine knows."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"there is no time zone {name!r}; write it like Europe/Berlin"
        raise ValueError(msg) from None
    return name


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0)]
Secret = Annotated[str, BeforeValidator(reference)]
Zone = Annotated[str, AfterValidator(zone)]
#: Part of a run's id and of its folder's name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class ServiceSettings(Record):
    """What is deployed."""

    name: Name


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


class GithubSettings(Record):
    """The repository."""

    repository: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    url: Url = "https://api.github.com"
    token: Secret


class PlainMetric(Record):
    """A further metric to judge; `matters` is the smallest relative change that does, 0.1 being a tenth."""

    query: Annotated[str, Field(min_length=1)]
    unit: Literal["ms", "s", "percent", "fraction", "bytes", "count", "raw"]
    worse: Literal["increase", "decrease", "either"] = "increase"
    critical: bool = False
    matters: Annotated[float, Field(gt=0)] = 0.1


class MetricsSettings(Record):
    """Where the numbers come from. `$colour` in a query stands for blue or green.

    Attributes:
        requests: Requests served by a colour, as counts a bucket.
        errors: Failed requests of a colour, likewise.
        slow: Requests over the latency limit, likewise.
        p95: The 95th percentile of a colour's latency in ms.
        delay: How late the vendor's newest points are.
        plain: Further metrics by name: memory, orders a minute.
    """

    kind: Literal["datadog"] = "datadog"
    url: Url = "https://api.datadoghq.com"
    api_key: Secret
    app_key: Secret
    requests: str
    errors: str
    slow: str
    p95: str
    delay: Seconds = 30.0
    plain: dict[Name, PlainMetric] = Field(default_factory=dict)


class LimitsSettings(Record):
    """What the service promises."""

    error_rate: Annotated[float, Field(gt=0, lt=1)] = 0.001
    latency: Seconds = 0.5


class ChatSettings(Record):
    """Where the team is told."""

    kind: Literal["slack"] = "slack"
    url: Url = "https://slack.com/api/"
    token: Secret
    deployments: str = "deployments"


class ShiftSettings(Record):
    """How traffic moves, is watched and comes back."""

    steps: Annotated[tuple[TrafficStep, ...], Field(min_length=1)] = (
        TrafficStep(percent=10, seconds=600, requests=1000),
        TrafficStep(percent=50, seconds=600, requests=1000),
        TrafficStep(percent=100, seconds=60, requests=1000),
    )
    watch: Seconds = 1800.0
    look_every: Seconds = 10.0
    hold_limit: Seconds = 900.0
    #: Not scaled: it is about machines that died, not about the runbook.
    guard: Seconds = 60.0
    #: For how long one cell may run, headless; else what the plan's times allow, with room.
    cell_timeout: Seconds | None = None
    time_scale: Annotated[float, Field(ge=1)] = 1.0

    @model_validator(mode="after")
    def _rises_to_all(self) -> Self:
        shares = [step.percent for step in self.steps]
        if shares != sorted(set(shares)) or shares[-1] != 100:
            msg = f"the steps must rise to 100 percent; they are {shares}"
            raise ValueError(msg)
        return self


class PersonSettings(Record):
    """One person: the SSH principal that signs, and the same person's other names."""

    principal: str
    github: str = ""
    slack: str = ""
    roles: tuple[str, ...] = ()


class SigningSettings(Record):
    """Who may sign, and with what this machine signs.

    Attributes:
        allowed_signers: OpenSSH's file of principals and keys, kept in the team's repository.
        key: The operator's (or the service's) key, private or public; with a public one the agent signs.
        operator: The principal that opens and runs runs here.
        solo: One person may be author, operator and approver. Heads every report.
        approval_valid: How long an approval can be used.
    """

    allowed_signers: Path
    key: Path | None = None
    operator: str = ""
    solo: bool = False
    approval_valid: Seconds = 86400.0


class Settings(Record):
    """The whole file. Paths are relative to it."""

    service: ServiceSettings
    environments: Annotated[dict[Name, EnvironmentSettings], Field(min_length=1)]
    github: GithubSettings
    metrics: MetricsSettings
    limits: LimitsSettings = LimitsSettings()
    chat: ChatSettings
    shift: ShiftSettings = ShiftSettings()
    people: dict[str, PersonSettings] = Field(default_factory=dict)
    signing: SigningSettings
    archive: Path = Path("reports")
    state: Path = Path(".deploykit")
    runbooks: Path = Path("runbooks")
    templates: Path | None = None

    #: Where the file is, its name, and its hash; set by `load`.
    home: Annotated[Path, Field(exclude=True)] = Path()
    file: Annotated[str, Field(exclude=True)] = FILE
    digest: Annotated[str, Field(exclude=True)] = ""

    @property
    def source(self) -> Path:
        """The file that these settings were read from."""
        return self.home / self.file

    def path(self, path: Path) -> Path:
        """A path of the settings, made absolute."""
        return (self.home / path.expanduser()).resolve()

    def environment(self, name: str) -> EnvironmentSettings:
        """One environment; an unknown name is an error that lists the known ones."""
        try:
            return self.environments[name]
        except KeyError:
            known = ", ".join(sorted(self.environments))
            raise UsageError(f"there is no environment {name!r}", where=FILE, mend=f"use one of: {known}") from None

    def resolve(self, secret: Secret) -> str:
        """The value behind a reference, for an adapter and nothing else; masked from now on in all that is written.

        Raises:
            UsageError: The variable or the file is not there or empty.
        """
        kind, _, place = secret.partition(":")
        if kind == "env":
            value, mend = os.environ.get(place, ""), f"set the environment variable {place}"
        else:
            try:
                value = self.path(Path(place)).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):  # told below, with what to do about it
                value = ""
            mend = f"put the secret into the file {place}, readable by you alone"
        if not value:
            raise UsageError(f"the secret {secret} is not there", where=FILE, mend=mend)
        return redact.learn(value)


def find(start: Path | None = None) -> Path:
    """The settings file: the one that `DEPLOYKIT_SETTINGS` names, else the nearest one upwards.

    Raises:
        UsageError: There is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise UsageError(f"{named} is not a file", where=VARIABLE, mend=f"point it at a {FILE}")
        return Path(named)
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder / FILE
    raise UsageError(f"no {FILE} here or in a folder above", mend=f"run deploykit where one is, or set {VARIABLE}")


def load(path: Path | None = None) -> Settings:
    """Read and check the settings.

    Raises:
        UsageError: The file is missing, is not TOML, or has an unknown key or a wrong value; every fault is named.
    """
    path = path or find()
    try:
        raw = path.read_bytes()
        data = tomllib.loads(raw.decode())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is not TOML: {error}", where=str(path)) from error
    for own in ("home", "file", "digest"):
        if own in data:
            raise UsageError("unknown key", where=f"{path.name}: {own}", mend="take it out")
    try:
        own_keys = {"home": path.resolve().parent, "file": path.name, "digest": sha256(raw)}
        return Settings.model_validate({**data, **own_keys})
    except ValidationError as error:
        raise UsageError(_faults(error), where=path.name, mend="mend these keys; nothing was touched") from error


def _faults(error: ValidationError) -> str:
    """Every fault of a validation, one a line, each with its place."""
    lines = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"]) or "(file)"
        what = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {what}")
    return "\n".join(lines) if len(lines) == 1 else "\n  " + "\n  ".join(lines)
