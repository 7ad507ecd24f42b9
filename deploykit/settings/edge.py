"""What an environment shows at its edge: variables, certificates, limits, origins, and its staging copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Seconds, Secret, Url

#: `scheme://host[:port]`, as a browser sends it: no path, no slash at the end.
Origin = Annotated[str, Field(pattern=r"^https?://[^\s/]+$")]
UrlPath = Annotated[str, Field(pattern=r"^/\S*$")]


class VariableSettings(Record):
    """`[environments.NAME.variables]`: what each colour's service must have on the platform.

    Attributes:
        required: Names that must be there, and not be empty.
        expected: Name to a reference of the value that it must have; compared in memory, and never written.
    """

    required: tuple[str, ...] = ()
    expected: dict[str, Secret] = Field(default_factory=dict)


class TlsHost(Record):
    """One host that users meet: the name that they ask for, and where it is."""

    name: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 443
    #: Where to connect, if the name is not to be looked up.
    address: str = ""


class TlsSettings(Record):
    """`[environments.NAME.tls]`: whose certificates are looked at.

    Attributes:
        days: A certificate must be valid for more than so many days.
        ca: An authority of one's own, PEM, relative to the settings; else those that this machine trusts.
    """

    hosts: Annotated[tuple[TlsHost, ...], Field(min_length=1)]
    days: Annotated[int, Field(ge=0)] = 30
    ca: Path | None = None


class RateLimitSettings(Record):
    """`[environments.NAME.rate_limit]`: how the limit is met.

    Attributes:
        path: What is asked for; reading it must do no harm.
        burst: Requests that are more than the limit allows `within` so much time. The first 429 ends the burst.
        headers: Sent along, so that the burst counts as a client of its own and takes nothing from anybody. A value
            may be a reference to a secret (`env:NAME`, `file:PATH`).
    """

    path: UrlPath
    burst: Annotated[int, Field(ge=2, le=1000)] = 100
    within: Seconds = 10.0
    headers: dict[str, str] = Field(default_factory=dict)


class CorsSettings(Record):
    """`[environments.NAME.cors]`: who may ask from a browser.

    Attributes:
        path: What the preflight is about.
        method: The method that an allowed origin must be granted.
        headers: The request headers that it must be granted.
        allowed: Origins that may; all others may not.
        forbidden: Origins that must not, beside a stranger's and `null`, which are always tried.
    """

    path: UrlPath
    method: str = "GET"
    headers: tuple[str, ...] = ()
    allowed: Annotated[tuple[Origin, ...], Field(min_length=1)]
    forbidden: tuple[Origin, ...] = ()


class StagingSettings(Record):
    """`[environments.NAME.staging]`: the copy that this release was tried on.

    Attributes:
        url: Where it answers; its health is asked as the environment's is, its metrics by `[metrics] staging`.
    """

    url: Url
