"""Railway as the platform, over its GraphQL API with gql.

Source: https://docs.railway.com/reference/public-api and its schema; `deploymentRollback` is a plain Boolean there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deploykit import redact
from deploykit.providers._answers import listing, mapping, said, text
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client

if TYPE_CHECKING:
    import httpx

    from deploykit.ports import Deployment
    from deploykit.settings import EnvironmentSettings, PlatformSettings, Settings

#: Seconds for the connection, and for each answer.
TIMEOUT = 10.0

#: Each status of the schema, and what it means for us. One that is not here is refused.
STATES: Mapping[str, str] = {
    "SUCCESS": "running",
    "SLEEPING": "running",  # scaled to nothing, and woken by a request
    "BUILDING": "pending",
    "DEPLOYING": "pending",
    "INITIALIZING": "pending",
    "NEEDS_APPROVAL": "pending",
    "QUEUED": "pending",
    "WAITING": "pending",
    "CRASHED": "failed",
    "FAILED": "failed",
    "SKIPPED": "failed",  # it will never run
    "REMOVED": "gone",
    "REMOVING": "gone",
}

_DEPLOYMENTS = """
query($input: DeploymentListInput!, $first: Int) { deployments(input: $input, first: $first) { edges { node {
  id status createdAt canRollback meta } } } }
"""
_DEPLOY = """
mutation($environment: String!, $service: String!, $commit: String) {
  serviceInstanceDeployV2(environmentId: $environment, serviceId: $service, commitSha: $commit) }
"""
_ROLL_BACK = "mutation($id: String!) { deploymentRollback(id: $id) }"


class RailwayPlatform:
    """A `ports.Platform`.

    Args:
        settings: The project, the environment and the address.
        token: A token that may read and deploy.
        timeout: Seconds for the connection, and for each answer.
    """

    def __init__(self, settings: PlatformSettings, token: str, *, timeout: float = TIMEOUT) -> None:
        from gql.transport.httpx import HTTPXTransport  # noqa: PLC0415 - an extra, and slow to import

        self._settings = settings
        self._call = Call("Railway", "", address="platform.url", token="platform.token", timeout=timeout)  # noqa: S106 - a name
        # One connection a request: an idle one may die just when a change is sent over it.
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        self._transport = HTTPXTransport(
            url=settings.url, headers=headers, timeout=timeout, event_hooks={"response": [_only_success]}
        )
        self._transport.connect()  # type: ignore[no-untyped-call]  # the client leaves it untyped

    def deployments(self, service: str, *, limit: int = 10) -> tuple[Deployment, ...]:
        """The latest deployments of a service, newest first.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Railway refused, or an answer of no use: a status that we do not know is one.
        """
        place = {"projectId": self._settings.project, "environmentId": self._settings.environment, "serviceId": service}

        def once() -> tuple[Deployment, ...]:
            found = mapping(self._ask(_DEPLOYMENTS, "deployments", input=place, first=limit), "deployments")
            nodes = [mapping(edge, "an edge").get("node") for edge in listing(found.get("edges"), "edges")]
            return tuple(sorted(map(_deployment, nodes), key=lambda one: one.created_at, reverse=True))

        return attempt(replace(self._call, what=f"deployments of {service}"), once)

    def deploy(self, service: str, commit: str) -> str:
        """Start a deployment of a commit and return its id at once.

        Raises:
            Unreachable: It is not known whether it was started.
            Rejected: Railway refused.
        """
        variables = {"environment": self._settings.environment, "service": service, "commit": commit}

        def once() -> str:
            return text(self._ask(_DEPLOY, "serviceInstanceDeployV2", **variables), "the new deployment's id")

        return attempt(replace(self._call, what=f"deploy {service} at {commit}", changes=True), once)

    def roll_back(self, deployment: str) -> None:
        """Start going back to an earlier deployment. The new one is found in `deployments` afterwards.

        Raises:
            Unreachable: It is not known whether it was started.
            Rejected: Railway refused.
        """

        def once() -> None:
            started = self._ask(_ROLL_BACK, "deploymentRollback", id=deployment)
            if started is False:
                raise Fault(Why.REFUSED, f"{deployment} cannot be rolled back to")
            if started is not True:
                raise Fault(Why.GARBLED, f"deploymentRollback is {started!r}")

        attempt(replace(self._call, what=f"roll back to {deployment}", changes=True), once)

    def _ask(self, document: str, field: str, **variables: Any) -> Any:
        """One document, and what its one field holds; None where Railway says null."""
        from gql import GraphQLRequest  # noqa: PLC0415 - an extra, and slow to import

        request = GraphQLRequest(document, variable_values=variables)
        try:
            result = self._transport.execute(request)
        except Exception as error:
            raise _fault(error) from error
        data = result.data if isinstance(result.data, dict) else {}
        if result.errors:
            if data.get(field) is not None:
                raise Fault(Why.GARBLED, f"it holds both a result and errors: {_words(result.errors)}")
            raise _refused(_words(result.errors))
        if field not in data:
            raise Fault(Why.GARBLED, f"there is no {field} in it")
        return data[field]


def connect(settings: Settings, environment: EnvironmentSettings) -> RailwayPlatform:
    """The platform of an environment, with its token.

    Raises:
        UsageError: The token is not there.
    """
    platform = environment.platform
    return RailwayPlatform(platform, redact.learn(settings.resolve(platform.token)))


def _only_success(response: httpx.Response) -> None:
    """Raise on every other status here, because gql forgets the status where the body is JSON."""
    if response.status_code != 200:
        raw = response.read()
        raise Fault.of_status(response.status_code, said(raw), dict(response.headers))


def _fault(error: Exception) -> Fault:
    """The fault behind gql's exception, which may wrap our own."""
    return error.__cause__ if isinstance(error.__cause__, Fault) else of_client(error)


def _words(errors: Any) -> str:
    items = errors if isinstance(errors, list) else [errors]
    return "; ".join(str(item.get("message", item) if isinstance(item, dict) else item) for item in items[:5])


def _refused(words: str) -> Fault:
    token = re.search(r"not authori[sz]ed|unauthori[sz]ed|forbidden", words, re.IGNORECASE)
    mend = "look at the secret that platform.token names: it may be wrong, expired, or lack a right"
    return Fault(Why.REFUSED, words, mend=mend if token else "")


def _deployment(node: Any) -> Deployment:
    from deploykit.ports import Deployment  # noqa: PLC0415 - what it draws in is not needed to import this module

    one = mapping(node, "a deployment")
    status = text(one.get("status"), "a deployment's status")
    if status not in STATES:
        mend = "look at Railway's dashboard; a newer deploykit may know this status"
        raise Fault(Why.REFUSED, f"a deployment has the unknown status {status}", mend=mend)
    meta = one.get("meta")
    commit = meta.get("commitHash") if isinstance(meta, dict) else None
    return Deployment(
        id=text(one.get("id"), "a deployment's id"),
        commit=commit if isinstance(commit, str) else "",
        status=status,
        state=STATES[status],
        created_at=_time(one.get("createdAt")),
        can_roll_back=one.get("canRollback") is True,
    )


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(text(value, "createdAt"))
    except ValueError as error:
        raise Fault(Why.GARBLED, f"createdAt is no time but {value!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
