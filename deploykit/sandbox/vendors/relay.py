"""Pages of nodes in Relay's form (https://relay.dev/graphql/connections.htm)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

View = dict[str, Any]


class CursorError(Exception):
    """A cursor that is none."""


def pages(nodes: Sequence[View]) -> Callable[..., View]:
    """A resolver for a connection over these nodes."""
    return lambda _, **paging: connection(nodes, **paging)


def connection(
    nodes: Sequence[View],
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> View:
    """A page of nodes, in Relay's form."""
    low = position(after) + 1 if after else 0
    high = position(before) if before else len(nodes)
    if first is not None:
        high = min(high, low + first)
    if last is not None:
        low = max(low, high - last)
    edges = [{"cursor": cursor(i), "node": node} for i, node in enumerate(nodes) if low <= i < high]
    ends = {"startCursor": edges[0]["cursor"], "endCursor": edges[-1]["cursor"]} if edges else {}
    return {"edges": edges, "pageInfo": {"hasNextPage": high < len(nodes), "hasPreviousPage": low > 0, **ends}}


def cursor(index: int) -> str:
    """An opaque cursor."""
    return base64.b64encode(f"node:{index}".encode()).decode()


def position(text: str) -> int:
    """What a cursor points at."""
    try:
        return int(base64.b64decode(text).decode().removeprefix("node:"))
    except (binascii.Error, ValueError) as error:
        raise CursorError("Invalid cursor") from error
