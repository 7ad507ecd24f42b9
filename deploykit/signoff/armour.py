"""The one form in which an SSH signature is accepted.

OpenSSH verifies a signature whose armour has other line breaks, text around it, or bytes in its reserved field. Two
files that differ would then both be "the" signature, so only the form that `ssh-keygen` itself writes is accepted.
"""

from __future__ import annotations

import base64
import binascii

from deploykit.errors import BrokenRecordError
from deploykit.model import Record

_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_WIDTH = 70
_MAGIC = b"SSHSIG\x00\x00\x00\x01"


class Parts(Record):
    """What a signature's blob says of itself; only verifying proves it.

    Attributes:
        key: The public key's blob.
        namespace: What it was signed for.
    """

    key: bytes
    namespace: str


def parse(signature: bytes) -> Parts:
    """Take canonical armour apart.

    Raises:
        BrokenRecordError: It is not the form that `ssh-keygen` writes.
    """
    blob = _blob(signature)
    if _wrap(blob) != signature:
        raise BrokenRecordError("the signature's armour is not canonical", where="signature")
    if not blob.startswith(_MAGIC):
        raise BrokenRecordError("not an SSH signature of version 1", where="signature")
    key, namespace, reserved, _hash, _signature = _fields(blob[len(_MAGIC) :])
    if reserved:
        raise BrokenRecordError("the signature's reserved field is not empty", where="signature")
    return Parts(key=key, namespace=namespace.decode("utf-8", "replace"))


def _blob(signature: bytes) -> bytes:
    lines = signature.split(b"\n")
    if lines[0] != _BEGIN or lines[-2:] != [_END, b""]:
        raise BrokenRecordError("the signature's armour is not canonical", where="signature")
    try:
        return base64.b64decode(b"".join(lines[1:-2]), validate=True)
    except binascii.Error as error:
        raise BrokenRecordError("the signature is not base64", where="signature") from error


def _wrap(blob: bytes) -> bytes:
    text = base64.b64encode(blob)
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return b"\n".join([_BEGIN, *lines, _END, b""])


def _fields(data: bytes) -> list[bytes]:
    """The blob's five length-prefixed strings, and nothing after them."""
    fields: list[bytes] = []
    while len(data) >= 4 and len(fields) < 5:
        size = int.from_bytes(data[:4])
        fields.append(data[4 : 4 + size])
        if len(fields[-1]) != size:
            break
        data = data[4 + size :]
    if data or len(fields) != 5:
        raise BrokenRecordError("the signature's fields are cut short or followed by more", where="signature")
    return fields
