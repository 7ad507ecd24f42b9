"""The list of an archive's files and its signature, in the form that `sha256sum` and `ssh-keygen` check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploykit.errors import BrokenRecordError, UsageError
from deploykit.files import write_atomically
from deploykit.model import sha256
from deploykit.run import Run
from deploykit.signoff import ssh
from deploykit.signoff.gate import allowed_signers

#: The list, its signature (what a folder has once it is sealed), and the journal's end.
SUMS, SEAL, HEAD = "SHA256SUMS", "SHA256SUMS.sig", "HEAD"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\\\r\n]+)")


def files(folder: Path) -> Iterator[Path]:
    """Every file below a folder but the seal's own two, as relative paths in the order of `LC_ALL=C sort`.

    Raises:
        BrokenRecordError: Something is neither a plain file nor a folder.
    """
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BrokenRecordError("neither a plain file nor a folder", where=str(name), mend="take it out")
        if path.is_file() and str(name) not in {SUMS, SEAL}:
            found.append(name)
    yield from sorted(found, key=lambda name: name.as_posix().encode())


def write_sums(sums: Mapping[str, str]) -> bytes:
    """The list, from hashes by name.

    Raises:
        BrokenRecordError: A name has a character that the list cannot hold.
    """
    for name in sums:
        if set("\\\n\r") & set(name):
            raise BrokenRecordError("a file's name that SHA256SUMS cannot hold", where=repr(name))
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums, key=str.encode)).encode()


def read_sums(data: bytes, where: str = SUMS) -> dict[str, str]:
    """The hashes by name, from a list in the one form that we write.

    Raises:
        BrokenRecordError: It has another form.
    """
    listed: dict[str, str] = {}
    for line in data.decode().removesuffix("\n").split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BrokenRecordError("a line that is not a hash and a name", where=where)
        listed[match[2]] = match[1]
    if write_sums(listed) != data:
        raise BrokenRecordError("not sorted, or with a file named twice", where=where)
    return listed


def seal(folder: Path, sums: Mapping[str, str], key: Path, namespace: ssh.Namespace) -> None:
    """Write the list, make every file read-only, and last the signature, which is what makes a folder sealed."""
    listed = write_sums(sums)
    signature = ssh.sign(listed, key, namespace)
    write_atomically(folder / SUMS, listed)
    for name in [*files(folder), Path(SUMS)]:
        (folder / name).chmod(0o444)
    write_atomically(folder / SEAL, signature)
    (folder / SEAL).chmod(0o444)


def sealing_key(run: Run) -> Path:
    """The key of this machine to seal with, looked at before anything is written.

    Raises:
        UsageError: There is none, or it is nobody's.
    """
    key = run.settings.signing.key
    if key is None:
        raise UsageError("there is no key to seal with", where="[signing] key", mend="name the operator's key there")
    ssh.principal_of_key(run.settings.path(key), allowed_signers(run))
    return run.settings.path(key)


def sums_of(folder: Path) -> dict[str, str]:
    """The hash of each file below a folder, by its name."""
    return {name.as_posix(): sha256((folder / name).read_bytes()) for name in files(folder)}
