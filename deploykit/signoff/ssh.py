"""Signatures by OpenSSH: `ssh-keygen -Y sign`, `verify` and `find-principals`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from deploykit.errors import BrokenRecordError, UsageError
from deploykit.signoff import armour

#: Reading keys and checking signatures is local work; signing may wait for a person's passphrase or touch.
_SECONDS = 30.0


class Namespace(StrEnum):
    """What a signature is for. One made for one purpose does not hold for another."""

    PLAN = "deploykit-plan"
    APPROVAL = "deploykit-approval"
    ATTESTATION = "deploykit-attestation"
    RESOLUTION = "deploykit-resolution"
    REVOCATION = "deploykit-revocation"
    REVIEW = "deploykit-review"
    LOCK = "deploykit-lock"
    SEAL = "deploykit-seal"
    ADDENDUM = "deploykit-addendum"


def sign(data: bytes, key: Path, namespace: str, *, asking: bool = True) -> bytes:
    """Sign bytes; with a public key the agent signs.

    Args:
        data: What is signed.
        key: The key.
        namespace: What the signature is for.
        asking: Whether a passphrase may be asked for; else a key that has one is not signed with.

    Raises:
        UsageError: There is no such key, no `ssh-keygen`, or the key could not be used.
    """
    _require_file(key, "signing key", "name it in [signing] key, or make one: ssh-keygen -t ed25519")
    # The data goes through a file: from standard input, ssh-keygen without a terminal would take it for a passphrase.
    with tempfile.TemporaryDirectory(prefix="deploykit-") as folder:
        path = Path(folder) / "data"
        path.write_bytes(data)
        done = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", namespace, str(path), timeout=None, asking=asking)
        if done.returncode != 0:
            raise UsageError(
                f"the key could not sign: {_said(done)}",
                where=key.name,
                mend=f"`ssh-add {key.name.removesuffix('.pub')}`, and set [signing] key to its .pub",
            )
        return path.with_name("data.sig").read_bytes()


def verify(
    data: bytes,
    signature: bytes,
    principal: str,
    namespace: str,
    allowed_signers: Path,
    at: datetime | None = None,
) -> None:
    """Prove that a principal signed exactly these bytes for this purpose.

    Args:
        data: What was signed.
        signature: The armoured signature.
        principal: Who must have signed.
        namespace: What it must have been signed for.
        allowed_signers: OpenSSH's file of principals and keys.
        at: When the key must have been valid; None is now.

    Raises:
        BrokenRecordError: It does not hold, with the reason.
        UsageError: There is no `ssh-keygen` or no file of allowed signers.
    """
    made_for = armour.parse(signature).namespace
    if made_for != namespace:
        raise BrokenRecordError(f"signed for {made_for!r}, not for {str(namespace)!r}", where="signature")
    found = principal_of(signature, allowed_signers, at)
    if found != principal:
        raise BrokenRecordError(f"{principal} did not sign this; the key belongs to {found}", where="signature")
    with tempfile.NamedTemporaryFile(prefix="deploykit-", suffix=".sig") as file:
        file.write(signature)
        file.flush()
        options = ["-f", str(allowed_signers), "-I", principal, "-n", namespace, "-s", file.name, *_at(at)]
        done = _ssh_keygen("-Y", "verify", *options, data=data)
    if done.returncode != 0:
        raise BrokenRecordError(f"the signature of {principal} does not hold: {_said(done)}", where="signature")


def principal_of(signature: bytes, allowed_signers: Path, at: datetime | None = None) -> str:
    """The one principal whose key made a signature. The name alone proves nothing: `verify` does.

    Raises:
        BrokenRecordError: The key belongs to nobody, or to more than one name, or to a pattern of names.
        UsageError: There is no `ssh-keygen` or no file of allowed signers.
    """
    armour.parse(signature)
    _require_file(allowed_signers, "file of allowed signers", "name it in [signing] allowed_signers")
    with tempfile.NamedTemporaryFile(prefix="deploykit-", suffix=".sig") as file:
        file.write(signature)
        file.flush()
        done = _ssh_keygen("-Y", "find-principals", "-s", file.name, "-f", str(allowed_signers), *_at(at))
    names = done.stdout.decode("utf-8", "replace").split()
    if done.returncode != 0 or not names:
        raise BrokenRecordError(
            "the key is not one of the allowed signers' keys, or not at that time", where="signature"
        )
    return _single(names)


def principal_of_key(key: Path, allowed_signers: Path) -> str:
    """Whose key this is, as the file of allowed signers says; needed before there is a signature to ask OpenSSH about.

    Raises:
        UsageError: The key is not there or not listed.
    """
    _require_file(key, "signing key", "name it in [signing] key, or make one: ssh-keygen -t ed25519")
    _require_file(allowed_signers, "file of allowed signers", "name it in [signing] allowed_signers")
    blob = _public(key).split()[1]
    for line in allowed_signers.read_text("utf-8").splitlines():
        words = line.split()
        if blob in words and not line.startswith("#"):
            return _single(words[0].strip('"').split(","))
    raise UsageError(
        "this key is not in the file of allowed signers",
        where=key.name,
        mend=f"have its .pub added to {allowed_signers.name} by review",
    )


def _single(names: list[str]) -> str:
    if len(names) != 1 or set("*?!") & set(names[0]):
        raise BrokenRecordError(
            f"the key stands for {', '.join(names)}, not for one person",
            where="allowed_signers",
            mend="give each key a line of its own with one plain principal",
        )
    return names[0]


def _public(key: Path) -> str:
    beside = key if key.suffix == ".pub" else key.with_name(f"{key.name}.pub")
    if beside.is_file():
        text = beside.read_text("utf-8")
    else:
        done = _ssh_keygen("-y", "-f", str(key), timeout=None)
        text = done.stdout.decode("utf-8", "replace")
    if len(text.split()) < 2:
        raise UsageError("this is not an SSH key that can be read", where=key.name, mend="put its .pub beside it")
    return text


def _require_file(path: Path, what: str, mend: str) -> None:
    if not path.is_file():
        raise UsageError(f"there is no {what}", where=str(path), mend=mend)


def _at(at: datetime | None) -> list[str]:
    return [] if at is None else [f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%SZ}"]


def _ssh_keygen(
    *arguments: str, data: bytes | None = None, timeout: float | None = _SECONDS, asking: bool = True
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise UsageError("ssh-keygen is not installed", where="PATH", mend="install OpenSSH 8.9 or newer")
    # Where nobody may be asked, the one to ask is a program that says nothing.
    silent = {} if asking else {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force"}
    try:
        return subprocess.run(
            [program, *arguments],
            input=b"" if data is None else data,
            capture_output=True,
            check=False,
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C", **silent},
        )
    except subprocess.TimeoutExpired as error:
        said = f"ssh-keygen {' '.join(arguments[:2])} did not end within {timeout:g} s"
        raise UsageError(said, where=program, mend="look what this machine is busy with, and try again") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"ssh-keygen ended with {done.returncode}"
