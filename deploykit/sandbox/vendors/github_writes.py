"""What GitHub's stand-in writes down, and reads back: deployments, releases, issues."""

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.vendors import github_records as records
from deploykit.sandbox.vendors.github_shapes import View, Views
from deploykit.sandbox.vendors.github_wire import Handler, failed, invalid, paged, sent
from deploykit.sandbox.vendors.github_world import resolve

STATES = ("error", "failure", "inactive", "in_progress", "queued", "pending", "success")


def now() -> str:
    """The time as GitHub writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def create_deployment(views: Views, request: Request) -> Response:
    """Creates a deployment of a ref whose required checks have passed."""
    asked = await sent(request)
    ref = asked.get("ref")
    if not isinstance(ref, str):
        return invalid("Deployment", "ref", "missing_field")
    sha = resolve(views.world, ref)
    if sha is None:
        return failed(422, f"No ref found for: {ref}")
    contexts = asked.get("required_contexts")
    passed = {s["context"] for s in views.world["statuses"].get(sha, []) if s["state"] == "success"}
    known = {s["context"] for s in views.world["statuses"].get(sha, [])}
    if set(known if contexts is None else contexts) - passed:
        return failed(409, f"Conflict: Commit status checks failed for {ref}.")
    views.world["deployments"].append(
        {
            "sha": sha,
            "ref": ref,
            "task": asked.get("task", "deploy"),
            "payload": asked.get("payload", {}),
            "environment": asked.get("environment", "production"),
            "description": asked.get("description"),
            "date": now(),
            "statuses": [],
        }
    )
    return JSONResponse(records.deployment(views, len(views.world["deployments"]) - 1), 201)


async def list_deployments(views: Views, request: Request) -> Response:
    """Lists deployments, the newest first."""
    asked = request.query_params
    shown = [records.deployment(views, n) for n in reversed(range(len(views.world["deployments"])))]
    for key in ("sha", "ref", "task", "environment"):
        shown = [deployment for deployment in shown if asked.get(key, deployment[key]) == deployment[key]]
    return paged(request, shown, dict)


def deployment_of(views: Views, request: Request) -> int:
    """The place of the deployment that is asked for."""
    index = int(request.path_params["deployment"]) - 1
    if not 0 <= index < len(views.world["deployments"]):
        raise HTTPException(404, "Not Found")
    return index


async def create_deployment_status(views: Views, request: Request) -> Response:
    """Creates a status of a deployment."""
    index, asked = deployment_of(views, request), await sent(request)
    known = views.world["deployments"][index]
    if asked.get("state") not in STATES:
        return invalid("DeploymentStatus", "state", "invalid" if "state" in asked else "missing_field")
    kept = {key: asked.get(key) for key in ("state", "log_url", "target_url", "environment_url")}
    described: View = {"description": asked.get("description", ""), "date": now()}
    known["statuses"].append({**kept, **described, "environment": asked.get("environment", known["environment"])})
    return JSONResponse(records.deployment_status(views, index, len(known["statuses"]) - 1), 201)


async def list_deployment_statuses(views: Views, request: Request) -> Response:
    """Lists a deployment's statuses, the newest first."""
    index = deployment_of(views, request)
    keys = [*reversed(range(len(views.world["deployments"][index]["statuses"])))]
    return paged(request, keys, lambda number: records.deployment_status(views, index, number))


async def create_release(views: Views, request: Request) -> Response:
    """Creates a release, and its tag where there is none."""
    asked = await sent(request)
    tag = asked.get("tag_name")
    if not isinstance(tag, str) or not tag:
        return invalid("Release", "tag_name", "missing_field")
    if any(release["tag"] == tag for release in views.world["releases"]):
        return invalid("Release", "tag_name", "already_exists")
    target = str(asked.get("target_commitish", views.world["branch"]))
    commit = resolve(views.world, target)
    if commit is None:
        return invalid("Release", "target_commitish", "invalid")
    kept = {"tag": tag, "target": target, "name": asked.get("name") or tag, "body": asked.get("body") or ""}
    marks = {key: bool(asked.get(key)) for key in ("draft", "prerelease")}
    views.world["releases"].append({**kept, **marks, "date": now()})
    views.world["refs"].setdefault(f"tags/{tag}", commit)
    return JSONResponse(records.release(views, len(views.world["releases"]) - 1), 201)


async def list_releases(views: Views, request: Request) -> Response:
    """Lists releases, the newest first."""
    keys = [*reversed(range(len(views.world["releases"])))]
    return paged(request, keys, lambda index: records.release(views, index))


async def show_release(views: Views, request: Request) -> Response:
    """Shows the release of a tag, or the latest that is neither a draft nor a prerelease."""
    tag = request.path_params.get("tag")
    for index in reversed(range(len(views.world["releases"]))):
        known = views.world["releases"][index]
        if known["tag"] == tag or (tag is None and not known.get("draft") and not known.get("prerelease")):
            return JSONResponse(records.release(views, index))
    raise HTTPException(404, "Not Found")


async def create_issue(views: Views, request: Request) -> Response:
    """Creates an issue."""
    asked = await sent(request)
    if not isinstance(asked.get("title"), str):
        return invalid("Issue", "title", "missing_field")
    labels: list[View] = []
    for name in asked.get("labels", []):
        label = {"id": len(labels) + 1, "node_id": f"LA_{name}", "url": f"{views.base}/labels/{name}", "name": name}
        labels.append({**label, "description": None, "color": "ededed", "default": False})
    views.world["issues"].append({"title": asked["title"], "body": asked.get("body"), "labels": labels, "date": now()})
    return JSONResponse(records.issue(views, len(views.world["issues"]) - 1), 201)


READS: Mapping[str, Handler] = {
    "/deployments": list_deployments,
    "/deployments/{deployment:int}/statuses": list_deployment_statuses,
    "/releases": list_releases,
    "/releases/latest": show_release,
    "/releases/tags/{tag:path}": show_release,
}
WRITES: Mapping[str, Handler] = {
    "/deployments": create_deployment,
    "/deployments/{deployment:int}/statuses": create_deployment_status,
    "/releases": create_release,
    "/issues": create_issue,
}
