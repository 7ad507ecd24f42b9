"""A stand-in for GitHub's REST API around one repository; what is at `/graphql` is in `github_threads`."""

import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.vendors import github_records as records
from deploykit.sandbox.vendors import github_threads, github_writes
from deploykit.sandbox.vendors.github_shapes import View, Views
from deploykit.sandbox.vendors.github_wire import (
    DOCUMENTATION,
    Handler,
    Limits,
    by_cursor,
    guarded,
    paged,
    refuse,
)
from deploykit.sandbox.vendors.github_world import World, ancestors, resolve
from deploykit.sandbox.vendors.tap import Operation, Vendor

#: Commits of a comparison that is not paged.
MOST = 250


async def show_repository(views: Views, _: Request) -> Response:
    """Shows the one repository."""
    return JSONResponse(views.full_repository())


def commit_of(views: Views, request: Request) -> str:
    """The commit that is asked for by any name of it."""
    ref = request.path_params["ref"]
    found = resolve(views.world, ref)
    if found is None:
        raise HTTPException(422, f"No commit found for SHA: {ref}")
    return found


async def show_commit(views: Views, request: Request) -> Response:
    """Shows a commit."""
    return JSONResponse(views.commit(commit_of(views, request), whole=True))


async def list_commit_pulls(views: Views, request: Request) -> Response:
    """Lists the pull requests that brought a commit, or that it stands in."""
    sha, pulls = commit_of(views, request), views.world["pulls"]
    return paged(request, [n for n, pull in pulls.items() if sha in (pull["head"], *pull["commits"])], views.pull)


async def show_status(views: Views, request: Request) -> Response:
    """Shows a commit's combined status."""
    sha = commit_of(views, request)
    known = range(len(views.world["statuses"].get(sha, [])))
    return paged(request, known, lambda n: records.status(views, sha, n), lambda s: records.combined(views, sha, s))


async def list_runs(views: Views, request: Request) -> Response:
    """Lists a commit's check runs."""
    sha, asked = commit_of(views, request), request.query_params
    shown = [records.run(views, sha, n) for n in range(len(views.world["runs"].get(sha, [])))]
    shown = [run for run in shown if asked.get("check_name", run["name"]) == run["name"]]
    shown = [run for run in shown if asked.get("status", run["status"]) == run["status"]]
    return paged(request, shown, dict, lambda page: {"total_count": len(shown), "check_runs": page})


async def compare(views: Views, request: Request) -> Response:
    """Compares two commits: what the second has and the first has not, oldest first."""
    base_ref, dots, head_ref = request.path_params["basehead"].partition("...")
    base, head = resolve(views.world, base_ref), resolve(views.world, head_ref)
    if not dots or base is None or head is None:
        raise HTTPException(404, "Not Found")
    before, after = ancestors(views.world, base), ancestors(views.world, head)
    new, lost = [c for c in after if c not in set(before)], [c for c in before if c not in set(after)]
    common = [c for c in after if c in set(before)]
    status = ("diverged" if lost else "ahead") if new else ("behind" if lost else "identical")
    url, page = f"{views.base}/compare/{base}...{head}", f"{views.web}/compare/{base}...{head}"
    if not common:
        raise HTTPException(404, f"No common ancestor between {base_ref} and {head_ref}.")

    def around(commits: list[View]) -> View:
        return {
            "url": url,
            "html_url": page,
            "permalink_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "base_commit": views.commit(base),
            "merge_base_commit": views.commit(common[-1]),
            "status": status,
            "ahead_by": len(new),
            "behind_by": len(lost),
            "total_commits": len(new),
            "commits": commits,
            "files": [],
        }

    return paged(request, new, views.commit, around, MOST)


async def list_pulls(views: Views, request: Request) -> Response:
    """Lists pull requests, the newest first."""
    asked = request.query_params
    shown = [views.pull(number) for number in reversed(views.world["pulls"])]
    wanted = asked.get("state", "open")
    shown = [pull for pull in shown if wanted in ("all", pull["state"])]
    shown = [pull for pull in shown if asked.get("base", pull["base"]["ref"]) == pull["base"]["ref"]]
    shown = [pull for pull in shown if asked.get("head", pull["head"]["label"]) == pull["head"]["label"]]
    return paged(request, shown, dict)


def pull_of(views: Views, request: Request) -> str:
    """The pull request that is asked for."""
    number = str(request.path_params["number"])
    if number not in views.world["pulls"]:
        raise HTTPException(404, "Not Found")
    return number


async def show_pull(views: Views, request: Request) -> Response:
    """Shows a pull request, and whether it can be merged."""
    return JSONResponse(views.whole_pull(pull_of(views, request)))


async def list_reviews(views: Views, request: Request) -> Response:
    """Lists reviews in the order in which they were given."""
    number = pull_of(views, request)
    known = range(len(views.world["pulls"][number]["reviews"]))
    return paged(request, known, lambda index: views.review(number, index))


async def list_comments(views: Views, request: Request) -> Response:
    """Lists review comments."""
    number = pull_of(views, request)
    known = range(len(views.world["pulls"][number]["threads"]))
    return paged(request, known, lambda index: views.comment(number, index))


def lister(scanner: str) -> Handler:
    """Lists a scanner's alerts, the newest first."""

    async def list_alerts(views: Views, request: Request) -> Response:
        asked = request.query_params
        wanted = set(filter(None, asked.get("state", "").split(",")))
        grave = set(filter(None, asked.get("severity", "").split(",")))
        keys = []
        for index, known in enumerate(views.world["alerts"][scanner]):
            elsewhere = scanner == "code-scanning" and asked.get("ref") not in (
                None,
                known.get("ref", asked.get("ref")),
            )
            in_state = not wanted or known.get("state", "open") in wanted
            if in_state and not elsewhere and (not grave or known.get("severity") in grave):
                keys.append(index)
        keys.reverse()
        listing = by_cursor if scanner == "dependabot" else paged
        hidden = {"secret": None} if asked.get("hide_secret") == "true" else {}
        return listing(request, keys, lambda index: {**records.alert(views, scanner, index), **hidden})

    return list_alerts


async def show_protection(views: Views, request: Request) -> Response:
    """Shows what protects the main branch."""
    required = views.world["required"]["protection"]
    if required is None or request.path_params["branch"] != views.world["branch"]:
        raise HTTPException(404, "Branch not protected")
    url = f"{views.base}/branches/{views.world['branch']}/protection"
    checks = {
        "url": f"{url}/required_status_checks",
        "strict": True,
        "contexts": required,
        "contexts_url": f"{url}/required_status_checks/contexts",
        "checks": [{"context": name, "app_id": None} for name in required],
    }
    off = {name: {"enabled": False} for name in ("required_linear_history", "allow_force_pushes", "allow_deletions")}
    admins = {"url": f"{url}/enforce_admins", "enabled": True}
    return JSONResponse({"url": url, "required_status_checks": checks, "enforce_admins": admins, **off})


async def list_rules(views: Views, request: Request) -> Response:
    """Lists the rules for a branch."""
    source = {"ruleset_source_type": "Repository", "ruleset_source": views.name, "ruleset_id": 1}
    rules: list[View] = [{"type": "deletion", **source}]
    required = views.world["required"]["rules"]
    if required:
        checks = [{"context": name} for name in required]
        parameters = {"required_status_checks": checks, "strict_required_status_checks_policy": True}
        rules.append({"type": "required_status_checks", "parameters": parameters, **source})
    return paged(request, rules, dict)


BASE = "/repos/{owner}/{repo}"
READS: Mapping[str, Handler] = {
    "": show_repository,
    "/commits/{ref:path}/status": show_status,
    "/commits/{ref:path}/check-runs": list_runs,
    "/commits/{ref:path}/pulls": list_commit_pulls,
    "/commits/{ref:path}": show_commit,
    "/compare/{basehead:path}": compare,
    "/pulls": list_pulls,
    "/pulls/{number:int}": show_pull,
    "/pulls/{number:int}/reviews": list_reviews,
    "/pulls/{number:int}/comments": list_comments,
    "/code-scanning/alerts": lister("code-scanning"),
    "/dependabot/alerts": lister("dependabot"),
    "/secret-scanning/alerts": lister("secret-scanning"),
    "/branches/{branch:path}/protection": show_protection,
    "/rules/branches/{branch:path}": list_rules,
    **github_writes.READS,
}


def make_app(world: World) -> Starlette:
    """The stand-in's application."""
    limits = Limits(world)
    routes = [Route(BASE + path, guarded(world, limits, handler)) for path, handler in READS.items()]
    writes = [
        Route(BASE + path, guarded(world, limits, handler), methods=["POST"])
        for path, handler in github_writes.WRITES.items()
    ]
    graphql = Route("/graphql", guarded(world, limits, github_threads.answer), methods=["POST"])
    return Starlette(routes=[*routes, *writes, graphql], exception_handlers={HTTPException: refuse})


def describe(request: Request, body: bytes) -> Operation:
    """Names an operation by its method and path. A question in GraphQL is asked with POST and changes nothing."""
    asks = request.method == "GET" or request.url.path == "/graphql"
    return Operation(
        f"{request.method} {request.url.path}",
        not asks,
        request.url.query[:200] or body[:200].decode("utf-8", "replace"),
    )


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What GitHub says with that status."""
    if status == 429:
        reset = str(int(time.time()) + 1)
        headers = {"retry-after": "1", "x-ratelimit-remaining": "0", "x-ratelimit-limit": "5000"}
        return {"message": "API rate limit exceeded", "documentation_url": DOCUMENTATION}, headers | {
            "x-ratelimit-reset": reset
        }
    return {"message": "Server Error", "documentation_url": DOCUMENTATION}, {}


GITHUB = Vendor("github", describe, failure)
