"""The vendors that serve all environments: `[github]`, `[chat]`, `[errors]`, `[pager]`, `[flags]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Seconds, Secret, Url

Scanner = Literal["code-scanning", "dependabot", "secret-scanning"]
Association = Literal["OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR"]

#: A name as it stands in a vendor's addresses.
Slug = Annotated[str, Field(pattern=r"^[\w-]+$")]


class GithubSettings(Record):
    """The repository, and what its reviews, tests and scanners must say of a release.

    Attributes:
        branch: The main branch.
        reviewers: What a person must be to the repository for their approval to count, in GitHub's words.
        authors: GitHub's names of those who commit with an address that GitHub does not know, by that address.
        required_tests: Names of statuses and check runs that must have passed, beside those that protect the branch.
        ignored_tests: Names that do not count: the deployment's own job, which runs while this is asked.
        scanners: Those that are asked. One that is taken out is not looked at any more: say why beside it.
        severities: What may not be open. A leaked secret is always critical.
    """

    repository: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    url: Url = "https://api.github.com"
    token: Secret
    branch: Annotated[str, Field(min_length=1)] = "main"
    reviewers: Annotated[tuple[Association, ...], Field(min_length=1)] = ("OWNER", "MEMBER", "COLLABORATOR")
    authors: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    required_tests: tuple[str, ...] = ()
    ignored_tests: tuple[str, ...] = ()
    scanners: Annotated[tuple[Scanner, ...], Field(min_length=1)] = ("code-scanning", "dependabot", "secret-scanning")
    severities: Annotated[tuple[Literal["critical", "high", "medium", "low"], ...], Field(min_length=1)] = ("critical",)


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
