"""Runs the programs that the adapter needs: each with a deadline, no secret in its arguments or its errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deploykit import redact
from deploykit.errors import Rejected, Unreachable, UsageError

#: What a program is given of our environment: nothing that could hold a secret or change what it does.
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR")
_SECRETS = ("password", "sslpassword", "passfile")
#: The end of what a program said; an error's reader needs no more.
_SAID = 600


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what it wrote."""

    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Programs:
    """Where programs are found, and how long one may take.

    Attributes:
        folder: Looked into first.
        deadline: In seconds.
    """

    folder: Path | None
    deadline: float

    def find(self, name: str) -> str:
        """A program, from the settings' folder, from beside Python, or from PATH.

        Raises:
            UsageError: It is nowhere.
        """
        places = [str(self.folder)] if self.folder else []
        path = os.pathsep.join([*places, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        found = shutil.which(name, path=path)
        if found is None:
            raise UsageError(
                f"{name} is missing",
                where="environments.NAME.database.programs",
                mend="install PostgreSQL's client programs and squawk-cli, or name the folder that has them",
            )
        return found

    def run(
        self,
        command: Sequence[str],
        *,
        conninfo: str = "",
        given: str = "",
        cwd: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run one to its end.

        Args:
            command: Program and arguments; for a database, `--dbname` is added.
            conninfo: The database, whose password goes by the environment.
            given: Its standard input.
            cwd: Where it runs.
            more: Variables beside the few that it inherits.

        Raises:
            Unreachable: It did not end in time, and was killed.
        """
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | dict(more or {})
        arguments = list(command)
        if conninfo:
            parts = conninfo_to_dict(conninfo)
            environment |= {"PGPASSWORD": str(parts["password"])} if parts.get("password") else {}
            environment |= {"PGPASSFILE": str(parts["passfile"])} if parts.get("passfile") else {}
            public = {key: value for key, value in parts.items() if key not in _SECRETS}
            arguments.append(f"--dbname={make_conninfo('', **public)}")
        name = Path(command[0]).name
        try:
            ended = subprocess.run(
                arguments, input=given.encode(), env=environment, cwd=cwd, timeout=self.deadline, capture_output=True,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            mend = "look at what holds it up, or raise environments.NAME.database.deadline"
            raise Unreachable(f"it did not end within {self.deadline:g} s", where=name, mend=mend) from None
        except OSError as error:
            raise UsageError(f"cannot be run: {error.strerror}", where=name, mend="look at the program") from error
        return Ended(ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace"))

    def must(self, command: Sequence[str], *, conninfo: str = "", mend: str) -> str:
        """Run one that has to succeed, and return what it wrote.

        Raises:
            Rejected: It failed; the end of what it said is in the error.
            Unreachable: It could not reach the server, or did not end in time.
        """
        ended = self.run(command, conninfo=conninfo)
        if ended.code:
            said = last_words(ended.errors) or f"it ended with {ended.code}"
            kind = Unreachable if "connection to server" in said else Rejected
            raise kind(said, where=Path(command[0]).name, mend=mend)
        return ended.output


def last_words(text: str) -> str:
    """The end of what a program said, on one line and without secrets."""
    # Secrets go first: one that is broken over lines would not be known again once they are joined, or cut.
    return redact.visible(" ".join(redact.text(text).split())[-_SAID:])
