"""The vendors that serve all environments: `[github]`, `[metrics]`, `[chat]`, `[errors]`, `[pager]`, `[flags]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Name, Seconds, Secret, Url

#: A name as it stands in a vendor's addresses.
Slug = Annotated[str, Field(pattern=r"^[\w-]+$")]


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


class ErrorsSettings(Record):
    """Where the errors of the service are tracked.

    Attributes:
        organization: Its slug, as the tracker's addresses have it.
        project: Likewise.
        environment: The environment's name there.
        release: What a release is called there; `$release` stands for its tag.
        logs: What finds the service's log lines; `$service` and `$environment` stand for the plan's.
        sessions: Whether the service reports sessions. They show that its errors would arrive, too.
    """

    kind: Literal["sentry"] = "sentry"
    url: Url = "https://sentry.io"
    organization: Slug
    project: Slug
    token: Secret
    environment: Annotated[str, Field(min_length=1)] = "production"
    release: Annotated[str, Field(pattern=r"\$release")] = "$release"
    logs: Annotated[str, Field(min_length=1)] = "service:$service env:$environment"
    sessions: bool = True


class PagerSettings(Record):
    """Who is on call, and how they are called.

    Attributes:
        sender: The e-mail address of the user in whose name incidents are opened: `from` in the file.
        escalation_policy: The id of the policy whose level 1 is called first.
        service: The id of the service that an incident is opened on.
        ca: A file with the authority that vouches for the address, where that is not a public one.
    """

    kind: Literal["pagerduty"] = "pagerduty"
    url: Annotated[str, Field(pattern=r"^https://[^\s/]+$")] = "https://api.pagerduty.com"
    token: Secret
    sender: Annotated[str, Field(alias="from", pattern=r"^[^@\s]+@[^@\s]+$")]
    escalation_policy: Slug
    service: Slug
    ca: Path | None = None


class FlagsSettings(Record):
    """The service's feature flags.

    Attributes:
        token: A client token; it is made for one environment.
        environment: That environment's name; an answer for another one is refused. Empty is whichever it is for.
        project: The project that the flags are in; empty is every one that the token may see.
    """

    kind: Literal["unleash"] = "unleash"
    url: Url
    token: Secret
    environment: str = ""
    project: str = ""
