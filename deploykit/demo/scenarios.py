"""The demo's scenarios, as data: what is deployed, what goes wrong, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from deploykit.errors import Exit
from deploykit.settings.rules import Weekday

if TYPE_CHECKING:
    from deploykit.sandbox import Sandbox
    from deploykit.sandbox.project import Pace


@dataclass(frozen=True)
class Scenario:
    """One evening.

    Attributes:
        name: What `deploykit demo --scenario` calls it.
        story: One sentence for the screen and its page.
        release: The tag that is deployed.
        ends: How the last `run` or `resume` has to end.
        edit: What is different in the settings.
        breaks: What is broken before the run begins.
        overrides: The rule that somebody breaks the glass for.
        undoes: Whether the operator rolls back afterwards, the database too.
        outcomes: Items that must have ended so.
    """

    name: str
    story: str
    release: str
    ends: Exit
    edit: Callable[[str, Pace], str] = lambda text, _pace: text
    breaks: Callable[[Sandbox], None] | None = None
    overrides: str = ""
    undoes: bool = False
    outcomes: Mapping[str, str] = field(default_factory=dict)


def _sentry_is_down(box: Sandbox) -> None:
    box.vendors.stop("sentry")


def _every_day_is_quiet(text: str, _pace: Pace) -> str:
    days = ", ".join(f'"{day}"' for day in get_args(Weekday))
    return text.replace("quiet_days = []", f"quiet_days = [{days}]")


def _slow_first_step(text: str, pace: Pace) -> str:
    """The first step waits for so many requests that the window is over before the second."""
    window = (3 * pace.step + pace.hold) * pace.scale
    text = text.replace(f"requests = {pace.requests} }}", f"requests = {40 * pace.requests} }}", 1)
    return text.replace(f'window = "{pace.window * pace.scale:g}s"', f'window = "{window:g}s"')


SCENARIOS = (
    Scenario(
        name="healthy",
        story="is healthy and brings a migration. Without a signature nothing happens; with some it gets all traffic",
        release="v1.5.0",
        ends=Exit.DONE,
        outcomes={"database.migrate": "pass", "blue-green.traffic": "pass", "rule.documented": "pass"},
    ),
    Scenario(
        name="errors",
        story="fails one request in ten. It is stopped at 10 %, and everything goes back",
        release="v1.6.0",
        ends=Exit.ROLLED_BACK,
        outcomes={"blue-green.traffic": "fail", "rollback.traffic": "pass", "rollback.notified": "pass"},
    ),
    Scenario(
        name="no-migration",
        story="is healthy and needs no migration: what it does not need is proved, and said so",
        release="v1.4.3",
        ends=Exit.DONE,
        outcomes={"database.migrate": "not-needed", "blue-green.traffic": "pass"},
    ),
    Scenario(
        name="slow",
        story="answers, but late: the judge sees it in the share of slow requests",
        release="v1.7.0",
        ends=Exit.ROLLED_BACK,
        outcomes={"blue-green.traffic": "fail", "rollback.traffic": "pass"},
    ),
    Scenario(
        name="leak",
        story="leaks memory, which no request shows: the watch sees it grow",
        release="v1.13.0",
        ends=Exit.ROLLED_BACK,
        outcomes={"blue-green.traffic": "pass", "watch.resources": "fail", "rollback.traffic": "pass"},
    ),
    Scenario(
        name="failing-migration",
        story="brings a migration that fails half-way: no traffic moves, and what was applied is taken back",
        release="v1.9.0",
        ends=Exit.FAILED,
        undoes=True,
        outcomes={"database.migrate": "fail", "rollback.migration": "pass", "rollback.restore": "not-needed"},
    ),
    Scenario(
        name="restore",
        story="brings a migration that cannot be taken back: the backup is restored",
        release="v1.10.0",
        ends=Exit.DONE,
        undoes=True,
        outcomes={"rollback.migration": "fail", "rollback.restore": "pass", "rollback.restart": "pass"},
    ),
    Scenario(
        name="vendor-down",
        story="meets a Sentry that does not answer: its item is an error, and nobody else is late",
        release="v1.4.3",
        ends=Exit.FAILED,
        breaks=_sentry_is_down,
        outcomes={"monitoring.sentry-project": "error", "code-review.ci-green": "pass"},
    ),
    Scenario(
        name="friday",
        story="meets a day on which nothing is deployed. Somebody breaks the glass, with a reason and a name",
        release="v1.4.3",
        ends=Exit.DONE,
        edit=_every_day_is_quiet,
        overrides="rule.no-friday",
        outcomes={"rule.no-friday": "fail", "blue-green.traffic": "pass"},
    ),
    Scenario(
        name="overrun",
        story="is held so long at 10 % that the window is over: nobody answers, and traffic goes back",
        release="v1.4.3",
        ends=Exit.HELD,
        edit=_slow_first_step,
        outcomes={"rule.window": "fail", "blue-green.traffic": "inconclusive"},
    ),
)


def find(name: str) -> Scenario:
    """The scenario of this name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
