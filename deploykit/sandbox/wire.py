"""One small request to a port on this machine, for what must start fast and stay small."""

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException


def ask(port: int, method: str, path: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
    """Sends a request on a connection of its own; the status and the body of the answer.

    Raises:
        OSError: Nobody answered, or not in HTTP.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=10.0)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read()
    except HTTPException as error:
        raise OSError(f"no HTTP from port {port}: {error!r}") from error
    finally:
        connection.close()
