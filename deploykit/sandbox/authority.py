"""The sandbox's own certificate authority, which nobody trusts who was not told to."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from deploykit.sandbox.addresses import HOST

#: For how long the router's certificate is valid, as usual on the web.
DAYS = timedelta(days=90)


def issue(folder: Path) -> None:
    """Makes an authority, and the router's certificate: `ca.pem`, and `router.pem` with `router.key`.

    Args:
        folder: Where the files go; only its owner may read it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    authority = trustme.CA(organization_name="deploykit sandbox")
    router = authority.issue_cert(HOST, not_after=datetime.now(UTC) + DAYS)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    router.private_key_pem.write_to_path(folder / "router.key")
    (folder / "router.pem").write_bytes(b"".join(part.bytes() for part in router.cert_chain_pems))
