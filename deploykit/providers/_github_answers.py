"""GitHub's answers as records: what is missing or null is empty where nothing rests on it, else a fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from deploykit.ports import Alert, Change, PullRequest, Recorded, Review, Test, Thread
from deploykit.providers._answers import mapping, text
from deploykit.providers._faults import Fault, Why

#: What a status or a check run's end means. Both that ran and that had no need to are told from those that failed.
_TESTS = {
    "success": "passed",
    **dict.fromkeys(("failure", "error", "cancelled", "timed_out", "action_required", "startup_failure"), "failed"),
    **dict.fromkeys(("pending", "queued", "in_progress", "waiting", "requested"), "pending"),
    **dict.fromkeys(("skipped", "neutral"), "skipped"),
}
_TRAILER = re.compile(r"^co-authored-by:[ \t]*(.*?)[ \t]*<([^<>\s]*)>[ \t]*$", re.IGNORECASE | re.MULTILINE)
_NOREPLY = re.compile(r"(?:\d+\+)?([A-Za-z0-9\[\]-]+)@users\.noreply\.github\.com", re.IGNORECASE)


def words(value: Any) -> str:
    """Text, or nothing where there is none."""
    return value if isinstance(value, str) else ""


def part(value: Any, *keys: str) -> Any:
    """What stands deep in an answer, or None where something on the way is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def sha(value: Any, place: str = "sha") -> str:
    """A full commit.

    Raises:
        Fault: It is something else.
    """
    commit = text(value, place)
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise Fault(Why.GARBLED, f"{place} is no commit but {commit[:80]!r}")
    return commit


def whole_number(value: Any, place: str) -> int:
    """A number that counts or names something.

    Raises:
        Fault: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise Fault(Why.GARBLED, f"{place} is not a number but {str(value)[:80]!r}")
    return value


def access(raw: dict[str, Any]) -> str:
    """What one may do in a repository: deployments are recorded by whoever may write.

    Raises:
        Fault: The repository is archived, or its user may only read it.
    """
    name, may = text(raw.get("full_name"), "full_name"), raw.get("permissions")
    if raw.get("archived") is True:
        raise Fault(Why.REFUSED, f"{words(name)} is archived", mend="look at github.repository")
    if isinstance(may, dict) and may.get("push") is False:
        mend = "give github.token the right to write deployments (fine-grained: Deployments, classic: repo_deployment)"
        raise Fault(Why.REFUSED, f"{words(name)} may be read, and nothing recorded there", mend=mend)
    return f"{words(name)} can be read"


def pull_request(raw: dict[str, Any]) -> PullRequest:
    """A pull request."""
    state = "merged" if raw.get("merged_at") or raw.get("merged") is True else text(raw.get("state"), "state")
    if state not in {"open", "merged", "closed"}:
        raise Fault(Why.GARBLED, f"the state of a pull request is {state!r}")
    return PullRequest(
        number=whole_number(raw.get("number"), "number"),
        title=words(raw.get("title")),
        author=words(part(raw, "user", "login")),
        head=sha(part(raw, "head", "sha"), "head.sha"),
        base=text(part(raw, "base", "ref"), "base.ref"),
        state=state,
        url=words(raw.get("html_url")),
        merged_as=words(raw.get("merge_commit_sha")) if state == "merged" else "",
    )


def review(raw: dict[str, Any], deciding: Iterable[str]) -> Review:
    """A review; it counts if its author is a person who is to the repository what the settings ask for."""
    author = words(part(raw, "user", "login"))
    person = bool(author) and part(raw, "user", "type") != "Bot"
    return Review(
        author=author,
        state=text(raw.get("state"), "the state of a review").lower(),
        commit=words(raw.get("commit_id")),
        counts=person and words(raw.get("author_association")) in set(deciding),
        url=words(raw.get("html_url")),
    )


def thread(raw: Any) -> Thread:
    """A review thread of GraphQL."""
    found, resolved = mapping(raw, "a thread"), part(raw, "isResolved")
    if not isinstance(resolved, bool):
        raise Fault(Why.GARBLED, f"isResolved is {resolved!r}")
    comments = part(found, "comments", "nodes")
    began = comments[0] if isinstance(comments, list) and comments else None
    author, url = words(part(began, "author", "login")), words(part(began, "url"))
    return Thread(path=words(found.get("path")), author=author, resolved=resolved, url=url)


def status(raw: dict[str, Any]) -> Test:
    """A commit status."""
    word = words(raw.get("state")).lower()
    name, url = text(raw.get("context"), "the context of a status"), words(raw.get("target_url"))
    return Test(name=name, state=_TESTS.get(word, "unknown"), word=word, url=url)


def check_run(raw: dict[str, Any]) -> Test:
    """A check run: its conclusion, which counts only once it is completed."""
    word = words(raw.get("status"))
    ended = word == "completed"
    word = words(raw.get("conclusion")) if ended else word
    state = _TESTS.get(word, "unknown")
    if ended is (state == "pending"):
        state = "unknown"  # neither an end that is none nor a state that is an end is believed
    return Test(name=text(raw.get("name"), "the name of a check run"), state=state, word=word, url=_page(raw))


def alert(scanner: str, raw: dict[str, Any]) -> Alert | None:
    """An alert of one of the three scanners; None of one that is settled. What leaked is never read."""
    if words(raw.get("state")) in {"fixed", "dismissed", "auto_dismissed", "resolved"}:
        return None
    if scanner == "secret-scanning":
        title = words(raw.get("secret_type_display_name")) or words(raw.get("secret_type"))
        return Alert("critical", title, "", _page(raw))
    if scanner == "dependabot":
        severities = (part(raw, "security_vulnerability", "severity"), part(raw, "security_advisory", "severity"))
        title, place = part(raw, "security_advisory", "summary"), part(raw, "dependency", "package", "name")
        return Alert(_worst(severities), words(title), words(place), _page(raw))
    rule = part(raw, "rule")
    level = words(part(rule, "security_severity_level"))
    if not level and words(part(rule, "severity")) in {"none", "note", "warning"}:
        level = "low"  # no rule of security, and GitHub itself does not take it for an error
    title, place = words(part(rule, "description")), part(raw, "most_recent_instance", "location", "path")
    return Alert(level, title or words(part(rule, "id")), words(place), _page(raw))


def deployment(raw: dict[str, Any], state: str = "") -> Recorded:
    """A deployment."""
    return Recorded(id=str(whole_number(raw.get("id"), "id")), state=state, url=words(raw.get("url")))


def change(raw: dict[str, Any], pulls: tuple[PullRequest, ...], addresses: Mapping[str, str]) -> Change:
    """A commit of a comparison. `addresses` are logins by address, in lower case."""
    commit, message = sha(raw.get("sha")), words(part(raw, "commit", "message"))
    name, address = words(part(raw, "commit", "author", "name")), words(part(raw, "commit", "author", "email"))
    people = [(words(part(raw, "author", "login")), name, address)]
    people += [("", co_name, co_address) for co_name, co_address in _TRAILER.findall(message)]
    known, unknown = [], []
    for login, person, mail in people:
        found = login or addresses.get(mail.lower(), "") or _of_noreply(mail)
        known.extend([found] if found else [])
        unknown.extend([] if found else [f"{person} <{mail}>"])
    return Change(
        commit=commit,
        title=message.partition("\n")[0],
        authors=tuple(dict.fromkeys(known)),
        strangers=tuple(dict.fromkeys(unknown)),
        merge=_is_merge(raw) and any(pull.state == "merged" and pull.merged_as == commit for pull in pulls),
        url=words(raw.get("html_url")),
        pulls=pulls,
    )


def addresses(raws: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Logins by the addresses that GitHub itself knew in these commits."""
    found = {words(part(raw, "commit", "author", "email")).lower(): words(part(raw, "author", "login")) for raw in raws}
    return {address: login for address, login in found.items() if address and login}


def _of_noreply(address: str) -> str:
    """The login in an address that GitHub gives out itself."""
    match = _NOREPLY.fullmatch(address)
    return match[1] if match else ""


def _is_merge(raw: dict[str, Any]) -> bool:
    """Whether GitHub itself made this merge, which its signature proves."""
    parents = raw.get("parents")
    by_host = part(raw, "committer", "login") == "web-flow" and part(raw, "commit", "verification", "verified") is True
    return isinstance(parents, list) and len(parents) > 1 and by_host


def _worst(severities: Iterable[Any]) -> str:
    ranks = ("critical", "high", "medium", "low")
    return min((word for word in severities if word in ranks), key=ranks.index, default="")


def _page(raw: dict[str, Any]) -> str:
    return words(raw.get("html_url"))
