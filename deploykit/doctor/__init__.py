"""Whether all that a deployment needs is there, before somebody needs it: each fault with its mend.

Everything asked here only reads. What does not answer says so and keeps nobody waiting, for all systems are asked side
by side.
"""

from __future__ import annotations

from collections.abc import Iterable

from deploykit.doctor import machine, team
from deploykit.doctor.asking import Look, asked, side_by_side
from deploykit.doctor.places import PLACES
from deploykit.doctor.vendors import VENDORS
from deploykit.model import SEVERITY, Result
from deploykit.providers import connect
from deploykit.settings import Settings

#: Seconds until a system that is still being asked is given up.
WITHIN = 30.0


def examine(settings: Settings, environments: Iterable[str] = (), *, within: float = WITHIN) -> tuple[Result, ...]:
    """Look at everything that the settings name.

    Args:
        settings: The settings, which have been read without fault.
        environments: Those to look at; none are all.
        within: Seconds until a system that is still being asked is given up.

    Returns:
        What was found, the worst first. What is well has an outcome that opens a gate.

    Raises:
        UsageError: There is no such environment.
    """
    names = tuple(environments) or tuple(settings.environments)
    looks: dict[str, Look] = {"machine": lambda: machine.look(settings), "settings": lambda: team.look(settings)}
    for number, name in enumerate(names):
        environment = settings.environment(name)
        if number == 0:
            looks |= {key: asked(ask, connect(settings, environment)) for key, ask in VENDORS.items()}
        for key, ask in PLACES.items():
            looks[f"{key}/{name}"] = asked(ask, connect(settings, environment), name)
        looks[f"store/{name}"] = lambda name=name: machine.store(settings, name)  # type: ignore[misc]
    found = side_by_side(looks, within)
    return tuple(sorted(found, key=lambda result: (-SEVERITY.index(result.outcome), result.item)))
