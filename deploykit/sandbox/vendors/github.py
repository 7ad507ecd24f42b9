"""A stand-in for the part of GitHub's REST API that tells which commit a release's tag is."""

import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploykit.sandbox.addresses import GITHUB_OWNER, GITHUB_REPOSITORY, GITHUB_TOKEN
from deploykit.sandbox.releases import HEAD, RELEASES, Release, find_release
from deploykit.sandbox.vendors.tap import Operation, Vendor

DOCUMENTATION = "https://docs.github.com/rest"
LIMIT = 5000
OWNER_LINKS = [
    "followers_url",
    "following_url",
    "gists_url",
    "starred_url",
    "subscriptions_url",
    "organizations_url",
    "repos_url",
    "events_url",
    "received_events_url",
]
REPOSITORY_LINKS = [
    "archive",
    "assignees",
    "blobs",
    "branches",
    "collaborators",
    "comments",
    "commits",
    "compare",
    "contents",
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "git_commits",
    "git_refs",
    "git_tags",
    "git",
    "hooks",
    "issue_comment",
    "issue_events",
    "issues",
    "keys",
    "labels",
    "languages",
    "merges",
    "milestones",
    "notifications",
    "pulls",
    "releases",
    "ssh",
    "stargazers",
    "statuses",
    "subscribers",
    "subscription",
    "svn",
    "tags",
    "teams",
    "trees",
    "clone",
]
COUNTS = [
    "forks",
    "forks_count",
    "stargazers_count",
    "watchers",
    "watchers_count",
    "size",
    "open_issues",
    "open_issues_count",
    "subscribers_count",
    "network_count",
]
FLAGS = ("has_projects", "has_wiki", "has_pages", "has_discussions", "archived", "disabled", "fork")


def person(api: str, login: str, identifier: int, kind: str = "User") -> dict[str, Any]:
    """A user as GitHub shows one."""
    url = f"{api}/users/{login}"
    names = {"login": login, "id": identifier, "node_id": f"U_{identifier}", "type": kind, "site_admin": False}
    pages = {
        "avatar_url": f"https://github.com/{login}.png",
        "gravatar_id": "",
        "html_url": f"https://github.com/{login}",
    }
    return {**names, **pages, "url": url, **{link: f"{url}/{link.removesuffix('_url')}" for link in OWNER_LINKS}}


def repository(api: str) -> dict[str, Any]:
    """The repository as GitHub shows it; clients follow its links, so they lead here too."""
    name = f"{GITHUB_OWNER}/{GITHUB_REPOSITORY}"
    url = f"{api}/repos/{name}"
    about = {"id": 1, "node_id": "R_1", "name": GITHUB_REPOSITORY, "full_name": name, "private": True, "url": url}
    links = {f"{link}_url": f"{url}/{link}" for link in REPOSITORY_LINKS}
    times = {"pushed_at": RELEASES[-1].date, "created_at": "2024-01-08T09:00:00Z", "updated_at": RELEASES[-1].date}
    empty = {"description": "The shop", "homepage": None, "language": "Python", "license": None, "mirror_url": None}
    rest = {"owner": person(api, GITHUB_OWNER, 10, "Organization"), "html_url": f"https://github.com/{name}"}
    return {
        **about,
        **links,
        **dict.fromkeys(COUNTS, 0),
        **dict.fromkeys(FLAGS, False),
        **times,
        **empty,
        **rest,
        "has_issues": True,
        "default_branch": "main",
    }


def commit(api: str, release: Release) -> dict[str, Any]:
    """A release's commit as GitHub shows it."""
    base = f"{api}/repos/{GITHUB_OWNER}/{GITHUB_REPOSITORY}"
    url = f"{base}/commits/{release.commit}"
    signature = {"name": "Dana Example", "email": "dana@example.com", "date": release.date}
    before = RELEASES[RELEASES.index(release) - 1] if release is not RELEASES[0] else None
    parents = [{"sha": before.commit, "url": f"{base}/commits/{before.commit}"}] if before else []
    unsigned = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
    tree = {"sha": release.commit[::-1], "url": f"{base}/git/trees/{release.commit[::-1]}"}
    inner = {"author": signature, "committer": signature, "message": release.title, "tree": tree, "comment_count": 0}
    author = person(api, "dana", 11)
    return {
        "sha": release.commit,
        "node_id": f"C_{release.commit[:8]}",
        "url": url,
        "html_url": f"https://github.com/{GITHUB_OWNER}/{GITHUB_REPOSITORY}/commit/{release.commit}",
        "comments_url": f"{url}/comments",
        "commit": {**inner, "url": f"{base}/git/commits/{release.commit}", "verification": unsigned},
        "author": author,
        "committer": author,
        "parents": parents,
        "stats": {"total": 0, "additions": 0, "deletions": 0},
        "files": [],
    }


def resolve(ref: str) -> Release | None:
    """The release that a tag, branch, or full or short commit means."""
    plain = ref.removeprefix("refs/").removeprefix("tags/").removeprefix("heads/")
    if plain == "main":
        return find_release(HEAD)
    short = [r for r in RELEASES if len(plain) >= 7 and r.commit.startswith(plain)]
    return find_release(plain) or (short[0] if len(short) == 1 else None)


async def show_repository(request: Request) -> JSONResponse:
    """Shows the one repository."""
    require_repository(request)
    return JSONResponse(repository(own_address(request)))


async def show_commit(request: Request) -> JSONResponse:
    """Shows a commit by any name of it."""
    require_repository(request)
    ref = request.path_params["ref"]
    release = resolve(ref)
    if release is None:
        raise HTTPException(422, f"No commit found for SHA: {ref}")
    return JSONResponse(commit(own_address(request), release))


def own_address(request: Request) -> str:
    """The address that the client used."""
    return str(request.base_url).rstrip("/")


def require_repository(request: Request) -> None:
    """Refuses a wrong token, and any other repository, as GitHub does."""
    sent = request.headers.get("authorization", "").split(" ", 1)
    if sent[0].lower() not in ("bearer", "token") or sent[-1] != GITHUB_TOKEN:
        raise HTTPException(401, "Bad credentials" if sent[0] else "Requires authentication")
    asked = (request.path_params["owner"].lower(), request.path_params["repo"].lower())
    if asked != (GITHUB_OWNER, GITHUB_REPOSITORY):
        raise HTTPException(404, "Not Found")


class Limits:
    """Adds the headers in which GitHub tells its limits."""

    def __init__(self) -> None:
        self.used = 0

    def headers(self) -> dict[str, str]:
        """The headers after one more request."""
        self.used = min(self.used + 1, LIMIT)
        numbers = {"limit": LIMIT, "remaining": LIMIT - self.used, "used": self.used, "reset": int(time.time()) + 3600}
        return {f"x-ratelimit-{name}": str(value) for name, value in numbers.items()} | {"x-ratelimit-resource": "core"}


async def refuse(_: Request, error: Exception) -> Response:
    """Words an error as GitHub does."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = error.detail if isinstance(error, HTTPException) else "Server Error"
    return JSONResponse({"message": message, "documentation_url": DOCUMENTATION, "status": str(status)}, status)


def make_app() -> Starlette:
    """The stand-in's application."""
    limits, base = Limits(), "/repos/{owner}/{repo}"

    def limited(handler: Any) -> Any:
        async def answer(request: Request) -> Response:
            response: Response = await handler(request)
            response.headers.update(limits.headers())
            return response

        return answer

    routes = [Route(base, limited(show_repository)), Route(base + "/commits/{ref:path}", limited(show_commit))]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def describe(request: Request, _: bytes) -> Operation:
    """Names an operation by its method and path."""
    return Operation(f"{request.method} {request.url.path}", request.method != "GET", request.url.query[:200])


def failure(status: int) -> tuple[Any, Mapping[str, str]]:
    """What GitHub says with that status."""
    if status == 429:
        headers = {"retry-after": "1", "x-ratelimit-remaining": "0", "x-ratelimit-limit": str(LIMIT)}
        return {"message": "API rate limit exceeded", "documentation_url": DOCUMENTATION}, headers
    return {"message": "Server Error", "documentation_url": DOCUMENTATION}, {}


GITHUB = Vendor("github", describe, failure)
