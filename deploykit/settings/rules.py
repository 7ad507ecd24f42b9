"""What the team has agreed on: limits, the shift, its people, and who may sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from deploykit.model import DecisionKind, Record, TrafficStep
from deploykit.settings.types import Seconds

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


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


class RulesSettings(Record):
    """The runbook's own rules.

    Attributes:
        quiet_days: Weekdays of the service's time zone on which nothing is deployed without a signed override.
        window: How long it may take from the first change of production to 100 percent; in the runbook's time.
        rehearse: Items that load or touch something, and that a rehearsal may look at all the same.
        check_within: How long one check may take before it is an error.
    """

    quiet_days: tuple[Weekday, ...] = ("friday",)
    window: Seconds = 3600.0
    rehearse: tuple[str, ...] = ()
    check_within: Seconds = 120.0


class PersonSettings(Record):
    """One person: the SSH principal that signs, and the same person's other names.

    Attributes:
        roles: `approver` approves and overrides everything, `approver:ITEM` that item (or `plan`) alone.
    """

    principal: str
    github: str = ""
    slack: str = ""
    pagerduty: str = ""
    roles: tuple[str, ...] = ()


class SigningSettings(Record):
    """Who may sign, and with what this machine signs.

    Attributes:
        allowed_signers: OpenSSH's file of principals and keys, kept in the team's repository.
        key: The operator's (or the service's) key, private or public; with a public one the agent signs.
        operator: The principal that opens and runs runs here.
        solo: One person may be author, operator and approver. Heads every report.
        sign_within: How long a statement may lie before it is signed and brought in.
        approval_valid: How long a decision can be used.
        override_valid: The same, where it breaks the glass.
    """

    allowed_signers: Path
    key: Path | None = None
    operator: str = ""
    solo: bool = False
    sign_within: Seconds = 3600.0
    approval_valid: Seconds = 86400.0
    override_valid: Seconds = 3600.0

    def valid(self, kind: DecisionKind) -> float:
        """For how many seconds a decision of a kind can be used."""
        return self.override_valid if kind is DecisionKind.OVERRIDDEN else self.approval_valid
