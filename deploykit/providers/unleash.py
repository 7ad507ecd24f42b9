"""Unleash for feature flags, over the client API that its SDKs poll.

Its own SDK answers for one user at a time. What is asked here is whether a flag can be on for anybody, so the flag's
definition is read: it is off only where nothing in it can turn it on.

Source: https://docs.getunleash.io/reference/api/unleash/client, https://docs.getunleash.io/reference/activation-strategies
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deploykit.providers._answers import listing, mapping, text
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, words
from deploykit.providers._needed import needed
from deploykit.providers._rest import Rest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.vendors import FlagsSettings

#: Seconds for each whole answer.
TIMEOUT = 10.0
#: The parameter that says for which share of users a strategy is on, in percent.
_SHARES = {
    "flexibleRollout": "rollout",
    "gradualRolloutRandom": "percentage",
    "gradualRolloutSessionId": "percentage",
    "gradualRolloutUserId": "percentage",
}
_MENDS = {404: "look at flags.url: it is the address before /api"}


class UnleashFlags:
    """A `ports.Flags`.

    Args:
        settings: The section `[flags]`.
        token: What its token stands for.
        timeout: Seconds for each whole answer.
    """

    def __init__(self, settings: FlagsSettings, token: str, *, timeout: float = TIMEOUT) -> None:
        self._settings = settings
        # Without an ETag to compare with, an answer is always whole, and never older than the question.
        headers = {"Authorization": token, "Unleash-AppName": "deploykit"}
        self._rest = Rest(settings.url, headers, timeout=timeout, mends=_MENDS)
        self._call = Call("Unleash", "", address="flags.url", token="flags.token", timeout=timeout)  # noqa: S106 - a name

    def enabled(self, name: str) -> bool | None:
        """Whether the flag can be on for anybody in the token's environment; None where there is no such flag.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Unleash refused, the token is for another environment, or an answer of no use.
        """

        def once() -> bool | None:
            answer = mapping(self._rest.get("/api/client/features", self._scope()), "the answer")
            self._require_environment(answer)
            listed = [mapping(one, "a feature") for one in listing(answer.get("features"), "features")]
            flags = {text(one.get("name"), "a feature's name"): one for one in listed}
            return _can_be_on(name, flags, ()) if name in flags else None

        return attempt(replace(self._call, what=f"flag {words(name)}"), once)

    def _scope(self) -> dict[str, str]:
        return {"project": self._settings.project} if self._settings.project else {}

    def _require_environment(self, answer: dict[str, Any]) -> None:
        query = answer.get("query")
        found = query.get("environment") if isinstance(query, dict) else None
        wanted = self._settings.environment
        if wanted and found and found != wanted:
            mend = f"make a client token for {wanted}, or mend flags.environment"
            raise Fault(Why.REFUSED, f"the token is for the environment {found}, not {wanted}", mend=mend)


def connect(settings: Settings, environment: EnvironmentSettings) -> UnleashFlags:  # noqa: ARG001 - all take both
    """The service's feature flags, with their token.

    Raises:
        UsageError: The token is not there.
    """
    flags = needed(settings.flags, "flags")
    return UnleashFlags(flags, settings.resolve(flags.token))


def _can_be_on(name: str, flags: Mapping[str, dict[str, Any]], above: tuple[str, ...]) -> bool:
    """Whether a flag can be on for anybody: it is enabled, what it depends on allows it, and a strategy lets it."""
    flag = flags[name]
    enabled = flag.get("enabled")
    if not isinstance(enabled, bool):
        raise Fault(Why.GARBLED, f"enabled of {name} is not true or false but {str(enabled)[:80]!r}")
    parents = [mapping(one, "a dependency") for one in listing(flag.get("dependencies") or [], "dependencies")]
    strategies = [mapping(one, "a strategy") for one in listing(flag.get("strategies") or [], "strategies")]
    lets = not strategies or any(map(_lets_somebody, strategies))
    return enabled and lets and all(_allows(parent, flags, (*above, name)) for parent in parents)


def _allows(parent: dict[str, Any], flags: Mapping[str, dict[str, Any]], below: tuple[str, ...]) -> bool:
    """Whether what a flag depends on may hold. A parent that must be off is taken to be off for somebody."""
    name = text(parent.get("feature"), "a dependency's feature")
    if name not in flags:
        return False
    if parent.get("enabled") is False or name in below:
        return True
    return _can_be_on(name, flags, below)


def _lets_somebody(strategy: dict[str, Any]) -> bool:
    """Whether a strategy can be on for anybody. Constraints, segments and strange strategies are taken to let some."""
    name, given = text(strategy.get("name"), "a strategy's name"), strategy.get("parameters")
    parameters = given if isinstance(given, dict) else {}
    if strategy.get("disabled") is True:
        return False
    if name == "userWithId":
        return bool(str(parameters.get("userIds") or "").strip(" ,"))
    if name in _SHARES:
        return _share(parameters.get(_SHARES[name])) > 0
    return True


def _share(value: Any) -> float:
    """A percentage, which Unleash sends as text. What is none might be anything, so it lets somebody."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 100.0
