"""Heads of a journal, told to somebody outside, so that a tail that was cut off is seen.

One sentence says a head, wherever it stands: in a chat message, a line of a file, or the message of a git tag. Whoever
verifies an archive gives any of these back.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from deploykit.errors import UsageError
from deploykit.journal.events import Event, Head, Type
from deploykit.model import Json
from deploykit.settings import Settings

_SENTENCE = re.compile(r"deploykit (\S+) event (\d+) sha256 ([0-9a-f]{64})")
_WORTH = {Type.RUN_OPENED, Type.PHASE_ENDED, Type.TRAFFIC_RETURNED, Type.RUN_ENDED, Type.RUN_SEALED}
#: Tags of one run lie below its id.
_TAGS = "refs/tags/deploykit"
#: Local work; and for a remote to answer.
_SECONDS, _REMOTE_SECONDS = 10.0, 30.0


class WitnessError(Exception):
    """A witness could not be told. The journal goes on without it, and says so."""


def sentence(event: Event) -> str:
    """What every witness is told."""
    return f"deploykit {event.run} event {event.seq} sha256 {event.hash}"


def heads(text: str, run: str) -> tuple[Head, ...]:
    """The heads of a run that a text speaks of, in their order: an export of a channel, a file, a pasted line."""
    found = {(int(seq), digest) for named, seq, digest in _SENTENCE.findall(text) if named == run and int(seq)}
    return tuple(Head(seq=seq, hash=digest) for seq, digest in sorted(found))


def read(source: str, run: str) -> tuple[Head, ...]:
    """The heads that a witness gives back.

    Args:
        source: A file, a git repository's folder, or the words themselves.
        run: The run in question.

    Raises:
        UsageError: The witness knows nothing of this run.
    """
    path = Path(source).expanduser()
    try:
        text = _tags(path, run) if path.is_dir() else path.read_text("utf-8") if path.is_file() else source
    except (OSError, UnicodeDecodeError, WitnessError) as error:
        raise UsageError(
            f"cannot be read: {error}", where=source, mend="name a file, a repository, or paste"
        ) from error
    found = heads(text, run)
    if not found:
        raise UsageError(
            f"says nothing of run {run}", where=source[:80], mend="look for `deploykit RUN event N sha256 ...`"
        )
    return found


def tell(settings: Settings, event: Event) -> Iterator[tuple[Type, Json]]:
    """Tell those outside that the settings name, after an event that is worth it.

    Yields:
        What is to be written down of each: that it knows, or that it could not be told, which stops nothing.
    """
    if event.type not in _WORTH:
        return
    file, git = settings.witness.file, settings.witness.git
    asked: list[Callable[[], str]] = []
    if file is not None:
        asked.append(lambda: tell_file(settings.path(file), event))
    if git is not None:
        asked.append(lambda: tell_git(settings.path(git), event, settings.witness.remote))
    for ask in asked:
        try:
            yield Type.WITNESS_GIVEN, given(event, ask())
        except WitnessError as error:
            yield Type.NOTE_WRITTEN, {"text": f"a witness was not told of event {event.seq}: {error}"}


def given(event: Event, place: str) -> Json:
    """What the journal says of a witness who was told."""
    return {"seq": event.seq, "hash": event.hash, "place": place}


def tell_file(path: Path, event: Event) -> str:
    """Add a line to a file that only ever grows.

    Returns:
        The place, for the journal.

    Raises:
        WitnessError: It cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{event.at} {sentence(event)}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise WitnessError(f"{path.name}: {error.strerror}") from error
    return f"file {path.name}"


def tell_git(repository: Path, event: Event, remote: str = "") -> str:
    """Make an annotated tag on the repository's newest commit, and push it where a remote is named.

    Returns:
        The place, for the journal.

    Raises:
        WitnessError: git said no, or did not answer.
    """
    name = f"deploykit/{event.run}/{event.seq}"
    # Not the person's own tag: no editor, no key of theirs, no name of theirs.
    own = ["-c", "user.name=deploykit", "-c", "user.email=deploykit@localhost", "-c", "tag.gpgSign=false"]
    _git(repository, *own, "tag", "--annotate", "--message", sentence(event), name)
    if remote:
        _git(repository, "push", "--quiet", remote, f"refs/tags/{name}", timeout=_REMOTE_SECONDS)
    return f"git tag {name}" + (f" on {remote}" if remote else "")


def _tags(repository: Path, run: str) -> str:
    return _git(repository, "for-each-ref", "--format=%(contents)", f"{_TAGS}/{run}")


def _git(repository: Path, *arguments: str, timeout: float = _SECONDS) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],  # noqa: S607 - git is found where the machine has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WitnessError(f"git: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise WitnessError(f"git: {said[-1]}")
    return done.stdout
