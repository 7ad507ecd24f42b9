"""Railway as the platform, over its GraphQL API with gql.

Source: https://docs.railway.com/reference/public-api and its schema; `deploymentRollback` is a plain Boolean there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from deploykit import redact
from deploykit.providers._answers import listing, mapping, said, text
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, words

if TYPE_CHECKING:
    import httpx

    from deploykit.ports import Deployment
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.platform import RailwaySettings

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
  id status createdAt statusUpdatedAt canRollback meta } } } }
"""
_DEPLOY = """
mutation($environment: String!, $service: String!, $commit: String) {
  serviceInstanceDeployV2(environmentId: $environment, serviceId: $service, commitSha: $commit) }
"""
_ROLL_BACK = "mutation($id: String!) { deploymentRollback(id: $id) }"
_RESTART = "mutation($id: String!) { deploymentRestart(id: $id) }"
_VARIABLES = """
query($project: String!, $environment: String!, $service: String) {
  variables(projectId: $project, environmentId: $environment, serviceId: $service) }
"""
_PROJECT = """
query($id: String!) { project(id: $id) { name environments { edges { node { id name } } } } }
"""
_LOGS = """
query($id: String!, $limit: Int) { deploymentLogs(deploymentId: $id, limit: $limit) { timestamp severity message } }
"""


class RailwayPlatform:
    """A `ports.Platform`.

    Args:
        settings: The project, the environment and the address.
        token: A token that may read and deploy.
        plain: Text that is no secret; a variable whose value stands in it is not masked.
        timeout: Seconds for the connection, and for each answer.
    """

    def __init__(self, settings: RailwaySettings, token: str, *, plain: str = "", timeout: float = TIMEOUT) -> None:
        from gql.transport.httpx import HTTPXTransport  # noqa: PLC0415 - an extra, and slow to import

        # What gql logs of its own accord is whole answers, and those to `variables` are secrets.
        logging.getLogger("gql.transport").setLevel(logging.WARNING)
        self._settings, self._plain = settings, plain
        self._call = Call("Railway", "", address="platform.url", token="platform.token", timeout=timeout)  # noqa: S106 - a name
        # One connection a request: an idle one may die just when a change is sent over it.
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        self._transport = HTTPXTransport(
            url=settings.url, headers=headers, timeout=timeout, event_hooks={"response": [_only_success]}
        )
        self._transport.connect()  # type: ignore[no-untyped-call]  # the client leaves it untyped

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether project and environment are there."""
        return {"project": self._place}

    def _place(self) -> str:
        known = self._settings

        def once() -> str:
            try:
                found = mapping(self._ask(_PROJECT, "project", id=known.project), "project")
            except Fault as fault:
                if fault.why is Why.REFUSED and not fault.mend:
                    fault.mend = "look at platform.project, and at what platform.token may see"
                raise
            edges = listing(mapping(found.get("environments"), "environments").get("edges"), "edges")
            nodes = [mapping(mapping(edge, "an edge").get("node"), "an environment") for edge in edges]
            names = {str(node.get("id")): words(node.get("name")) for node in nodes}
            if known.environment not in names:
                listed = ", ".join(f"{name} is {key}" for key, name in names.items())
                mend = f"mend platform.environment, which is an id: {listed}"
                raise Fault(Why.REFUSED, f"{words(found.get('name'))} has no such environment", mend=mend)
            return f"{names[known.environment]} of {words(found.get('name'))}"

        return attempt(replace(self._call, what=f"project {known.project}"), once)

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
        self._start(_ROLL_BACK, "deploymentRollback", deployment, "roll back to")

    def restart(self, deployment: str) -> None:
        """Start restarting the processes of a deployment; its status tells when they are up.

        Raises:
            Unreachable: It is not known whether it was started.
            Rejected: Railway refused.
        """
        self._start(_RESTART, "deploymentRestart", deployment, "restart")

    def logs(self, deployment: str, *, limit: int = 100) -> tuple[str, ...]:
        """The last lines that a deployment wrote, oldest first: time, severity, message.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Railway refused, or an answer of no use.
        """

        def once() -> tuple[str, ...]:
            found = listing(self._ask(_LOGS, "deploymentLogs", id=deployment, limit=limit), "deploymentLogs")
            return tuple(map(_line, found[-limit:]))

        return attempt(replace(self._call, what=f"log of {deployment}"), once)

    def variables(self, service: str) -> Mapping[str, str]:
        """A service's variables, each value masked from now on in all that is written.

        What Railway itself provides (`RAILWAY_*`: names and ids) is not masked, nor what stands in the settings anyway:
        masking `production` would blank out every record.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Railway refused, or an answer of no use.
        """
        place = {"project": self._settings.project, "environment": self._settings.environment, "service": service}

        def once() -> Mapping[str, str]:
            try:
                found = mapping(self._ask(_VARIABLES, "variables", **place), "variables")
            except Fault as fault:
                # The words of any other would quote the answer, which holds secrets that nobody knows yet.
                raise fault if fault.why is not Why.GARBLED else Fault(Why.GARBLED, "it is withheld") from None
            for name, value in found.items():
                if not isinstance(value, str):
                    raise Fault(Why.GARBLED, f"the variable {name} is no text")
                if not name.startswith("RAILWAY_") and value not in self._plain:
                    redact.learn(value)
            return found

        return attempt(replace(self._call, what=f"variables of {service}"), once)

    def _start(self, document: str, field: str, deployment: str, what: str) -> None:
        """A change that Railway answers with a plain yes or no."""

        def once() -> None:
            started = self._ask(document, field, id=deployment)
            if started is False:
                raise Fault(Why.REFUSED, f"cannot {what} {deployment}")
            if started is not True:
                raise Fault(Why.GARBLED, f"{field} is {started!r}")

        attempt(replace(self._call, what=f"{what} {deployment}", changes=True), once)

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
    platform = cast("RailwaySettings", environment.platform)
    return RailwayPlatform(platform, settings.resolve(platform.token), plain=settings.model_dump_json())


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
        changed=changed if isinstance(changed := one.get("statusUpdatedAt"), str) else "",
    )


def _line(entry: Any) -> str:
    """One line of a log; only its message is sure to be there."""
    one = mapping(entry, "a line of the log")
    message = one.get("message")
    parts = (one.get("timestamp"), one.get("severity"), message if isinstance(message, str) else None)
    if parts[2] is None:
        raise Fault(Why.GARBLED, "a line of the log has no message")
    return " ".join(part for part in parts if isinstance(part, str) and part)


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(text(value, "createdAt"))
    except ValueError as error:
        raise Fault(Why.GARBLED, f"createdAt is no time but {value!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
