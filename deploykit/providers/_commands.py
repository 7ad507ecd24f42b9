"""A team's own programs as an adapter: started as they are, never through a shell, and ended when they take too long.

A program ends with 0 and writes JSON to stdout. To say no, it writes `{"refused": "why"}` and ends with anything else:
then nothing was changed. Every other end of a program that changes something leaves open whether it did.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.errors import Rejected
from deploykit.providers._answers import parse
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why
from deploykit.settings.commands import filled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploykit.settings import Settings

T = TypeVar("T")


def unread(_written: bytes) -> None:
    """What a program that was only told something writes is not read."""


Values = dict[str, str | int]


@dataclass(frozen=True)
class Commands:
    """Runs programs from the settings' folder.

    Attributes:
        section: The section that names them: `router`.
        home: The folder of the settings.
        timeout: Seconds that one may take.
        environment: Variables beside those of this process: secrets, so that they stand on no command line.
    """

    section: str
    home: Path
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, section: str, timeout: float, references: Mapping[str, str]) -> Commands:
        """Those of a section, with its secrets.

        Raises:
            UsageError: A secret is not there.
        """
        environment = {name: settings.resolve(reference) for name, reference in references.items()}
        return cls(section, settings.home, timeout, environment)

    def ask(
        self,
        name: str,
        words: tuple[str, ...],
        read: Callable[[Any], T],
        *,
        changed: bool = False,
        secret: bool = False,
        **values: str | int,
    ) -> T:
        """Run a program that changes nothing, and read the JSON that it writes.

        Args:
            name: The key that holds its words.
            words: The program and its arguments.
            read: Reads its answer; may raise a `Fault`.
            changed: Whether it looks after a change, so that its failure leaves that in doubt.
            secret: Whether what it writes must be quoted nowhere.
            values: What `$name` in the words stands for.

        Raises:
            Unreachable: It took too long, or ended with something else than 0.
            Rejected: It said no, cannot be started, or its answer is of no use.
        """

        def once() -> T:
            try:
                return read(parse(self._run(words, values)))
            except Fault as fault:
                if not secret or fault.why is Why.LATE or fault.mend:  # it did not run, so it wrote nothing
                    raise
                raise Fault(fault.why, "what it wrote is withheld", status=fault.status) from None

        return attempt(self._call(name, changes=changed), once)

    def tell(self, name: str, words: tuple[str, ...], read: Callable[[bytes], T], **values: str | int) -> T:
        """Run a program that changes something, once.

        Raises:
            Unreachable: It is not known whether it did.
            Rejected: It said no, or cannot be started.
        """
        return attempt(self._call(name, changes=True), lambda: read(self._run(words, values)))

    def require_programs(self, programs: tuple[str, ...]) -> str:
        """The programs are there and may be executed.

        Raises:
            Rejected: One is not.
        """
        missing = sorted({one for one in programs if shutil.which(self._place(one)) is None})
        if missing:
            raise Rejected(
                f"no program that may be executed: {', '.join(missing)}",
                where=f"{self.section}",
                mend=f"look at {self.section}, and at the files beside the settings",
            )
        return f"{len(set(programs))} programs"

    def _place(self, program: str) -> str:
        return str(self.home / program) if "/" in program else program

    def _call(self, name: str, *, changes: bool) -> Call:
        place = f"{self.section}.{name}"
        return Call("command", place, address=place, timeout=self.timeout, changes=changes)

    def _run(self, words: tuple[str, ...], values: Values) -> bytes:
        for name, value in values.items():
            # One that begins with a dash would be taken for an option.
            if not re.fullmatch(r"[^\s\x00-\x1f-][^\x00-\x1f]*", str(value)):
                raise Fault(Why.REFUSED, f"{name} cannot be given to a program: {str(value)[:80]!r}")
        program, *arguments = filled(words, **values)
        code, said, complained = self._ended([self._place(program), *arguments])
        if code != 0:
            raise _failed(code, said, complained)
        return said

    def _ended(self, command: list[str]) -> tuple[int, bytes, bytes]:
        """Exit code, stdout and stderr. What it started ends with it: nothing of it goes on behind our back."""
        try:
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            said = f"it cannot be started: {error.strerror}"
            raise Fault(Why.REFUSED, said, mend=f"see that {command[0]} is there, and may be executed") from error
        with process:
            try:
                out, err = process.communicate(timeout=self.timeout)
            except subprocess.TimeoutExpired as error:
                raise Fault(Why.LATE) from error
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, out, err


def _failed(code: int, said: bytes, complained: bytes) -> Fault:
    """A program's own no, or else an end that says nothing but its last line."""
    with suppress(ValueError, RecursionError):
        answer = json.loads(said)
        if isinstance(answer, dict) and isinstance(answer.get("refused"), str):
            return Fault(Why.REFUSED, answer["refused"])
    last = complained.decode("utf-8", "replace").strip().splitlines()[-1:]
    return Fault(Why.ENDED, *last, status=code)
