"""A stand-in for Railway's GraphQL API, over the platform that really runs the services."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    build_schema,
    execute,
    parse,
    validate,
)
from graphql.language import FieldNode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploykit.sandbox.addresses import (
    RAILWAY_PRODUCTION,
    RAILWAY_PROJECT,
    RAILWAY_PROJECT_TOKEN,
    RAILWAY_STAGING,
    RAILWAY_TOKEN,
)
from deploykit.sandbox.limits import Standing, Window
from deploykit.sandbox.vendors.platform import HEALTH_SECONDS, Deployment, Platform, PlatformError, Service
from deploykit.sandbox.vendors.relay import connection, pages
from deploykit.sandbox.vendors.tap import Operation, Vendor, read_json

SCHEMA = build_schema(Path(__file__).with_name("railway.graphql").read_text())
BORN = "2026-01-05T09:00:00.000Z"
ENVIRONMENTS = {RAILWAY_PRODUCTION: "production", RAILWAY_STAGING: "staging"}
ON_THE_WAY = ("INITIALIZING", "QUEUED", "BUILDING", "DEPLOYING")
#: Requests an hour, as in Railway's larger plan.
LIMIT, PERIOD = 10_000, 3600.0
PROJECT_TOKEN = "project-access-token"  # noqa: S105  # a header's name
View = dict[str, Any]


class Root:
    """The fields of Query and Mutation; graphql-core calls each with its arguments."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def deployment(self, _: Any, id: str) -> View:  # noqa: A002  # Railway's name
        """Finds a deployment."""
        return self.view(self.platform.deployment(id))

    def deploymentLogs(  # noqa: N802  # Railway's name
        self,
        _: Any,
        deploymentId: str,  # noqa: N803  # Railway's name
        limit: int = 500,
        filter: str = "",  # noqa: A002  # Railway's name
        **__: Any,
    ) -> list[View]:
        """The last lines that a deployment wrote, oldest first; all bear the time at which its status last changed."""
        deployment = self.platform.deployment(deploymentId)
        lines = [line for line in self.platform.log(deployment) if filter in line][-limit:]
        moment = stamp(deployment.status_updated_at)
        return [{"message": line, "severity": "error", "timestamp": moment, "attributes": []} for line in lines]

    def deployments(self, _: Any, input: View, **paging: Any) -> View:  # noqa: A002  # Railway's name
        """Lists deployments, newest first."""
        wanted = input.get("status") or {}
        found = [d for d in reversed(self.platform.deployments) if chosen(d, input, wanted)]
        return connection([self.view(d) for d in found], **paging)

    def environment(self, _: Any, id: str, **__: Any) -> View:  # noqa: A002  # Railway's name
        """Finds an environment."""
        if id not in ENVIRONMENTS:
            raise PlatformError("Environment not found")
        return environment(id)

    def project(self, _: Any, id: str) -> View:  # noqa: A002  # Railway's name
        """Finds the project."""
        require_project(id)
        services = [dated({"id": s.id, "name": s.name, "projectId": id}) for s in self.platform.services.values()]
        environments = [environment(e) for e in ENVIRONMENTS]
        return dated({"id": id, "name": "shop", "services": pages(services), "environments": pages(environments)})

    def serviceInstance(self, _: Any, environmentId: str, serviceId: str) -> View:  # noqa: N802, N803  # Railway's names
        """Shows a service in an environment."""
        service = self.service(environmentId, serviceId)
        own = [d for d in self.platform.deployments if d.service_id == service.id]
        domain = {"id": f"domain-{service.name}", "domain": address(service), "serviceId": service.id}
        return dated(
            {
                "id": f"{service.id}-{ENVIRONMENTS[environmentId]}",
                "serviceId": service.id,
                "serviceName": service.name,
                "environmentId": environmentId,
                "numReplicas": 1,
                "healthcheckPath": "/health",
                "healthcheckTimeout": int(HEALTH_SECONDS),
                "overlapSeconds": 0,
                "drainingSeconds": 3,
                "startCommand": None,
                "latestDeployment": self.view(own[-1]) if own else None,
                "activeDeployments": [self.view(service.active)] if service.active and service.child else [],
                "domains": {"serviceDomains": [{**domain, "targetPort": service.port}]},
            }
        )

    def variables(
        self,
        _: Any,
        projectId: str,  # noqa: N803  # Railway's name
        environmentId: str,  # noqa: N803  # Railway's name
        serviceId: str | None = None,  # noqa: N803  # Railway's name
        **__: Any,
    ) -> dict[str, str]:
        """A service's variables; without a service the shared ones, of which there are none."""
        require_project(projectId)
        return dict(self.service(environmentId, serviceId).variables) if serviceId else {}

    def variableCollectionUpsert(self, _: Any, input: View) -> bool:  # noqa: A002, N802  # Railway's names
        """Sets variables, and deploys the service with them unless told not to."""
        require_project(input["projectId"])
        if input.get("serviceId"):
            service = self.service(input["environmentId"], input["serviceId"])
            kept = {} if input["replace"] else service.variables
            service.variables = {**kept, **{name: str(value) for name, value in input["variables"].items()}}
            if not input["skipDeploys"] and service.active:
                self.platform.deploy_again(service.active.id, "redeploy")
        return True

    def serviceInstanceDeployV2(  # noqa: N802  # Railway's name
        self,
        _: Any,
        environmentId: str,  # noqa: N803  # Railway's name
        serviceId: str,  # noqa: N803  # Railway's name
        commitSha: str | None = None,  # noqa: N803  # Railway's name
    ) -> str:
        """Deploys a commit."""
        return self.platform.deploy(self.service(environmentId, serviceId).id, commitSha).id

    def deploymentRedeploy(self, _: Any, id: str, **__: Any) -> View:  # noqa: A002, N802  # Railway's names
        """Deploys the same again."""
        return self.view(self.platform.deploy_again(id, "redeploy"))

    def deploymentRestart(self, _: Any, id: str) -> bool:  # noqa: A002, N802  # Railway's names
        """Restarts the active deployment."""
        self.platform.restart(id)
        return True

    def deploymentRollback(self, _: Any, id: str) -> bool:  # noqa: A002, N802  # Railway's names
        """Deploys an earlier deployment again, as a new one."""
        self.platform.deploy_again(id, "rollback")
        return True

    def service(self, environment_id: str, service_id: str) -> Service:
        """A service, in the one environment that it runs in."""
        service = self.platform.service(service_id)
        if environment_id != service.environment_id:
            raise PlatformError("ServiceInstance not found")
        return service

    def view(self, deployment: Deployment) -> View:
        """A deployment as Railway shows it."""
        service, release = self.platform.service(deployment.service_id), deployment.release
        meta = {"commitHash": release.commit, "commitMessage": release.title, "branch": "main", "repo": "acme/shop"}
        return {
            "id": deployment.id,
            "status": deployment.status,
            "createdAt": stamp(deployment.created_at),
            "updatedAt": stamp(deployment.status_updated_at),
            "statusUpdatedAt": stamp(deployment.status_updated_at),
            "canRedeploy": deployment.has_run,
            "canRollback": deployment.has_run,
            "deploymentStopped": deployment.status not in (*ON_THE_WAY, "SUCCESS"),
            "meta": {**meta, "commitAuthor": "dana", "reason": deployment.reason},
            "url": address(service),
            "staticUrl": address(service),
            "projectId": RAILWAY_PROJECT,
            "environmentId": deployment.environment_id,
            "serviceId": service.id,
        }


def chosen(deployment: Deployment, asked: View, status: View) -> bool:
    """Whether a deployment fits the filter."""
    places = {
        "projectId": RAILWAY_PROJECT,
        "environmentId": deployment.environment_id,
        "serviceId": deployment.service_id,
    }
    if any(asked.get(key) not in (None, value) for key, value in places.items()):
        return False
    inside, outside = status.get("in"), status.get("notIn")
    return (inside is None or deployment.status in inside) and (outside is None or deployment.status not in outside)


def require_project(identifier: str) -> None:
    """Refuses another project."""
    if identifier != RAILWAY_PROJECT:
        raise PlatformError("Project not found")


def environment(identifier: str) -> View:
    """An environment as Railway shows it."""
    name = ENVIRONMENTS[identifier]
    return dated({"id": identifier, "name": name, "projectId": RAILWAY_PROJECT, "isEphemeral": False})


def dated(view: View) -> View:
    """The same with the dates that everything old has."""
    return {"createdAt": BORN, "updatedAt": BORN, **view}


def address(service: Service) -> str:
    """Where a service answers, without a scheme, as Railway gives it."""
    return f"127.0.0.1:{service.port}"


def stamp(moment: datetime) -> str:
    """A time as Railway writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def authorized(request: Request) -> bool:
    """Whether the request carries one of the two tokens, each in its own header."""
    bearer = request.headers.get("authorization") == f"Bearer {RAILWAY_TOKEN}"
    return bearer or request.headers.get(PROJECT_TOKEN) == RAILWAY_PROJECT_TOKEN


def make_app(platform: Platform, window: Window) -> Starlette:
    """The stand-in's application, which takes so many requests of a token in the window."""
    root = Root(platform)

    async def graphql(request: Request) -> JSONResponse:
        standing = window.take(request.headers.get("authorization", "") or request.headers.get(PROJECT_TOKEN, ""))
        headers = told(standing)
        if standing.refused:
            body, _ = failure(429)
            return JSONResponse(body, 429, headers | {"retry-after": str(standing.reset)})
        status, body = answer(root, read_json(await request.body()), allowed=authorized(request))
        return JSONResponse(body, status, headers)

    return Starlette(routes=[Route("/graphql/v2", graphql, methods=["POST"])])


def told(standing: Standing) -> dict[str, str]:
    """A standing in Railway's headers."""
    numbers = {"limit": standing.limit, "remaining": max(0, standing.remaining)}
    numbers["reset"] = int(time.time()) + standing.reset
    return {f"x-ratelimit-{name}": str(value) for name, value in numbers.items()}


def answer(root: Root, sent: Any, *, allowed: bool) -> tuple[int, View]:
    """Parses, validates and executes; the status and the body."""
    try:
        document = parse(sent["query"])
    except (TypeError, KeyError, GraphQLSyntaxError) as error:
        return 400, {"errors": [{"message": str(error)}]}
    if wrong := validate(SCHEMA, document):
        return 400, {"errors": [worded(error) for error in wrong]}
    if not allowed:
        field = root_field(sent)
        return 200, {
            "errors": [worded(GraphQLError("Not Authorized", path=[field.name.value] if field else None))],
            "data": None,
        }
    result = execute(
        SCHEMA, document, root, variable_values=sent.get("variables"), operation_name=sent.get("operationName")
    )
    if not isinstance(result, ExecutionResult):
        return 500, {"errors": [{"message": "Problem processing request"}]}
    errors = {"errors": [worded(error) for error in result.errors]} if result.errors else {}
    return 200, {**errors, "data": result.data}


def worded(error: GraphQLError) -> View:
    """An error as Railway gives it."""
    return {**error.formatted, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


def root_field(sent: Any) -> FieldNode | None:
    """The first field of the operation."""
    try:
        definitions = parse(sent["query"]).definitions
    except (TypeError, KeyError, GraphQLSyntaxError):
        return None
    operations = [d for d in definitions if isinstance(d, OperationDefinitionNode)]
    fields = [f for o in operations for f in o.selection_set.selections if isinstance(f, FieldNode)]
    return fields[0] if fields else None


def describe(_: Request, body: bytes) -> Operation:
    """Names an operation by its field of Query or Mutation."""
    sent = read_json(body)
    field = root_field(sent)
    if field is None:
        return Operation("(not a query)", changing=False, detail="")
    mutation = SCHEMA.get_root_type(OperationType.MUTATION)
    changing = mutation is not None and field.name.value in mutation.fields
    given = sent.get("variables") or {}
    return Operation(field.name.value, changing, str({k: v for k, v in given.items() if isinstance(v, str)})[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What Railway says with that status."""
    if status == 429:
        return {"errors": [{"message": "Too Many Requests"}]}, {"retry-after": "1", "x-ratelimit-remaining": "0"}
    return {"errors": [{"message": "Problem processing request"}]}, {}


RAILWAY = Vendor("railway", describe, failure)
