"""The vendors that serve all environments: `[github]`, `[metrics]`, `[logs]`, `[monitoring]`, `[chat]`."""

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


class LogsSettings(Record):
    """Where the service's log lines are; the vendor, its address and keys are those of `[metrics]`.

    Attributes:
        query: Which lines are the service's, in the vendor's language: `service:shop env:production`.
        path: A path of the service whose request is written into its log with the query; `$marker` stands for a word
            that was never used before.
        marked: How the line with the marker is searched for, beside `query`; quoted text is looked for in the message.
        within: How soon a line has to be found, in real time.
    """

    query: Annotated[str, Field(min_length=1)]
    path: Annotated[str, Field(pattern=r"^/\S*\$marker")] = "/version?deploykit=$marker"
    marked: Annotated[str, Field(pattern=r"\$marker")] = '"$marker"'
    within: Seconds = 120.0


class MonitoringSettings(Record):
    """Which monitors must be able to tell somebody; the vendor, its address and keys are those of `[metrics]`.

    Attributes:
        tags: What all monitors of the service carry: `service:shop`, `env:production`.
        required: For each of these tags there must be a monitor, and each that carries it must be able to fire.
    """

    tags: Annotated[tuple[str, ...], Field(min_length=1)]
    required: Annotated[tuple[str, ...], Field(min_length=1)]


class ChatSettings(Record):
    """Where the team is told, and where users say what is wrong.

    Attributes:
        deployments: The channel where deployments are announced.
        support: Channels where users, or those who speak for them, report.
        usual_days: With how many days before the messages since the deployment are compared, at the same hours.
    """

    kind: Literal["slack"] = "slack"
    url: Url = "https://slack.com/api/"
    token: Secret
    deployments: str = "deployments"
    support: tuple[str, ...] = ()
    usual_days: Annotated[int, Field(ge=1, le=28)] = 7
