"""Notebooks through papermill, so that the archived copy tells the truth. The only importer of papermill.

`execute` is for the runner; `papermill --engine deploykit` comes to `DeploykitEngine` through the entry point.
Importing this package loads papermill, which takes more than a second: import it where it is used.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """The engine, for papermill: loading it, papermill asks for us while we are still waiting for papermill."""
    if name == "DeploykitEngine":
        from deploykit.engine import adapter  # noqa: PLC0415 - it can load only once papermill's engines have

        return adapter.DeploykitEngine
    raise AttributeError(name)


import papermill as _papermill  # noqa: E402, F401 - first, so that the circle always closes at `__getattr__` above

from deploykit.engine.adapter import DeploykitEngine, execute  # noqa: E402
from deploykit.engine.words import MODE, CellRan, Executed  # noqa: E402
from deploykit.executed import CellStatus  # noqa: E402

__all__ = ["MODE", "CellRan", "CellStatus", "DeploykitEngine", "Executed", "execute"]
