"""The outside systems: one small module a vendor, found by name, imported when first used.

To add one: a module with `connect(settings, environment)` that returns an adapter of a port, its client imported in the
constructor; its name in `ADAPTERS`; an extra of the same name in `pyproject.toml` if it needs a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from deploykit.errors import UsageError
from deploykit.settings import FILE

if TYPE_CHECKING:
    from deploykit.ports import Chat, Database, Http, Metrics, Platform, Repository, Router
    from deploykit.settings import EnvironmentSettings, Settings

#: Kind of port, name in the settings, module.
ADAPTERS: Mapping[str, Mapping[str, str]] = {
    "http": {"httpx": "deploykit.providers.http"},
    "router": {"envoy": "deploykit.providers.envoy"},
    "platform": {"railway": "deploykit.providers.railway"},
    "metrics": {"datadog": "deploykit.providers.datadog"},
    "repository": {"github": "deploykit.providers.github"},
    "chat": {"slack": "deploykit.providers.slack"},
    "database": {"postgres": "deploykit.providers.postgres"},
}
#: The adapters whose client is an extra of the same name.
EXTRAS = frozenset({"railway", "datadog", "github", "slack", "postgres"})


@dataclass(frozen=True)
class Connections:
    """Every outside system of an environment, connected when first used: a `context.Ports`.

    Each property may raise `UsageError`: a secret is not there, or the adapter's client is not installed.
    """

    settings: Settings
    environment: EnvironmentSettings

    @cached_property
    def http(self) -> Http:
        """Plain HTTP."""
        return cast("Http", self._adapter("http", "httpx"))

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
        settings = self.environment.database
        if settings is None:
            raise UsageError("no database is set up", where=FILE, mend="write [environments.NAME.database]")
        return cast("Database", self._adapter("database", settings.kind))

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
