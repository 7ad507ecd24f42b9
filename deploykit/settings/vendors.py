"""The vendors that serve all environments: `[github]`, `[chat]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deploykit.model import Record
from deploykit.settings.types import Secret, Url


class GithubSettings(Record):
    """The repository."""

    repository: Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
    url: Url = "https://api.github.com"
    token: Secret


class ChatSettings(Record):
    """Where the team is told."""

    kind: Literal["slack"] = "slack"
    url: Url = "https://slack.com/api/"
    token: Secret
    deployments: str = "deployments"
