"""GitHub's GraphQL API, as far as only it tells something: whether a review thread is resolved."""

from pathlib import Path
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError, build_schema, execute, parse, validate
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deploykit.sandbox.vendors.github_shapes import View, Views
from deploykit.sandbox.vendors.github_wire import sent

SCHEMA = build_schema(Path(__file__).with_name("github.graphql").read_text())
LARGEST = 100


class Root:
    """The fields of Query; graphql-core calls each with its arguments."""

    def __init__(self, views: Views) -> None:
        self.views = views

    def repository(self, _: Any, owner: str, name: str) -> View:
        """Finds the repository."""
        if f"{owner}/{name}".lower() != self.views.name:
            raise not_found(f"Could not resolve to a Repository with the name '{owner}/{name}'.")
        return {"nameWithOwner": self.views.name, "pullRequest": self.pull}

    def pull(self, _: Any, number: int) -> View:
        """Finds a pull request."""
        if str(number) not in self.views.world["pulls"]:
            raise not_found(f"Could not resolve to a PullRequest with the number of {number}.")

        def threads(_: Any, first: int | None = None, after: str | None = None) -> View:
            return self.threads(str(number), first, after)

        return {"number": number, "reviewThreads": threads}

    def threads(self, number: str, first: int | None, after: str | None) -> View:
        """A page of a pull request's review threads."""
        if first is None or not 1 <= first <= LARGEST:
            raise GraphQLError("You must provide a `first` or `last` value to properly paginate `reviewThreads`.")
        known = self.views.world["pulls"][number]["threads"]
        start = int(after) if after and after.isdecimal() else 0
        page = [self.thread(number, index) for index in range(start, min(start + first, len(known)))]
        end = start + len(page)
        info = {"hasNextPage": end < len(known), "endCursor": str(end) if page else None}
        return {"totalCount": len(known), "nodes": page, "pageInfo": info}

    def thread(self, number: str, index: int) -> View:
        """A thread with the comment that began it."""
        known, comment = self.views.world["pulls"][number]["threads"][index], self.views.comment(number, index)
        began = {"url": comment["html_url"], "body": comment["body"], "author": comment["user"]}
        return {
            "id": f"PRRT_{number}_{index}",
            "isResolved": known["resolved"],
            "isOutdated": known.get("outdated", False),
            "path": known["path"],
            "comments": lambda _, **__: {"totalCount": 1, "nodes": [began]},
        }


def not_found(message: str) -> GraphQLError:
    """The error for what is not there; its type stands beside the message, as GitHub has it."""
    return GraphQLError(message, extensions={"type": "NOT_FOUND"})


async def answer(views: Views, request: Request) -> Response:
    """Runs a document; an error is told inside an answer of status 200."""
    body = await sent(request)
    try:
        document = parse(str(body.get("query") or ""))
    except GraphQLSyntaxError as error:
        return JSONResponse({"errors": [{"message": error.message}]})
    wrong = validate(SCHEMA, document)
    if wrong:
        return JSONResponse({"errors": [{"message": error.message} for error in wrong]})
    done: Any = execute(SCHEMA, document, Root(views), variable_values=body.get("variables"))
    told = [{**(e.extensions or {}), "path": e.path, "message": e.message} for e in done.errors or []]
    return JSONResponse({"data": done.data, **({"errors": told} if told else {})})
