"""The sandbox's own certificate authority, for what speaks TLS."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

CA_FILE, SERVER_FILE = "ca.pem", "vendors.pem"
#: For how long a certificate is valid, as usual on the web.
VALID = timedelta(days=90)


def certify(folder: Path, *names: str) -> tuple[Path, Path]:
    """Makes an authority and a certificate for these names; what is there already is used again.

    Args:
        folder: Where `ca.pem`, which clients trust, and the server's certificate with its key are written.
        names: Host names and addresses of the server.

    Returns:
        The authority's certificate, and the server's: chain and key in one file, readable by its owner alone.
    """
    authority, server = folder / CA_FILE, folder / SERVER_FILE
    if not (authority.exists() and server.exists()):
        import trustme  # noqa: PLC0415 - only the process that makes it needs it

        made = trustme.CA()
        issued = made.issue_cert(*names, not_after=datetime.now(UTC) + VALID)
        server.touch(mode=0o600)
        server.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        made.cert_pem.write_to_path(authority)
    return authority, server
