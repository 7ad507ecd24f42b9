"""How a run of notebooks ends, as the journal says it; without a kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from deploykit import runner
from deploykit.checklist import checklist
from deploykit.engine import CellRecord, CellStatus, Executed, RunStatus
from deploykit.errors import (
    BrokenRecordError,
    DeploykitError,
    Exit,
    HeldError,
    LockedError,
    NotPassedError,
    RefusedError,
    RollbackIncompleteError,
    RolledBackError,
    StepUnknownError,
    StoreError,
    Waiting,
)
from deploykit.journal import spool
from deploykit.journal.events import Type
from deploykit.journal.state import Status
from deploykit.model import Outcome, Result
from deploykit.run import Run
from tests.world import LIVE, SERVICE, Fault, World

BACK = "weights blue 0, green 100"
