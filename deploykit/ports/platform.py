"""Where the service runs, and what splits its traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from deploykit.model import Colour, Json

Weights = Mapping[Colour, int]


def as_json(weights: Weights) -> Json:
    """Weights, or counts by colour, as they are written down."""
    return {str(colour): number for colour, number in weights.items()}


@dataclass(frozen=True)
class Deployment:
    """One deployment of a service on the platform.

    Attributes:
        status: The platform's own word.
        state: What it means: `running`, `pending`, `failed` or `gone`.
        can_roll_back: Whether the platform can go back *to* it.
        changed: When its status last changed, as the platform writes it; only good for comparing with itself.
    """

    id: str
    commit: str
    status: str
    state: str
    created_at: datetime
    can_roll_back: bool
    changed: str = ""


class Router(Protocol):
    """Splits the traffic between the colours."""

    def weights(self) -> Weights:
        """The weights in force, read from the router itself."""
        ...

    def set_weights(self, weights: Weights) -> None:
        """Set both weights at once; they sum to 100."""
        ...

    def counts(self) -> Mapping[Colour, int]:
        """Requests sent to each colour since the router started."""
        ...

    def stop(self) -> None:
        """Have every request met by the maintenance answer (503) instead of a colour."""
        ...

    def resume(self) -> None:
        """Let requests through again, by the weights."""
        ...

    def stopped(self) -> bool:
        """Whether the maintenance answer is in force for all requests, read from the router itself."""
        ...


class Platform(Protocol):
    """Runs the service's copies."""

    def deployments(self, service: str, *, limit: int = 10) -> tuple[Deployment, ...]:
        """The latest deployments of a service, newest first."""
        ...

    def deploy(self, service: str, commit: str) -> str:
        """Start a deployment and return its id at once."""
        ...

    def roll_back(self, deployment: str) -> None:
        """Start going back to an earlier deployment. The new one is found in `deployments` afterwards."""
        ...

    def restart(self, deployment: str) -> None:
        """Start restarting the processes of a deployment; its status tells when they are up."""
        ...

    def logs(self, deployment: str, *, limit: int = 100) -> tuple[str, ...]:
        """The last lines that a deployment wrote, oldest first."""
        ...

    def variables(self, service: str) -> Mapping[str, str]:
        """A service's variables. The values are secrets: to compare in memory, and never to write."""
        ...
