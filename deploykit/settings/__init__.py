"""`deploykit.toml`: read once, typed, and refused as a whole when one key is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import Field, ValidationError

from deploykit import redact
from deploykit.errors import UsageError
from deploykit.model import Record, sha256
from deploykit.settings.contacts import ContactSettings, ContactsSettings
from deploykit.settings.database import DatabaseSettings
from deploykit.settings.environment import EnvironmentSettings, SmokeRequest
from deploykit.settings.metrics import MetricsSettings
from deploykit.settings.record import LockSettings, WitnessSettings
from deploykit.settings.rules import LimitsSettings, PersonSettings, RulesSettings, ShiftSettings, SigningSettings
from deploykit.settings.types import Name, Secret
from deploykit.settings.vendors import (
    ChatSettings,
    ErrorsSettings,
    FlagsSettings,
    GithubSettings,
    LogsSettings,
    MonitoringSettings,
    PagerSettings,
)

__all__ = [
    "FILE",
    "MODE",
    "VARIABLE",
    "ContactSettings",
    "DatabaseSettings",
    "EnvironmentSettings",
    "LogsSettings",
    "MetricsSettings",
    "PersonSettings",
    "Settings",
    "SmokeRequest",
    "find",
    "load",
]

FILE = "deploykit.toml"
VARIABLE = "DEPLOYKIT_SETTINGS"
#: Tells a kernel that the engine started how it is run: `run` or `replay`.
MODE = "DEPLOYKIT_MODE"


#: The password in an address, which is a secret by itself: `scheme://user:password@host`, or libpq's `password=...`.
_PASSWORD = re.compile(r"://[^/@:\s]*:([^/@\s]+)@|[?&]password=([^&\s]+)|(?<![?&])\bpassword\s*=\s*'?([^'\s]+)")


class ServiceSettings(Record):
    """What is deployed."""

    name: Name


class Settings(Record):
    """The whole file. Paths are relative to it."""

    service: ServiceSettings
    environments: Annotated[dict[Name, EnvironmentSettings], Field(min_length=1)]
    github: GithubSettings
    metrics: MetricsSettings
    logs: LogsSettings | None = None
    monitoring: MonitoringSettings | None = None
    limits: LimitsSettings = LimitsSettings()
    chat: ChatSettings
    errors: ErrorsSettings | None = None
    pager: PagerSettings | None = None
    flags: FlagsSettings | None = None
    contacts: ContactsSettings = ContactsSettings()
    shift: ShiftSettings = ShiftSettings()
    rules: RulesSettings = RulesSettings()
    #: Items of the checklist that this team leaves out, each with its reason.
    left_out: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    people: dict[str, PersonSettings] = Field(default_factory=dict)
    signing: SigningSettings
    witness: WitnessSettings = WitnessSettings()
    lock: LockSettings = LockSettings()
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
        for password in _PASSWORD.findall(value):
            redact.learn(unquote(next(filter(None, password))))
        return redact.learn(value)

    def learn(self) -> None:
        """Have each secret that this machine has masked, used or not: a program that we start may know it, too."""
        for reference in _references(self.model_dump(mode="json")):
            # One that this machine does not have cannot be written by it.
            with suppress(UsageError):
                self.resolve(reference)


def _references(value: Any) -> Iterator[str]:
    """Every reference to a secret in a JSON value."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _references(inner)
    elif isinstance(value, str) and value.startswith(("env:", "file:")):
        yield value


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
        place = ".".join(_keys(fault["loc"])) or "(file)"
        what = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {what}")
    return "\n".join(lines) if len(lines) == 1 else "\n  " + "\n  ".join(lines)


def _keys(loc: tuple[int | str, ...]) -> Iterator[str]:
    """The keys of a place, without the kind that pydantic puts behind a section which has several."""
    for before, part in pairwise(("", *loc)):
        if before not in {"router", "platform"} or part not in {"envoy", "haproxy", "railway", "command"}:
            yield str(part)
