"""GitHub as the repository, with PyGithub.

Sources: https://docs.github.com/en/rest (commits, pulls, checks, code scanning, Dependabot, secret scanning, branches,
rules, deployments) and https://docs.github.com/en/graphql/reference/objects#pullrequestreviewthread.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from deploykit import redact
from deploykit.errors import Rejected
from deploykit.ports import Comparison, PullRequest, Recorded, Review, Scan, Test, Thread
from deploykit.providers import _github_answers as answers
from deploykit.providers._answers import listing, mapping, text
from deploykit.providers._errors import Call, attempt, worded
from deploykit.providers._faults import Fault, Why
from deploykit.providers._github import PAGES, GithubClient, objects, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from deploykit.settings import EnvironmentSettings, Settings

T = TypeVar("T")

#: Seconds for the connection, and for each whole answer.
TIMEOUT = 10
#: How many commits are asked about at the same time.
AT_ONCE = 4
#: What a deployment's payload says which run it belongs to.
MARK = "deploykit"

_THREADS = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) { pullRequest(number: $number) { reviewThreads(first: 100, after: $after) {
    nodes { isResolved path comments(first: 1) { nodes { url author { login } } } }
    pageInfo { hasNextPage endCursor } } } } }
"""


class GithubRepository:
    """A `ports.Repository`.

    Args:
        repository: Owner and name.
        token: A token that may read code, pull requests, checks and alerts, and write deployments.
        url: The API's address.
        timeout: Seconds for the connection, and for each whole answer.
        deciding: What a person must be to the repository for a review to count, in GitHub's words.
        people: GitHub's names by addresses that GitHub does not know.
    """

    def __init__(
        self,
        repository: str,
        token: str,
        *,
        url: str,
        timeout: int = TIMEOUT,
        deciding: Iterable[str] = ("OWNER", "MEMBER", "COLLABORATOR"),
        people: Mapping[str, str] | None = None,
    ) -> None:
        self._client = GithubClient(token, url=url, timeout=timeout)
        self._name, self._base = repository, f"/repos/{repository}"
        self._deciding = tuple(deciding)
        self._people = {address.lower(): login for address, login in (people or {}).items()}
        self._call = Call("GitHub", "", address="github.url", token="github.token", timeout=timeout)  # noqa: S106 - a name

    def questions(self) -> Mapping[str, Callable[[], str]]:
        """What the token may do in the repository."""
        return {"access": self._access}

    def _access(self) -> str:
        with self._asking(f"repository {self._name}") as call:
            return answers.access(mapping(self._client.get(call, self._base), "the answer"))

    def commit(self, ref: str) -> str:
        """The full commit of a tag, branch or commit.

        Raises:
            Unreachable: No answer, not in time, or too many requests.
            Rejected: There is none, the repository is not there for this token, or an answer of no use.
        """
        call = self._of(f"commit {ref} of {self._name}")

        def once() -> str:
            try:
                answer = self._client.once("GET", f"{self._base}/commits/{quote(ref, safe='')}", {})[1]
            except Fault as fault:
                if fault.status in {404, 409, 422}:
                    fault.mend = f"push {ref} to {self._name}, and see that github.token may read it"
                raise
            return answers.sha(mapping(answer, "the answer").get("sha"))

        return attempt(call, once)

    def compare(self, base: str, head: str) -> Comparison:
        """What `head` has and `base` has not, each commit with its pull requests.

        Raises:
            Unreachable: No answer, not in time, or too many requests.
            Rejected: One of them is not there, or not all of it is told.
        """
        place = f"{self._base}/compare/{quote(base, safe='')}...{quote(head, safe='')}"
        with self._asking(f"comparison of {base} and {head}") as call:
            told = [mapping(answer, "the answer") for answer in self._client.pages(call, place)]
            first = told[0]
            status = text(first.get("status"), "status")
            if status not in {"ahead", "behind", "diverged", "identical"}:
                raise Fault(Why.GARBLED, f"status is {status!r}")
            raws = whole([raw for answer in told for raw in objects(answer, "commits")], first.get("total_commits"))
            if bool(raws) != (status in {"ahead", "diverged"}):
                raise Fault(Why.GARBLED, f"it is {status}, and lists {len(raws)} commits")
            lost = answers.whole_number(first.get("behind_by"), "behind_by")
            known = {**answers.addresses(raws), **self._people}
            with ThreadPoolExecutor(AT_ONCE) as pool:
                pulls = pool.map(lambda raw: self._pulls(call, raw), raws)
                changes = tuple(answers.change(raw, found, known) for raw, found in zip(raws, pulls, strict=True))
            url = answers.words(first.get("html_url"))
            return Comparison(base=base, head=head, changes=changes, lost=lost, url=url)

    def _pulls(self, call: Call, raw: dict[str, Any]) -> tuple[PullRequest, ...]:
        """The pull requests of a commit."""
        place = f"{self._base}/commits/{answers.sha(raw.get('sha'))}/pulls"
        return tuple(answers.pull_request(pull) for pull in self._client.objects(call, place))

    def authors(self, base: str, head: str) -> tuple[str, ...]:
        """Who wrote a change between the two: authors and co-authors of commits, and who opened their pull requests.

        A merge that GitHub itself made has no author: whoever pressed the button wrote nothing.

        Raises:
            Unreachable: No answer, not in time, or too many requests.
            Rejected: As `compare`; or GitHub does not know somebody who wrote a commit.
        """
        found = set[str]()
        for change in self.compare(base, head).changes:
            found.update(pull.author for pull in change.pulls if pull.author)
            if change.merge:
                continue
            if change.strangers:
                raise Rejected(
                    f"it does not know who wrote {change.commit[:12]}: {redact.visible(', '.join(change.strangers))}",
                    where=f"GitHub, authors of {base} to {head}",
                    mend="let them add the address to their account, or name them under [github.authors]",
                )
            found.update(change.authors)
        return tuple(sorted(found))

    def reviews(self, pull: int) -> tuple[Review, ...]:
        """The reviews of a pull request, oldest first.

        Raises:
            ProviderError: As `commit`.
        """
        with self._asking(f"reviews of #{pull}") as call:
            raws = self._client.objects(call, f"{self._base}/pulls/{pull}/reviews")
            return tuple(answers.review(raw, self._deciding) for raw in raws)

    def threads(self, pull: int) -> tuple[Thread, ...]:
        """The review threads of a pull request, which only GraphQL tells.

        Raises:
            ProviderError: As `commit`.
        """
        owner, _, name = self._name.partition("/")
        asked: dict[str, Any] = {"owner": owner, "name": name, "number": pull, "after": None}
        found: list[Thread] = []
        with self._asking(f"threads of #{pull}") as call:
            for _ in range(PAGES):
                data = self._client.ask(call, _THREADS, **asked)
                listed = mapping(answers.part(data, "repository", "pullRequest", "reviewThreads"), "reviewThreads")
                found += [answers.thread(raw) for raw in listing(listed.get("nodes"), "nodes")]
                more, cursor = (answers.part(listed, "pageInfo", key) for key in ("hasNextPage", "endCursor"))
                if more is False:
                    return tuple(found)
                if more is not True or cursor == asked["after"]:
                    raise Fault(Why.GARBLED, "it does not say where the next page is")
                asked["after"] = text(cursor, "endCursor")
            raise Fault(Why.REFUSED, f"there are more than {PAGES} pages")

    def mergeable(self, pull: int) -> bool | None:
        """Whether a pull request can be merged; None while GitHub works it out.

        Raises:
            ProviderError: As `commit`.
        """
        with self._asking(f"#{pull}") as call:
            answer = mapping(self._client.get(call, f"{self._base}/pulls/{pull}"), "the answer")
            if answers.pull_request(answer).number != pull or "mergeable" not in answer:
                raise Fault(Why.GARBLED, f"it is not about #{pull}, or does not say whether it can be merged")
            found = answer["mergeable"]
            if found is not None and not isinstance(found, bool):
                raise Fault(Why.GARBLED, f"mergeable is {found!r}")
            return found

    def tests(self, commit: str) -> tuple[Test, ...]:
        """All commit statuses and check runs of a commit, the latest of each name.

        Raises:
            ProviderError: As `commit`.
        """
        place = f"{self._base}/commits/{quote(commit, safe='')}"
        with self._asking(f"statuses of {commit[:12]}") as call:
            statuses = tuple(answers.status(s) for s in self._client.objects(call, f"{place}/status", "statuses"))
        with self._asking(f"check runs of {commit[:12]}") as call:
            runs = self._client.objects(call, f"{place}/check-runs", "check_runs", filter="latest")
            return statuses + tuple(answers.check_run(run) for run in runs)

    def required_tests(self, branch: str) -> tuple[str, ...]:
        """The checks that the branch's protection and its rules require; what the token may not read requires nothing.

        Raises:
            ProviderError: As `commit`, but for 403 and 404.
        """
        safe, found = quote(branch, safe=""), set[str]()
        with self._asking(f"protection of {branch}") as call:
            told = _unless_off(lambda: self._client.get(call, f"{self._base}/branches/{safe}/protection"))
            if not isinstance(told, Fault):
                if not {"url", "required_status_checks"} & set(mapping(told, "the answer")):
                    raise Fault(Why.GARBLED, "it does not speak of protection")
                checks = told.get("required_status_checks")
                listed = answers.part(checks, "checks") or answers.part(checks, "contexts") or []
                found |= {_name(check) for check in listing(listed, "required_status_checks")}
        with self._asking(f"rules of {branch}") as call:
            rules = _unless_off(lambda: self._client.objects(call, f"{self._base}/rules/branches/{safe}"))
            for rule in rules if not isinstance(rules, Fault) else []:
                if rule.get("type") == "required_status_checks":
                    listed = answers.part(rule, "parameters", "required_status_checks") or []
                    found |= {_name(check) for check in listing(listed, "required_status_checks")}
        return tuple(sorted(found))

    def scan(self, scanner: str, branch: str) -> Scan:
        """The open alerts of a scanner; with the reason where it is off or not ours to read.

        Only code scanning tells branches apart; what the others find is in the default branch, or anywhere.

        Raises:
            ProviderError: As `commit`, but for 403 and 404.
        """
        # What leaked is not even asked for.
        more = {"secret-scanning": {"hide_secret": "true"}, "code-scanning": {"ref": f"refs/heads/{branch}"}}
        place = f"{self._base}/{scanner}/alerts"
        with self._asking(f"{scanner} alerts") as call:
            told = _unless_off(lambda: self._client.objects(call, place, state="open", **more.get(scanner, {})))
            if isinstance(told, Fault):
                return Scan(scanner, (), off=f"{told.status}: {told.said}" + (f" ({told.mend})" if told.mend else ""))
            found = (answers.alert(scanner, raw) for raw in told)
            return Scan(scanner, tuple(alert for alert in found if alert is not None))

    def find_deployment(self, run: str, commit: str, environment: str) -> Recorded | None:
        """The deployment that this run recorded, with its newest state.

        Raises:
            ProviderError: As `commit`.
        """
        with self._asking(f"deployments of {commit[:12]}") as call:
            place = f"{self._base}/deployments"
            for raw in self._client.objects(call, place, sha=commit, environment=environment):
                if (raw.get("sha"), raw.get("environment"), _run(raw)) == (commit, environment, run):
                    known = answers.deployment(raw)
                    states = self._client.objects(call, f"{place}/{known.id}/statuses")
                    return replace(known, state=text(states[0].get("state"), "state") if states else "")
        return None

    def record_deployment(self, run: str, commit: str, environment: str, *, state: str, url: str = "") -> Recorded:
        """Record that a run deployed a commit, and how that stands. What is there is found, and not made again.

        Raises:
            Unreachable: It is not known whether it was recorded; `find_deployment` tells.
            Rejected: GitHub refused, and nothing was recorded.
        """
        place, known = f"{self._base}/deployments", self.find_deployment(run, commit, environment)
        if known is None:
            asked = {
                "ref": commit,
                "environment": environment,
                "task": "deploy",
                "auto_merge": False,
                # What has to have passed was checked by the run.
                "required_contexts": [],
                "payload": {MARK: run},
                "description": f"deploykit {run}",
            }
            with self._asking(f"deployment of {commit[:12]}", changes=True) as call:
                known = answers.deployment(self._client.post(call, place, asked))
        if known.state == state:
            return known
        told = {"state": state, "environment": environment, "description": f"deploykit {run}", "auto_inactive": False}
        told |= {"log_url": url} if url else {}
        with self._asking(f"status of deployment {known.id}", changes=True) as call:
            answer = self._client.post(call, f"{place}/{known.id}/statuses", told)
            return replace(known, state=text(answer.get("state"), "state"))

    def _of(self, what: str, *, changes: bool = False) -> Call:
        return replace(self._call, what=what, changes=changes)

    @contextmanager
    def _asking(self, what: str, *, changes: bool = False) -> Iterator[Call]:
        """A call, whose faults found while reading its answers are worded."""
        call = self._of(what, changes=changes)
        with worded(call):
            yield call


def connect(settings: Settings, environment: EnvironmentSettings) -> GithubRepository:  # noqa: ARG001 - all take both
    """The repository of the service, with its token.

    Raises:
        UsageError: The token is not there.
    """
    github = settings.github
    token = redact.learn(settings.resolve(github.token))
    return GithubRepository(github.repository, token, url=github.url, deciding=github.reviewers, people=github.authors)


def _unless_off(ask: Callable[[], T]) -> T | Fault:
    """What was asked for, or the refusal that says that it is switched off or not ours to read."""
    try:
        return ask()
    except Rejected as error:
        fault = error.__cause__
        if isinstance(fault, Fault) and fault.why is Why.STATUS and fault.status in {403, 404}:
            return fault
        raise


def _name(check: Any) -> str:
    """The name of a required check, which is itself or has it."""
    return text(check if isinstance(check, str) else answers.part(check, "context"), "the name of a required check")


def _run(raw: dict[str, Any]) -> str:
    """The run that a deployment's payload names; GitHub gives it back as it was sent, or as text."""
    payload = raw.get("payload")
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:  # somebody else's, then
            return ""
    return answers.words(answers.part(payload, MARK))
