"""Speaking with GitHub: one request, all pages of a list, a question in GraphQL; and what each refusal means.

Sources: https://docs.github.com/en/rest/using-the-rest-api (rate limits, paging by `Link`, versions) and
https://docs.github.com/en/graphql/overview.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from deploykit.providers._answers import listing, mapping, parse, said
from deploykit.providers._deadline import within
from deploykit.providers._errors import Call, attempt
from deploykit.providers._faults import Fault, Why, of_client, seconds, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from github.Requester import Requester

VERSION = "2022-11-28"
#: How many pages of a hundred are read before a list is called too long to be sure.
PAGES = 50
#: Seconds beyond the client's own time-out after which an answer that still drips in is given up.
GRACE = 0.5


class GithubClient:
    """PyGithub's connection, with a deadline for a whole answer, and safe for several threads at once.

    Args:
        token: What proves who asks.
        url: The API's address.
        timeout: Seconds for the connection, and for a whole answer.
    """

    def __init__(self, token: str, *, url: str, timeout: int) -> None:
        self._token, self._url, self._timeout = token, url.rstrip("/"), timeout
        # PyGithub's requester keeps the request in itself until it is answered, so that each serves one at a time. One
        # whose answer is given up is not put back.
        self._idle: deque[Requester] = deque([self._requester()])
        self.graphql_path = self._idle[0].graphql_url

    def get(self, call: Call, path: str, **query: Any) -> Any:
        """One answer.

        Raises:
            ProviderError: As `attempt`.
        """
        return attempt(call, lambda: self.once("GET", path, query)[1])

    def post(self, call: Call, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create something.

        Raises:
            ProviderError: As `attempt`.
        """
        return attempt(call, lambda: mapping(self.once("POST", path, {}, body, good=(200, 201))[1], "the answer"))

    def pages(self, call: Call, path: str, **query: Any) -> Iterator[Any]:
        """The answers of all pages, as they came.

        Raises:
            ProviderError: As `attempt`.
            Fault: There are more pages than are read, or they go in a circle.
        """
        place, query = path, {"per_page": "100", **query}
        for _ in range(PAGES):
            headers, answer = attempt(call, lambda place=place, query=query: self.once("GET", place, query))  # type: ignore[misc]
            yield answer
            following = self._next(headers.get("link"))
            if following is None:
                return
            if following == (place, query):
                raise Fault(Why.GARBLED, "its next page is the same page")
            place, query = following
        raise Fault(
            Why.REFUSED, f"there are more than {PAGES} pages", mend="look there yourself, and deploy less at once"
        )

    def objects(self, call: Call, path: str, key: str = "", **query: Any) -> list[dict[str, Any]]:
        """The objects of all pages of a list; `key` is where they stand in an answer that is none.

        Raises:
            ProviderError: As `attempt`.
            Fault: As `pages`, or there are fewer objects than an answer counts.
        """
        found: list[dict[str, Any]] = []
        total = None
        for answer in self.pages(call, path, **query):
            found += objects(answer, key)
            total = answer.get("total_count") if key else None
        return whole(found, total)

    def ask(self, call: Call, question: str, **variables: Any) -> dict[str, Any]:
        """The data of a question in GraphQL.

        Raises:
            ProviderError: As `attempt`.
        """
        body = {"query": question, "variables": variables}

        def once() -> dict[str, Any]:
            answer = mapping(self.once("POST", self.graphql_path, {}, body)[1], "the answer")
            if answer.get("errors"):
                raise _graphql_fault(answer)
            return mapping(answer.get("data"), "data")

        return attempt(call, once)

    def once(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
        *,
        good: tuple[int, ...] = (200,),
    ) -> tuple[dict[str, str], Any]:
        """One request; the headers and the JSON of an answer with the status that is due.

        Raises:
            Fault: There is none.
        """
        try:
            requester = self._idle.pop()
        except IndexError:  # all of them are asking
            requester = self._requester()
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": VERSION}

        def ask() -> tuple[int, dict[str, Any], str]:
            return requester.requestJson(verb, path, dict(query), headers, input=body)

        try:
            status, told, raw = within(self._timeout + GRACE, ask)
        except Fault:
            raise
        except Exception as error:
            raise of_client(error) from error
        self._idle.append(requester)
        if status not in good:
            raise _refused(status, told, raw)
        return told, parse(raw)

    def _requester(self) -> Requester:
        from github import Auth, Github  # noqa: PLC0415 - an extra, and slow to import

        # Its own retry waits until a limit is over, up to an hour; `attempt` is the one that asks again.
        client = Github(
            base_url=self._url,
            auth=Auth.Token(self._token),
            retry=None,
            timeout=self._timeout,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )
        # One request, and its answer as it came: PyGithub's objects ask again by themselves for what an answer lacks.
        return client.requester

    def _next(self, link: str | None) -> tuple[str, dict[str, Any]] | None:
        """Where the next page is, if there is one: its path and query, on this host and no other."""
        for part in (link or "").split(","):
            target, _, marks = part.partition(";")
            if 'rel="next"' not in marks:
                continue
            url, own = urlsplit(target.strip(" <>")), urlsplit(self._url)
            if (url.scheme, url.netloc) != (own.scheme, own.netloc):
                raise Fault(Why.GARBLED, f"its next page is on another host: {url.netloc}")
            return f"{url.scheme}://{url.netloc}{url.path}", dict(parse_qsl(url.query))
        return None


def objects(answer: Any, key: str = "") -> list[dict[str, Any]]:
    """The objects of one answer: it is a list, or has one at `key`.

    Raises:
        Fault: It is something else.
    """
    place = key or "the answer"
    found = mapping(answer, "the answer").get(key) if key else answer
    return [mapping(item, f"one of {place}") for item in listing(found, place)]


def whole(found: list[dict[str, Any]], total: Any) -> list[dict[str, Any]]:
    """What was found, if it is as many as the answer counts; one that does not count is believed.

    Raises:
        Fault: There are fewer.
    """
    if isinstance(total, int) and total > len(found):
        raise Fault(Why.GARBLED, f"it lists {len(found)} of {total}")
    return found


def _graphql_fault(answer: dict[str, Any]) -> Fault:
    """What an error inside an answer stands for."""
    errors = answer["errors"]
    kinds = {error.get("type") for error in errors if isinstance(error, dict)} if isinstance(errors, list) else set()
    told = "; ".join(str(error.get("message")) for error in errors[:5] if isinstance(error, dict)) if kinds else ""
    why = Why.THROTTLED if "RATE_LIMITED" in kinds else Why.REFUSED if told else Why.GARBLED
    return Fault(why, told or str(errors))


def _refused(status: int, headers: Mapping[str, str], raw: str) -> Fault:
    """The fault that a status stands for."""
    told = said(raw)
    if status == 429 or (status == 403 and _throttled(told, headers)):
        return Fault(Why.THROTTLED, told, status=status, wait=_wait(headers))
    fault = Fault.of_status(status, told, headers)
    if status == 404:
        fault.mend = (
            "see that github.repository is right, that what is named is pushed, and that github.token may read it"
        )
    needed = headers.get("x-accepted-github-permissions")
    if status in {403, 404} and needed:
        fault.mend = f"let the token that github.token names have one of these: {words(needed)}"
    return fault


def _throttled(told: str, headers: Mapping[str, str]) -> bool:
    """Whether a 403 is a spent limit: a header tells it, or for the secondary limits sometimes only the words."""
    by_header = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
    return by_header or "rate limit" in told.lower() or "abuse detection" in told.lower()


def _wait(headers: Mapping[str, str]) -> float | None:
    """How long to wait: as told, else until the limit is renewed."""
    if "retry-after" in headers:
        return seconds(headers["retry-after"])
    reset = seconds(headers.get("x-ratelimit-reset")) if headers.get("x-ratelimit-remaining") == "0" else None
    return None if reset is None else max(reset - time.time(), 0.0)
