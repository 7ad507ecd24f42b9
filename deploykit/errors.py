"""Every error that deploykit raises on purpose.

    DeploykitError                      exit code of the command line
    ├── UsageError                      2   a setting, parameter or argument is wrong; nothing was touched
    ├── Waiting                         3   a person has to decide first
    ├── RefusedError                    8   a rule forbids it
    │   ├── LockedError                 8   another run or process acts on this environment
    │   └── OvertakenError              8   what it rests on changed while it was being done
    ├── ProviderError                   1   an outside system could not be asked, or its answer is of no use
    │   ├── Unreachable                 1     it did not answer, or not in time
    │   └── Rejected                    1     it answered, and said no
    ├── StepUnknownError                5   an action's end was not seen, and no probe can tell
    ├── NotPassedError                  1   an item did not pass
    │   ├── HeldError                   4     held too long: traffic went back to live
    │   └── RolledBackError             6     the judge, or a person, rolled back
    ├── RollbackIncompleteError         7   a rollback could not finish: act now
    ├── StoreError                      1   the journal cannot be written or read
    └── BrokenRecordError               1   a chain, a signature, a hash or a list of files does not hold

Each carries what went wrong, where, and what to do next.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit code says, for scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    HELD = 4
    UNKNOWN = 5
    ROLLED_BACK = 6
    ROLLBACK_INCOMPLETE = 7
    REFUSED = 8


class DeploykitError(Exception):
    """Base of all deliberate errors.

    Args:
        what: What went wrong, in one sentence.
        where: The place: a file and key, a command, a system and call.
        mend: What the reader can do about it.
    """

    exit_code: Exit = Exit.FAILED

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  → {self.mend}" if self.mend else text

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the message, which says what to do, and not our insides."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(DeploykitError):
    """A setting, a parameter or an argument is wrong, found before anything was touched."""

    exit_code = Exit.USAGE


class Waiting(DeploykitError):  # noqa: N818 - waiting for a person is a state, not a fault
    """A person has to decide first."""

    exit_code = Exit.WAITING


class RefusedError(DeploykitError):
    """A rule of the runbook forbids it."""

    exit_code = Exit.REFUSED


class LockedError(RefusedError):
    """Another run, or another process of this run, acts on the environment."""


class OvertakenError(RefusedError):
    """What it rests on changed after it was looked at, and before it was written down."""


class ProviderError(DeploykitError):
    """An outside system could not be asked, or its answer is of no use."""


class Unreachable(ProviderError):  # noqa: N818 - the name of the state
    """The system did not answer, or not in time. Whether a change happened is not known."""


class Rejected(ProviderError):  # noqa: N818 - the name of the state
    """The system answered and said no. The change did not happen."""


class StepUnknownError(DeploykitError):
    """An action's end was not seen, and no probe can tell whether it happened."""

    exit_code = Exit.UNKNOWN


class NotPassedError(DeploykitError):
    """An item, or a phase's gate, did not pass."""


class HeldError(NotPassedError):
    """Held for longer than the limit without a decision: traffic went back to live."""

    exit_code = Exit.HELD


class RolledBackError(NotPassedError):
    """The judge or a person rolled back."""

    exit_code = Exit.ROLLED_BACK


class RollbackIncompleteError(DeploykitError):
    """A rollback could not finish. A person has to act now."""

    exit_code = Exit.ROLLBACK_INCOMPLETE


class StoreError(DeploykitError):
    """The journal's store cannot be written or read."""


class BrokenRecordError(DeploykitError):
    """A chain, a signature, a hash or a list of files does not hold."""
