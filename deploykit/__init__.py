"""Production deployments as notebooks that do the work, watch, roll back and keep the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploykit.frames import runs_frame

__all__ = ["__version__", "runs_frame"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Reading notebooks back takes seconds to import, and a rollback has none to spare.
    if name == "runs_frame":
        from deploykit.frames import runs_frame  # noqa: PLC0415 - see above

        return runs_frame
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
