"""Notebooks through papermill, so that the archived copy tells the truth. The only importer of papermill.

`execute` is for the runner; `papermill --engine deploykit` comes to `DeploykitEngine` through the entry point.
Importing this package loads papermill, which takes more than a second: import it where it is used.
"""

from __future__ import annotations

from deploykit.engine.adapter import DeploykitEngine, execute
from deploykit.engine.words import MODE, CellRan, CellStatus, Executed

__all__ = ["MODE", "CellRan", "CellStatus", "DeploykitEngine", "Executed", "execute"]
