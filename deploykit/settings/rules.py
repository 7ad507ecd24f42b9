"""What the team has agreed on: limits, the shift, its people, and who may sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from deploykit.model import Record, TrafficStep
from deploykit.settings.types import Seconds


class LimitsSettings(Record):
    """What the service promises."""

    error_rate: Annotated[float, Field(gt=0, lt=1)] = 0.001
    latency: Seconds = 0.5


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
