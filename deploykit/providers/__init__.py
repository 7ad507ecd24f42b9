"""The outside systems: one small module a vendor, found by name, imported when first used.

To add one: a module with `connect(settings, environment)` that returns an adapter of a port, its client imported in the
constructor; its name in `ADAPTERS`; an extra of the same name in `pyproject.toml` if it needs a client. What shows that
address, token and place are right, and is no part of the port, it offers as `questions()`: see `Introduced`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from deploykit.errors import UsageError
from deploykit.providers._needed import needed

if TYPE_CHECKING:
    from deploykit.ports import (
        Chat,
        Database,
        Errors,
        Events,
        Flags,
        Http,
        Logs,
        Metrics,
        Monitors,
        Pager,
        Platform,
        Repository,
        Router,
        Tls,
    )
    from deploykit.settings import EnvironmentSettings, Settings

#: Kind of port, name in the settings, module.
ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "http": {"httpx": "deploykit.providers.http"},
    "tls": {"tls": "deploykit.providers.tls"},
    "router": {
        "envoy": "deploykit.providers.envoy",
        "haproxy": "deploykit.providers.haproxy",
        "command": "deploykit.providers.command_router",
    },
    "platform": {"railway": "deploykit.providers.railway", "command": "deploykit.providers.command_platform"},
    "metrics": {"datadog": "deploykit.providers.datadog"},
    "errors": {"sentry": "deploykit.providers.sentry"},
    "pager": {"pagerduty": "deploykit.providers.pagerduty"},
    "flags": {"unleash": "deploykit.providers.unleash"},
    "logs": {"datadog": "deploykit.providers.datadog_logs"},
    "monitors": {"datadog": "deploykit.providers.datadog_monitors"},
    "events": {"datadog": "deploykit.providers.datadog_events"},
    "repository": {"github": "deploykit.providers.github"},
    "chat": {"slack": "deploykit.providers.slack"},
    "database": {"postgres": "deploykit.providers.postgres"},
}
#: The adapters whose client is an extra of the same name.
EXTRAS = frozenset({"railway", "datadog", "github", "slack", "pagerduty", "postgres", "tls"})


class Introduced(Protocol):
    """An adapter that can be asked, reading only, whether it is set up right."""

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Cheap questions by name; each answers in a few words what is there, or raises a `ProviderError`."""
        ...


@dataclass(frozen=True)
class Connections:
    """Every outside system of an environment, connected when first used: a `context.Ports`.

    Each property may raise `UsageError`: a section or a secret is not there, or the adapter's client is not installed.
    """

    settings: Settings
    environment: EnvironmentSettings

    @cached_property
    def http(self) -> Http:
        """Plain HTTP."""
        return cast("Http", self._adapter("http", "httpx"))

    @cached_property
    def tls(self) -> Tls:
        """The certificates that hosts show."""
        return cast("Tls", self._adapter("tls", "tls"))

    @cached_property
    def router(self) -> Router:
        """The router in front of both colours."""
        return cast("Router", self._adapter("router", self.environment.router.kind))

    @cached_property
    def platform(self) -> Platform:
        """What runs the copies."""
        return cast("Platform", self._adapter("platform", self.environment.platform.kind))

    @cached_property
    def metrics(self) -> Metrics:
        """Where the numbers come from."""
        return cast("Metrics", self._adapter("metrics", self.settings.metrics.kind))

    # Logs, monitors and events are asked of the vendor of the metrics, with the same keys.

    @cached_property
    def logs(self) -> Logs:
        """What the service writes down."""
        return cast("Logs", self._adapter("logs", self.settings.metrics.kind))

    @cached_property
    def monitors(self) -> Monitors:
        """What watches the service."""
        return cast("Monitors", self._adapter("monitors", self.settings.metrics.kind))

    @cached_property
    def events(self) -> Events:
        """Marks on the vendor's time line."""
        return cast("Events", self._adapter("events", self.settings.metrics.kind))

    @cached_property
    def errors(self) -> Errors:
        """Where its errors are tracked."""
        return cast("Errors", self._adapter("errors", needed(self.settings.errors, "errors").kind))

    @cached_property
    def pager(self) -> Pager:
        """Who is on call."""
        return cast("Pager", self._adapter("pager", needed(self.settings.pager, "pager").kind))

    @cached_property
    def flags(self) -> Flags:
        """Its feature flags."""
        return cast("Flags", self._adapter("flags", needed(self.settings.flags, "flags").kind))

    @cached_property
    def repository(self) -> Repository:
        """Where the code lives."""
        return cast("Repository", self._adapter("repository", "github"))

    @cached_property
    def chat(self) -> Chat:
        """Where the team talks."""
        return cast("Chat", self._adapter("chat", self.settings.chat.kind))

    @cached_property
    def database(self) -> Database:
        """Production's database."""
        settings = needed(self.environment.database, "environments.NAME.database")
        return cast("Database", self._adapter("database", settings.kind))

    def questions(self, port: str) -> Mapping[str, Callable[[], str]]:
        """What an adapter can be asked beside its port; one that is not there says why, as its property does."""
        return cast("Introduced", getattr(self, port)).questions()

    def _adapter(self, port: str, name: str) -> Any:
        known = ADAPTERS[port]
        if name not in known:
            raise UsageError(f"no {port} is called {name!r}", mend=f"use one of: {', '.join(sorted(known))}")
        try:
            return import_module(known[name]).connect(self.settings, self.environment)
        except ModuleNotFoundError as error:
            extra = f"[{name}]" if name in EXTRAS else ""
            raise UsageError(
                f"the client for {name} is not installed: {error.name} is missing",
                where=port,
                mend=f"pip install 'deploykit-runbooks{extra}'",
            ) from error


def connect(settings: Settings, environment: EnvironmentSettings) -> Connections:
    """The outside systems of one environment. Nothing is asked, and no client imported, before one is used."""
    return Connections(settings, environment)
