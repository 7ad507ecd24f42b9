"""The vendors that serve all environments: `[github]`, `[chat]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Secret, Url

Scanner = Literal["code-scanning", "dependabot", "secret-scanning"]
Association = Literal["OWNER", "MEMBER", "COLLABORATOR", "CONTRIBUTOR"]


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


class ChatSettings(Record):
    """Where the team is told."""

    kind: Literal["slack"] = "slack"
    url: Url = "https://slack.com/api/"
    token: Secret
    deployments: str = "deployments"
