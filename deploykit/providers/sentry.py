"""Sentry for errors, over its REST API; there is no client of its vendor's that reads.

Source: https://docs.sentry.io/api/. The token needs the scopes `org:read`, `project:read`, `event:read`, and
`project:releases` to record a deploy.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploykit.providers._answers import listing, mapping, number, text
from deploykit.providers._errors import Call, attempt, worded
from deploykit.providers._faults import Fault, Why, words
from deploykit.providers._needed import needed
from deploykit.providers._rest import Rest

if TYPE_CHECKING:
    from deploykit.ports import ErrorProject, Issue, RecordedDeploy
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.vendors import ErrorsSettings

#: Seconds for each whole answer.
TIMEOUT = 10.0
#: Pages that are looked through before it is said that there are too many.
PAGES = 20
#: Sentry cuts a deploy's name to this many characters by refusing a longer one.
LONGEST_NAME = 64
_MENDS = {
    403: "give errors.token the scopes org:read, project:read, event:read and project:releases",
    404: "look at errors.organization and errors.project, and at what errors.token may see",
}


class SentryErrors:
    """A `ports.Errors`.

    Args:
        settings: The section `[errors]`.
        token: What its token stands for.
        timeout: Seconds for each whole answer.
    """

    def __init__(self, settings: ErrorsSettings, token: str, *, timeout: float = TIMEOUT) -> None:
        self._settings = settings
        headers = {"Authorization": f"Bearer {token}"}
        self._rest = Rest(settings.url, headers, timeout=timeout, mends=_MENDS, wait=_wait)
        self._call = Call("Sentry", "", address="errors.url", token="errors.token", timeout=timeout)  # noqa: S106 - a name
        self._here = f"/api/0/organizations/{settings.organization}"
        self._project = f"/api/0/projects/{settings.organization}/{settings.project}"

    def project(self) -> ErrorProject:
        """The service's project.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: There is none for this token, or an answer of no use.
        """
        from deploykit.ports import ErrorProject  # noqa: PLC0415 - what it draws in is not needed to import this module

        known = self._settings

        def once() -> ErrorProject:
            found = mapping(self._rest.get(f"{self._project}/"), "the answer")
            slug, status = text(found.get("slug"), "slug"), text(found.get("status"), "status")
            if known.project not in (slug, str(found.get("id"))):
                raise Fault(Why.GARBLED, f"it is the project {words(slug)}")
            url = f"{known.url.rstrip('/')}/organizations/{known.organization}/projects/{quote(slug, safe='')}/"
            return ErrorProject(name=slug, status=status, active=status == "active", url=url)

        return attempt(replace(self._call, what=f"project {known.organization}/{known.project}"), once)

    def active_keys(self) -> int:
        """How many keys the service may send errors with now.

        Raises:
            Unreachable, Rejected: As `project`.
        """
        keys = list(self._pages("keys of the project", f"{self._project}/keys/"))
        with worded(replace(self._call, what="keys of the project")):
            active = [_boolean(key.get("isActive"), "isActive") for key in keys]
            return sum(active)

    def registered(self, release: str) -> bool:
        """Whether the release is known there, for this project.

        Raises:
            Unreachable, Rejected: As `project`.
        """

        def once() -> bool:
            reply = self._rest.ask("GET", self._release(release), absent=True)
            if reply is None:
                return False
            found = mapping(reply.body, "the answer")
            if text(found.get("version"), "version") != self._version(release):
                raise Fault(Why.GARBLED, f"it is the release {found['version']}")
            projects = [mapping(one, "a project") for one in listing(found.get("projects"), "projects")]
            return any(self._settings.project in (one.get("slug"), str(one.get("id"))) for one in projects)

        return attempt(replace(self._call, what=f"release {release}"), once)

    def sessions(self, release: str, start: datetime, end: datetime) -> int:
        """How many sessions of the release were heard of.

        Raises:
            Unreachable, Rejected: As `project`.
        """
        asked = {**self._scope(), "field": "sum(session)", "query": f"release:{_quoted(self._version(release))}"}
        # Sentry takes whole seconds, and what arrived in the last one counts.
        span = {"start": _stamp(start), "end": _stamp(end + timedelta(seconds=1)), "interval": "1h"}

        def once() -> int:
            found = mapping(self._rest.get(f"{self._here}/sessions/", {**asked, **span}), "the answer")
            groups = [mapping(one, "a group") for one in listing(found.get("groups"), "groups")]
            return sum(_total(mapping(one.get("totals"), "totals").get("sum(session)")) for one in groups)

        return attempt(replace(self._call, what=f"sessions of {release}"), once)

    def new_issues(self, release: str) -> tuple[Issue, ...]:
        """The unresolved issues that were first seen in the release.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: Sentry refused, an answer of no use, or too many pages to be sure.
        """
        return self._issues(f"new issues of {release}", f"firstRelease:{_quoted(self._version(release))} is:unresolved")

    def fatal_issues(self, since: datetime) -> tuple[Issue, ...]:
        """The fatal issues that were seen since then.

        Raises:
            Unreachable, Rejected: As `new_issues`.
        """
        return self._issues("fatal issues", f"level:fatal lastSeen:>={_stamp(since)}")

    def deploy(self, release: str, name: str) -> RecordedDeploy | None:
        """The deploy of the release that was recorded under this name, if there is one.

        Raises:
            Unreachable, Rejected: As `new_issues`.
        """
        what = f"deploys of {release}"
        found = list(self._pages(what, f"{self._release(release)}deploys/", absent=True))
        with worded(replace(self._call, what=what)):
            return next((_deploy(one) for one in found if one.get("name") == name[-LONGEST_NAME:]), None)

    def record_deploy(self, release: str, name: str, *, start: datetime, end: datetime) -> RecordedDeploy:
        """Register the release and record its deploy, or find the one that was recorded under this name.

        Raises:
            Unreachable: It is not known whether it was recorded; `deploy` tells.
            Rejected: Sentry refused.
        """
        self._register(release)
        known = self.deploy(release, name)
        if known is not None:
            return known
        body = {
            "environment": self._settings.environment,
            "name": name[-LONGEST_NAME:],
            "dateStarted": _stamp(start),
            "dateFinished": _stamp(end),
            "projects": [self._settings.project],
        }
        call = replace(self._call, what=f"deploy of {release}", changes=True)
        return attempt(call, lambda: _deploy(self._post(f"{self._release(release)}deploys/", body)))

    def _register(self, release: str) -> None:
        """Sentry answers for a release that is there as for a new one, so asking again does no harm."""
        body = {"version": self._version(release), "projects": [self._settings.project]}
        call = replace(self._call, what=f"registering {release}", changes=True, again=True)

        def once() -> None:
            if self._post(f"{self._here}/releases/", body).get("version") != body["version"]:
                raise Fault(Why.GARBLED, "it is another release")

        attempt(call, once)

    def _issues(self, what: str, query: str) -> tuple[Issue, ...]:
        found = list(self._pages(what, f"{self._here}/issues/", {**self._scope(), "query": query, "sort": "date"}))
        with worded(replace(self._call, what=what)):
            return tuple(_issue(one) for one in found)

    def _pages(
        self, what: str, path: str, params: Mapping[str, str] = MappingProxyType({}), *, absent: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The objects of all pages. More pages than are looked through is a fault: what was not seen may be there."""
        call, cursor = replace(self._call, what=what), ""
        for _ in range(PAGES):
            asked = {**params, "cursor": cursor} if cursor else dict(params)
            reply = attempt(call, lambda asked=asked: self._rest.ask("GET", path, params=asked, absent=absent))  # type: ignore[misc]
            if reply is None:
                return
            with worded(call):
                yield from (mapping(one, "an item") for one in listing(reply.body, "the answer"))
                following = _next(reply.headers.get("link", ""))
                if not following:
                    return
                if following == cursor:
                    raise Fault(Why.GARBLED, "its next page is the same page")
                cursor = following
        with worded(call):
            raise Fault(Why.REFUSED, f"there are more than {PAGES} pages", mend="look at Sentry's own page")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = self._rest.ask("POST", path, json=body)
        return mapping(reply and reply.body, "the answer")

    def _scope(self) -> dict[str, str]:
        return {"project": self._settings.project, "environment": self._settings.environment}

    def _version(self, release: str) -> str:
        return self._settings.release.replace("$release", release)

    def _release(self, release: str) -> str:
        return f"{self._here}/releases/{quote(self._version(release), safe='')}/"


def connect(settings: Settings, environment: EnvironmentSettings) -> SentryErrors:  # noqa: ARG001 - all take both
    """The tracker of the service's errors, with its token.

    Raises:
        UsageError: The token is not there.
    """
    errors = needed(settings.errors, "errors")
    return SentryErrors(errors, settings.resolve(errors.token))


def _next(link: str) -> str:
    """The cursor of the next page, or nothing: Sentry names one at the end too, and says there that it is empty."""
    for part in re.findall(r"<[^>]*>([^<]*)", link):
        told = dict(re.findall(r'(\w+)="([^"]*)"', part))
        if told.get("rel") == "next" and told.get("results") == "true":
            return text(told.get("cursor"), "the next page's cursor")
    return ""


def _issue(known: dict[str, Any]) -> Issue:
    from deploykit.ports import Issue  # noqa: PLC0415 - what it draws in is not needed to import this module

    return Issue(
        id=text(known.get("id"), "an issue's id"),
        title=str(known.get("title") or "without a title"),
        level=str(known.get("level") or "unknown"),
        count=_total(known.get("count")),
        users=_total(known.get("userCount")),
        first_seen=_time(known.get("firstSeen")),
        last_seen=_time(known.get("lastSeen")),
        url=str(known.get("permalink") or ""),
    )


def _deploy(known: Any) -> RecordedDeploy:
    from deploykit.ports import RecordedDeploy  # noqa: PLC0415 - what it draws in is not needed to import this module

    found = mapping(known, "a deploy")
    finished = _time(found.get("dateFinished"))
    if finished is None:
        raise Fault(Why.GARBLED, "a deploy without dateFinished")
    return RecordedDeploy(
        id=text(found.get("id"), "a deploy's id"),
        name=str(found.get("name") or ""),
        environment=text(found.get("environment"), "a deploy's environment"),
        finished_at=finished,
    )


def _total(value: Any) -> int:
    """A count, which Sentry sends as a number or as text; null is nothing."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return 0 if value is None else int(number(value, "a count"))


def _boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise Fault(Why.GARBLED, f"{place} is not true or false but {str(value)[:80]!r}")
    return value


def _time(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(text(value, "a time"))
    except ValueError as error:
        raise Fault(Why.GARBLED, f"a time that cannot be read: {value}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _quoted(value: str) -> str:
    """A value of a search, in which a quote or a star would mean something."""
    return '"' + re.sub(r'(["\\*])', r"\\\1", value) + '"'


def _wait(headers: Mapping[str, str]) -> float | None:
    """How long to wait: Sentry says when its window ends."""
    reset = headers.get("x-sentry-rate-limit-reset", "")
    return max(float(reset) - time.time(), 0.0) if reset.isdecimal() else None
