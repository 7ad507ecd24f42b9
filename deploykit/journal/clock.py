"""The three readings that every event carries, and whether they agree with what came before."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from deploykit.errors import RefusedError
from deploykit.journal.events import Event

#: How far wall time and elapsed time may drift apart before forward effects are refused.
TOLERANCE_SECONDS = 60.0


class Reading(NamedTuple):
    """UTC as text, the boot's id, and nanoseconds since boot through sleep."""

    at: str
    boot: str
    boot_ns: int


@cache
def boot_id() -> str:
    """The id of this boot; where the system has none, of this process."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"process-{os.getpid()}-{uuid.uuid4()}"


def boot_ns() -> int:
    """Nanoseconds by a clock that runs through sleep, where the system has one."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def read() -> Reading:
    """All three, now."""
    stamp = datetime.now(UTC)
    return Reading(f"{stamp:%Y-%m-%dT%H:%M:%S}.{stamp.microsecond // 1000:03d}Z", boot_id(), boot_ns())


def since(then: Reading) -> float:
    """Seconds since a reading: by the clock that nobody sets within one boot, by UTC across boots and hosts."""
    current = read()
    if then.boot == current.boot:
        return (current.boot_ns - then.boot_ns) / 1e9
    return (datetime.fromisoformat(current.at) - datetime.fromisoformat(then.at)).total_seconds()


def require_steady(newest: Event, current: Reading) -> None:
    """Refuse to act by a clock that jumped.

    Raises:
        RefusedError: The clock is behind the newest event, or apart from elapsed time by more than a minute.
    """
    then, present = datetime.fromisoformat(newest.at), datetime.fromisoformat(current.at)
    apart = (present - then).total_seconds()
    if newest.boot == current.boot:
        apart -= (current.boot_ns - newest.boot_ns) / 1e9
        if abs(apart) <= TOLERANCE_SECONDS:
            return
    elif apart >= 0:
        return
    raise RefusedError(
        f"this machine's clock jumped by {apart:+.0f} s since event {newest.seq}",
        where="clock",
        mend="set the clock (chronyc makestep, timedatectl), then resume; a rollback is not affected",
    )
