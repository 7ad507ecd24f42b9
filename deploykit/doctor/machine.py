"""This machine: what signs, where the record is kept, and whether there is room for it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploykit.doctor.asking import Question, answers, fault, well, wrong
from deploykit.errors import BrokenRecordError, DeploykitError, Rejected, UsageError
from deploykit.journal import checkup
from deploykit.journal.store import FILE, Store
from deploykit.model import Result
from deploykit.settings import Settings
from deploykit.signoff import ssh

#: `ssh-keygen -Y find-principals` with `-Overify-time` came with it.
OLDEST_OPENSSH = (8, 9)
#: Bytes that a few runs with their evidence and a backup's catalogue take.
ROOM = 1 << 30
_NAMESPACE = "deploykit-doctor"


def look(settings: Settings) -> Iterator[Result]:
    """OpenSSH, the signing key, room, and the archive's place."""
    yield from answers(
        (
            Question("machine.openssh", "PATH", _openssh),
            Question("signing.key", "signing.key, signing.allowed_signers", lambda: _signs(settings)),
            Question("machine.disk", "archive, state", lambda: _room(settings)),
            Question("archive.place", "archive", lambda: _archive(settings)),
        )
    )


def store(settings: Settings, environment: str) -> Iterator[Result]:
    """Whether this machine may write the record, and is the one that deploys to the environment."""
    folder, name = settings.path(settings.state), f"store.folder/{environment}"
    if not (folder / FILE).is_file():
        parent = existing(folder)
        if os.access(parent, os.W_OK | os.X_OK):
            yield well(name, f"{folder} is made by the first plan", where="state")
        else:
            yield wrong(
                name, f"{parent} cannot be written", "mend its permissions, or name another state", where="state"
            )
        return
    try:
        known = Store(folder)
        known.require_writable()
        yield well(name, f"{folder} can be written", where="state")
        place = (settings.service.name, environment)
        yield checkup.host(known, place)
        yield checkup.lock(known, place, settings.lock.expires)
        if environment == next(iter(settings.environments)):
            yield checkup.spooled(known)
    except DeploykitError as error:
        yield fault(name, error, where="state")


def _openssh() -> str:
    program = shutil.which("ssh")
    if shutil.which("ssh-keygen") is None or program is None:
        raise UsageError("ssh and ssh-keygen are missing", mend="install OpenSSH 8.9 or newer")
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=10).stderr.strip()
    found = re.search(r"OpenSSH\D*(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_OPENSSH:
        raise Rejected(
            f"it is {said.splitlines()[0] if said else 'of no version'}", mend="install OpenSSH 8.9 or newer"
        )
    return f"OpenSSH {found[1]}.{found[2]}"


def _signs(settings: Settings) -> str:
    """Sign something, and have it verified as whoever plans from here."""
    signing = settings.signing
    if signing.key is None:
        raise UsageError(
            "no key is named, so a plan is not signed", mend="set signing.key, such as ~/.ssh/id_ed25519.pub"
        )
    allowed, key = settings.path(signing.allowed_signers), settings.path(signing.key)
    principal = ssh.principal_of_key(key, allowed)
    if principal != signing.operator:
        mend = f"let signing.operator be {principal}, or name {signing.operator or 'the operator'}'s own key"
        raise Rejected(f"the key is {principal}'s, and the operator is {signing.operator or 'not named'}", mend=mend)
    signature = ssh.sign(b"doctor", key, _NAMESPACE, asking=False)
    try:
        ssh.verify(b"doctor", signature, principal, _NAMESPACE, allowed)
    except BrokenRecordError as error:
        mend = f'give {principal} the namespaces "deploykit-*" in {signing.allowed_signers}, and look at its dates'
        raise Rejected(error.what, where="allowed_signers", mend=mend) from error
    return f"{principal} can sign"


def _room(settings: Settings) -> str:
    said = []
    for key in ("archive", "state"):
        folder = existing(settings.path(getattr(settings, key)))
        free = shutil.disk_usage(folder).free
        if free < ROOM:
            raise Rejected(f"{free >> 20} MiB are free at {folder}", where=key, mend="make room: a gigabyte at least")
        said.append(f"{free >> 30} GiB free for {key}")
    return ", ".join(said)


def _archive(settings: Settings) -> str:
    """A folder of the checkout that git ignores is gone with the checkout."""
    folder = settings.path(settings.archive)
    near = existing(folder)
    if not os.access(near, os.W_OK | os.X_OK):
        raise Rejected(
            f"{near} cannot be written", where="archive", mend="mend its permissions, or name another archive"
        )
    top = _checkout(near)
    if top is None:
        return f"{folder} is outside of every checkout"
    git = ["git", "-c", "core.fsmonitor=false", "-C", str(top), "check-ignore", "-q", str(folder / "run")]
    if shutil.which("git") and subprocess.run(git, capture_output=True, check=False, timeout=10).returncode == 1:
        return f"{folder} is kept by git"
    mend = "let archive name a folder outside of the checkout that is backed up"
    raise Rejected(f"{folder} lies in the checkout {top}, and git ignores it", where="archive", mend=mend)


def _checkout(folder: Path) -> Path | None:
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), None)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above that there is."""
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
