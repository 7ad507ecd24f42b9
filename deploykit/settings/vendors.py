"""The vendors that serve all environments: `[github]`, `[metrics]`, `[chat]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Name, Seconds, Secret, Url


class GithubSettings(Record):
    """The repository."""

    repository: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    url: Url = "https://api.github.com"
    token: Secret


class PlainMetric(Record):
    """A further metric to judge; `matters` is the smallest relative change that does, 0.1 being a tenth."""

    query: Annotated[str, Field(min_length=1)]
    unit: Literal["ms", "s", "percent", "fraction", "bytes", "count", "raw"]
    worse: Literal["increase", "decrease", "either"] = "increase"
    critical: bool = False
    matters: Annotated[float, Field(gt=0)] = 0.1


class MetricsSettings(Record):
    """Where the numbers come from. `$colour` in a query stands for blue or green.

    Attributes:
        requests: Requests served by a colour, as counts a bucket.
        errors: Failed requests of a colour, likewise.
        slow: Requests over the latency limit, likewise.
        p95: The 95th percentile of a colour's latency in ms.
        delay: How late the vendor's newest points are.
        plain: Further metrics by name: memory, orders a minute.
    """

    kind: Literal["datadog"] = "datadog"
    url: Url = "https://api.datadoghq.com"
    api_key: Secret
    app_key: Secret
    requests: str
    errors: str
    slow: str
    p95: str
    delay: Seconds = 30.0
    plain: dict[Name, PlainMetric] = Field(default_factory=dict)


class ChatSettings(Record):
    """Where the team is told."""

    kind: Literal["slack"] = "slack"
    url: Url = "https://slack.com/api/"
    token: Secret
    deployments: str = "deployments"
