"""PagerDuty as the pager, with its own client.

Source: https://developer.pagerduty.com/api-reference/. The token needs to read, and to write incidents.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploykit import redact
from deploykit.errors import UsageError
from deploykit.providers._answers import listing, mapping, parse, said, text
from deploykit.providers._deadline import within
from deploykit.providers._errors import Call, attempt, worded
from deploykit.providers._faults import Fault, Why, of_client, seconds, words
from deploykit.providers._needed import needed
from deploykit.providers._trust import trusted

if TYPE_CHECKING:
    from pathlib import Path

    from deploykit.ports import Incident, OnCall
    from deploykit.settings import EnvironmentSettings, Settings
    from deploykit.settings.vendors import PagerSettings

#: Seconds for each whole answer.
TIMEOUT = 10.0
#: Entries of a page, PagerDuty's longest; and pages that are looked through before it is said that there are too many.
PAGE, PAGES = 100, 20
#: Characters of an incident's title and its details that PagerDuty keeps.
LONGEST_TITLE, LONGEST_DETAILS = 1024, 65_536


class PagerdutyPager:
    """A `ports.Pager` for one escalation policy and one service.

    Args:
        settings: The section `[pager]`.
        token: What its token stands for.
        ca: A file with the authority that vouches for the address, where that is not a public one.
        timeout: Seconds for each whole answer.
    """

    def __init__(
        self, settings: PagerSettings, token: str, *, ca: Path | None = None, timeout: float = TIMEOUT
    ) -> None:
        import pagerduty  # noqa: PLC0415 - an extra, and slow to import
        from httpx2 import Limits  # noqa: PLC0415 - what the client rests on

        # A connection each: an idle one may die just now, and whether a change happened would not be known.
        self._client = pagerduty.RestApiV2Client(
            token,
            default_from=settings.sender,
            base_url=settings.url,
            limits=Limits(max_keepalive_connections=0),
            verify=trusted(ca),
        )
        # Its own retry waits for a limit as often as it takes; `attempt` is the one that asks again.
        self._client.max_network_attempts = 0
        self._client.postprocess = _require_success  # type: ignore[assignment]  # called with each answer
        self._client.timeout = timeout  # type: ignore[assignment]  # seconds, whole or not
        self._settings = settings
        self._call = Call("PagerDuty", "", address="pager.url", token="pager.token", timeout=timeout)  # noqa: S106 - a name

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """Whether policy, service and sender are there."""
        known = self._settings
        return {
            "policy": partial(self._named, "escalation_policies", "escalation_policy", known.escalation_policy),
            "service": partial(self._named, "services", "service", known.service),
            "sender": self._sender,
        }

    def _named(self, kind: str, key: str, name: str) -> str:
        """What something is called there."""

        def once() -> str:
            answer = self._ask("GET", f"/{kind}/{quote(name, safe='')}", absent=True)
            if answer is None:
                raise Fault(Why.REFUSED, f"there is no {key} {name}", mend=f"look at pager.{key}: it is an id")
            found = mapping(mapping(answer, "the answer").get(key), f"the {key}")
            if found.get("id") != name:
                raise Fault(Why.GARBLED, f"it is another {key}")
            return f"{name} is {words(found.get('summary') or found.get('name') or 'there')}"

        return attempt(replace(self._call, what=f"{key} {name}"), once)

    def _sender(self) -> str:
        sender, what = self._settings.sender, "the user of pager.from"
        for user in self._pages(what, "/users", "users", {"query": sender}):
            if str(user.get("email")).lower() == sender.lower():
                return f"{sender} is {words(user.get('name'))}"
        with worded(replace(self._call, what=what)):
            mend = "let pager.from be the address of one of the account's users"
            raise Fault(Why.REFUSED, f"{sender} is no user", mend=mend)

    def on_call(self, start: datetime, end: datetime) -> tuple[OnCall, ...]:
        """Every turn of the policy that touches this span, of all levels, by level and beginning.

        Raises:
            Unreachable: No answer, or not in time.
            Rejected: PagerDuty refused, an answer of no use, or too many pages to be sure.
        """
        what = f"who is on call by {self._settings.escalation_policy}"
        # PagerDuty takes whole seconds: a turn that begins within the last one belongs to the span.
        asked = {
            "escalation_policy_ids[]": [self._settings.escalation_policy],
            "since": _stamp(start),
            "until": _stamp(end + timedelta(seconds=1)),
        }
        listed = list(self._pages(what, "/oncalls", "oncalls", asked))
        with worded(replace(self._call, what=what)):
            users = [text(mapping(one.get("user"), "a user").get("id"), "a user's id") for one in listed]
            reachable = {user: self._reachable(user) for user in dict.fromkeys(users)}
            turns = [_turn(one, reachable=reachable[user]) for one, user in zip(listed, users, strict=True)]
        return tuple(sorted(turns, key=lambda turn: (turn.level, turn.start or datetime.min.replace(tzinfo=UTC))))

    def find(self, key: str) -> Incident | None:
        """The newest incident that was opened under this key, if there is one.

        Raises:
            Unreachable, Rejected: As `on_call`.
        """
        asked = {"incident_key": key, "service_ids[]": [self._settings.service], "date_range": "all"}
        what = f"looking for the incident {key}"
        listed = list(self._pages(what, "/incidents", "incidents", asked))
        with worded(replace(self._call, what=what)):
            found = [(one.get("created_at") or "", _incident(one)) for one in listed if one.get("incident_key") == key]
        return max(found, key=lambda pair: str(pair[0]))[1] if found else None

    def open(self, key: str, title: str, details: str) -> Incident:
        """Open an incident under this key.

        Raises:
            Unreachable: It is not known whether it was opened; `find` tells.
            Rejected: PagerDuty refused, also where one is open under this key.
        """
        body = {
            "type": "incident",
            "title": _shown(title)[:LONGEST_TITLE],
            "service": {"id": self._settings.service, "type": "service_reference"},
            "escalation_policy": {"id": self._settings.escalation_policy, "type": "escalation_policy_reference"},
            "incident_key": key,
            "urgency": "high",
            "body": {"type": "incident_body", "details": _shown(details)[:LONGEST_DETAILS]},
        }

        def once() -> Incident:
            answer = mapping(self._ask("POST", "/incidents", json={"incident": body}), "the answer")
            return _incident(mapping(answer.get("incident"), "the incident"))

        return attempt(replace(self._call, what="opening an incident", changes=True), once)

    def _reachable(self, user: str) -> bool:
        """Whether a user is still there and has a way to be reached."""

        def once() -> bool:
            answer = self._ask("GET", f"/users/{quote(user, safe='')}", absent=True)
            if answer is None:
                return False
            found = mapping(mapping(answer, "the answer").get("user"), "the user")
            return bool(listing(found.get("contact_methods"), "contact_methods"))

        return attempt(replace(self._call, what=f"user {user}"), once)

    def _pages(self, what: str, path: str, key: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The objects of all pages. More pages than are looked through is a fault: what was not seen may be there."""
        call, seen = replace(self._call, what=what), 0
        for _ in range(PAGES):
            page = {**asked, "limit": PAGE, "offset": seen}
            answer = attempt(call, lambda page=page: mapping(self._ask("GET", path, params=page), "the answer"))  # type: ignore[misc]
            with worded(call):
                found = listing(answer.get(key), key)
                yield from (mapping(one, f"one of {key}") for one in found)
                more = answer.get("more")
                if not isinstance(more, bool):
                    raise Fault(Why.GARBLED, "it does not say whether there is more")
                if not more:
                    return
                if not found:
                    raise Fault(Why.GARBLED, "it says that there is more, and its page is empty")
            # A page may be shorter than the one that was asked for.
            seen += len(found)
        with worded(call):
            raise Fault(Why.REFUSED, f"there are more than {PAGES} pages", mend="look at PagerDuty's own page")

    def _ask(self, method: str, path: str, *, absent: bool = False, **asked: Any) -> Any:
        """One question to PagerDuty, and the JSON of its answer; None for a 404 where that is an answer."""
        try:
            response = within(self._call.timeout, lambda: self._client.request(method, path, **asked))
        except Fault as fault:
            if absent and fault.status == 404:
                return None
            raise
        except Exception as error:
            raise of_client(error) from error
        return parse(response.content)


def connect(settings: Settings, environment: EnvironmentSettings) -> PagerdutyPager:  # noqa: ARG001 - all take both
    """The team's pager, with its token.

    Raises:
        UsageError: The token is not there, or the authority's file is none.
    """
    pager = needed(settings.pager, "pager")
    ca = pager.ca and settings.path(pager.ca)
    try:
        return PagerdutyPager(pager, settings.resolve(pager.token), ca=ca)
    except (OSError, ssl.SSLError) as error:
        mend = "let it name a file with the authority's certificate, in PEM"
        raise UsageError(f"{ca} holds no certificate", where="pager.ca", mend=mend) from error


def _require_success(response: Any, _suffix: str | None = None) -> None:
    """Refuse any other status, in PagerDuty's words: a message, and a list of what is wrong."""
    if response.is_success:
        return
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    fault = Fault.of_status(response.status_code, _words(response.content), headers)
    if fault.wait is None and fault.why is Why.THROTTLED:
        fault.wait = seconds(headers.get("ratelimit-reset"))
    raise fault


def _words(raw: bytes) -> str:
    try:
        error = mapping(mapping(parse(raw), "the answer").get("error"), "error")
    except Fault:
        return said(raw)
    listed = error.get("errors")
    parts = [error.get("message"), *(listed if isinstance(listed, list) else [])]
    return "; ".join(str(part) for part in parts if part)


def _turn(known: dict[str, Any], *, reachable: bool) -> OnCall:
    from deploykit.ports import OnCall  # noqa: PLC0415 - what it draws in is not needed to import this module

    user, level = mapping(known.get("user"), "a user"), known.get("escalation_level")
    if isinstance(level, bool) or not isinstance(level, int):
        raise Fault(Why.GARBLED, f"escalation_level is not a number but {str(level)[:80]!r}")
    return OnCall(
        id=text(user.get("id"), "a user's id"),
        name=str(user.get("summary") or user.get("name") or user["id"]),
        level=level,
        start=_time(known, "start"),
        end=_time(known, "end"),
        reachable=reachable,
        url=str(user.get("html_url") or ""),
    )


def _incident(known: dict[str, Any]) -> Incident:
    from deploykit.ports import Incident  # noqa: PLC0415 - what it draws in is not needed to import this module

    return Incident(
        id=text(known.get("id"), "an incident's id"),
        status=text(known.get("status"), "an incident's status"),
        title=str(known.get("title") or known.get("summary") or ""),
        url=str(known.get("html_url") or ""),
    )


def _time(known: dict[str, Any], key: str) -> datetime | None:
    """A time; null is always. That it is absent says nothing, so it is not taken for null."""
    if key not in known:
        raise Fault(Why.GARBLED, f"there is no {key}")
    if known[key] is None:
        return None
    try:
        at = datetime.fromisoformat(text(known[key], key))
    except ValueError as error:
        raise Fault(Why.GARBLED, f"{key} is no time but {str(known[key])[:80]!r}") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(words: str) -> str:
    """Text as it may go to PagerDuty: no secret, nothing invisible."""
    return redact.visible(redact.text(words))
