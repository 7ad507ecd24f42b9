"""GitHub as the repository, with PyGithub.

Source: https://docs.github.com/en/rest/commits/commits#get-a-commit
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from deploykit import redact
from deploykit.providers._answers import mapping, text
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploykit.settings import EnvironmentSettings, Settings

#: Seconds for the connection, and for each answer.
TIMEOUT = 10


class GithubRepository:
    """A `ports.Repository`.

    Args:
        repository: Owner and name.
        token: A token that may read the code.
        url: The API's address.
        timeout: Seconds for the connection, and for each answer.
    """

    def __init__(self, repository: str, token: str, *, url: str, timeout: int = TIMEOUT) -> None:
        from github import Auth, Github  # noqa: PLC0415 - an extra, and slow to import

        # Its own retry waits until a limit is over, up to an hour; `attempt` is the one that asks again.
        client = Github(
            base_url=url.rstrip("/"),
            auth=Auth.Token(token),
            retry=None,
            timeout=timeout,
            seconds_between_requests=None,
        )
        # One request, and its answer as it came: PyGithub's objects ask again by themselves for what an answer lacks.
        self._requester = client.requester
        self._name = repository
        self._call = Call("GitHub", "", address="github.url", token="github.token", timeout=timeout)  # noqa: S106 - a name

    def commit(self, ref: str) -> str:
        """The full commit of a tag, branch or commit.

        Raises:
            Unreachable: No answer, not in time, or too many requests.
            Rejected: There is none, the repository is not there for this token, or an answer of no use.
        """
        return attempt(replace(self._call, what=f"commit {ref} of {self._name}"), lambda: self._commit(ref))

    def _commit(self, ref: str) -> str:
        try:
            _, answer = self._requester.requestJsonAndCheck("GET", f"/repos/{self._name}/commits/{quote(ref, safe='')}")
        except Exception as error:
            raise self._fault(error, ref) from error
        commit = text(mapping(answer, "the answer").get("sha"), "sha")
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
            raise Fault(Why.GARBLED, f"sha is no commit but {commit[:80]!r}")
        return commit

    def _fault(self, error: Exception, ref: str) -> Fault:
        """The fault behind PyGithub's exception."""
        status, data = getattr(error, "status", None), getattr(error, "data", None)
        if not isinstance(status, int) or status < 300:
            return of_client(error)
        message = data.get("message") if isinstance(data, dict) else None
        said = message if isinstance(message, str) else str(data or "")
        headers = getattr(error, "headers", None) or {}
        if status == 429 or (status == 403 and _throttled(said, headers)):
            return Fault(Why.THROTTLED, said, status=status, wait=_wait(headers))
        fault = Fault.of_status(status, said, headers)
        if status in {404, 409, 422}:
            fault.mend = f"push {ref} to {self._name}, and see that github.token may read it"
        return fault


def connect(settings: Settings, environment: EnvironmentSettings) -> GithubRepository:  # noqa: ARG001 - all take both
    """The repository of the service, with its token.

    Raises:
        UsageError: The token is not there.
    """
    github = settings.github
    return GithubRepository(github.repository, redact.learn(settings.resolve(github.token)), url=github.url)


def _throttled(said: str, headers: Mapping[str, str]) -> bool:
    """Whether a 403 is a spent limit: a header tells it, or for the secondary limits sometimes only the words."""
    told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return told or "rate limit" in said.lower() or "abuse detection" in said.lower()


def _wait(headers: Mapping[str, str]) -> float | None:
    """How long to wait: as told, else until the limit is renewed."""
    if "retry-after" in headers:
        return seconds(headers["retry-after"])
    reset = seconds(headers.get("x-ratelimit-reset")) if headers.get("x-ratelimit-remaining") == "0" else None
    return None if reset is None else max(reset - time.time(), 0.0)
