"""What every router adapter asks of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.errors import Rejected, UsageError

if TYPE_CHECKING:
    from deploykit.model import Colour
    from deploykit.ports import Weights

COLOURS: tuple[Colour, Colour] = ("blue", "green")


def checked(weights: Weights, system: str) -> None:
    """Refuse weights that are none, before anything is sent.

    Raises:
        UsageError: They are not two whole percentages that sum to 100.
    """
    whole = all(type(weight) is int and 0 <= weight <= 100 for weight in weights.values())
    if set(weights) != set(COLOURS) or not whole or sum(weights.values()) != 100:
        raise UsageError(f"weights are two whole percentages that sum to 100, not {shown(weights)}", where=system)


def require_applied(wanted: Weights, found: Weights, *, where: str, mend: str) -> None:
    """What was read back is what was asked for.

    Raises:
        Rejected: The router said yes, and does something else.
    """
    if found != dict(wanted):
        raise Rejected(
            f"it accepted the weights {shown(wanted)} and does not apply them: in force are {shown(found)}",
            where=where,
            mend=mend,
        )


def shown(weights: Weights) -> str:
    """Weights in words."""
    return ", ".join(f"{colour} {weight}" for colour, weight in sorted(weights.items()))
