"""Readiness of the code: reviewed, without conflicts, without known holes, and tested.

A release is what lies between the tag that is live and the commit that the plan froze.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Json, Outcome, Result, Table, worst
from deploykit.ports import Change, Comparison, PullRequest, Review, Scan, Test, Thread

#: How often a code host is asked whether a pull request can be merged, and seconds between two of these.
ASKS, PAUSE = 5, 2.0
_KNOWN = frozenset({"approved", "changes_requested", "commented", "dismissed", "pending"})
#: What a person's later word takes back.
_DECISIVE = frozenset({"approved", "changes_requested", "dismissed"})


@dataclass
class _Findings:
    """What speaks against an item, each with the outcome that it alone would have."""

    item: str
    found: list[tuple[Outcome, str]] = field(default_factory=list)

    def add(self, outcome: Outcome, what: str) -> None:
        self.found.append((outcome, what))

    def result(self, good: str, evidence: Evidence, mend: str) -> Result:
        """The worst of them, worst first; passed where there is none."""
        if not self.found:
            return Result(item=self.item, outcome=Outcome.PASS, summary=good, evidence=evidence)
        outcome = worst([outcome for outcome, _ in self.found])
        said = [what for kind, what in self.found if kind is outcome]
        more = f", and {len(said) - 3} more" if len(said) > 3 else ""
        return Result(item=self.item, outcome=outcome, summary="; ".join(said[:3]) + more, evidence=evidence, mend=mend)


def reviews_completed(context: Context) -> Result:
    """`code-review.reviews-completed`: each pull request is approved as it is, by somebody who did not write it."""
    plan, repository = context.plan, context.ports.repository
    findings = _Findings("code-review.reviews-completed")
    compared = repository.compare(plan.live.version, plan.commit)
    if not compared.changes:
        summary = f"{plan.release} has no commit that {plan.live.version} has not"
        evidence = Evidence(facts=_facts(compared), links=_links({"comparison": compared.url}))
        return Result(item=findings.item, outcome=Outcome.NOT_NEEDED, summary=summary, evidence=evidence)
    rows = []
    for change in _alone(compared.changes):
        findings.add(Outcome.FAIL, f"{_short(change.commit)} belongs to no pull request: {change.title}")
        rows.append(("-", change.title, ", ".join(change.authors), "", _short(change.commit), "no pull request"))
    for pull, changes in _pulls(compared.changes):
        reviews, threads = repository.reviews(pull.number), repository.threads(pull.number)
        against = [*_of_reviews(pull, changes, reviews), *_of_threads(threads)]
        for outcome, what in against:
            findings.add(outcome, f"#{pull.number}: {what}")
        approved = ", ".join(f"{r.author} ({_short(r.commit)})" for r in _last_words(reviews) if r.state == "approved")
        found = "; ".join(what for _, what in against) or "reviewed"
        rows.append((f"#{pull.number}", pull.title, pull.author, approved, _short(pull.head), found))
    columns = ("pull request", "title", "author", "approved (commit)", "last commit", "finding")
    pages = {f"#{pull.number}": pull.url for pull, _ in _pulls(compared.changes)}
    evidence = Evidence(
        facts=_facts(compared),
        tables=(Table(title="Pull requests of the release", columns=columns, rows=tuple(rows)),),
        links=_links({"comparison": compared.url, **pages}),
    )
    good = f"all {len(pages)} pull requests are reviewed, with {len(compared.changes)} commits"
    return findings.result(good, evidence, "have what is named reviewed as it is now, then look again")


def _of_reviews(pull: PullRequest, changes: Sequence[Change], reviews: Sequence[Review]) -> list[tuple[Outcome, str]]:
    """What speaks against a pull request in its reviews: the last word of each person counts."""
    unknown = sorted({review.state for review in reviews} - _KNOWN)
    against = [(Outcome.INCONCLUSIVE, f"a review says {word!r}, which is not known here") for word in unknown]
    last = _last_words(reviews)
    against += [(Outcome.FAIL, f"{_who(r)} asks for changes") for r in last if r.state == "changes_requested"]
    if not pull.author or any(change.strangers for change in changes):
        against.append((Outcome.INCONCLUSIVE, "it is not known who wrote it, so not whether somebody else approved it"))
    own = {pull.author.casefold(), *(author.casefold() for change in changes for author in change.authors)}
    doubts = [_doubt(pull, review, own) for review in last if review.state in {"approved", "dismissed"}]
    if not doubts or all(doubts):
        against.append((Outcome.FAIL, ", ".join(doubts) or "nobody approved it"))
    return against


def _doubt(pull: PullRequest, review: Review, own: set[str]) -> str:
    """Why an approval is none; empty where it is one."""
    if review.state == "dismissed":
        return f"the review by {_who(review)} was dismissed"
    if review.author.casefold() in own:
        return f"{review.author} approved it, who wrote it"
    if not review.counts:
        return f"{_who(review)} approved it, whose word does not count here"
    if review.commit != pull.head:
        return f"{review.author} approved {_short(review.commit) or 'an unknown commit'}, not its last commit"
    return ""


def _who(review: Review) -> str:
    return review.author or "somebody"


def _last_words(reviews: Iterable[Review]) -> tuple[Review, ...]:
    """The newest review of each person that decides something. Those without a name are each somebody else."""
    words: dict[str, Review] = {}
    for number, review in enumerate(reviews):
        if review.state in _DECISIVE:
            words[review.author.casefold() or f"?{number}"] = review
    return tuple(words.values())


def _of_threads(threads: Sequence[Thread]) -> list[tuple[Outcome, str]]:
    still = sorted({thread.path or "a file" for thread in threads if not thread.resolved})
    count = sum(not thread.resolved for thread in threads)
    where = ", ".join(still[:3]) + (" and others" if len(still) > 3 else "")
    return [(Outcome.FAIL, f"{count} threads are not resolved, in {where}")] if still else []


def no_merge_conflicts(context: Context) -> Result:
    """`code-review.no-merge-conflicts`: what is not in the main branch yet can be merged into it."""
    repository, branch, commit = context.ports.repository, context.settings.github.branch, context.plan.commit
    findings = _Findings("code-review.no-merge-conflicts")
    compared = repository.compare(branch, commit)
    rows = []

    def bringing(change: Change) -> list[PullRequest]:
        return [pull for pull in change.pulls if pull.state == "open" and pull.base == branch]

    pulls = _pulls(compared.changes, bringing)
    for change in compared.changes:
        if not bringing(change):
            what = f"{_short(change.commit)} is not in {branch}, and no open pull request would bring it there"
            findings.add(Outcome.INCONCLUSIVE, what)
    for pull, _ in pulls:
        mergeable = _mergeable(context, pull.number)
        if mergeable is None:
            findings.add(Outcome.INCONCLUSIVE, f"it is not known whether #{pull.number} can be merged into {branch}")
        elif not mergeable:
            findings.add(Outcome.FAIL, f"#{pull.number} conflicts with {branch}")
        said = {True: "yes", False: "no: it conflicts", None: f"not known after {ASKS} times"}[mergeable]
        rows.append((f"#{pull.number}", pull.title, _short(pull.head), said))
    columns = ("pull request", "title", "last commit", "can be merged")
    table = Table(title=f"Not in {branch} yet", columns=columns, rows=tuple(rows))
    evidence = Evidence(
        facts={**_facts(compared), "main branch": branch},
        tables=(table,) if rows else (),
        links=_links({"comparison": compared.url, **{f"#{pull.number}": pull.url for pull, _ in pulls}}),
    )
    where = "in" if not compared.changes else "able to go into"
    good = f"everything in {context.plan.release} is {where} {branch}"
    return findings.result(good, evidence, f"merge {branch} into what is named, have it reviewed again, and plan anew")


def _mergeable(context: Context, number: int) -> bool | None:
    """Ask until the code host has worked it out, a few times."""
    for ask in range(ASKS):
        if ask:
            context.pause(PAUSE)
        found = context.ports.repository.mergeable(number)
        if found is not None:
            return found
    return None


def security_scan(context: Context) -> Result:
    """`code-review.security-scan`: no scanner has an open alert that is critical, and all of them could be asked."""
    settings = context.settings.github
    findings, mends = _Findings("code-review.security-scan"), list[str]()
    rows, facts, pages = [], dict[str, int | str](), dict[str, str]()
    for scanner in settings.scanners:
        try:
            scan = context.ports.repository.scan(scanner, settings.branch)
        except ProviderError as error:
            findings.add(Outcome.ERROR, f"{scanner}: {error.what}")
            mends.append(error.mend)
            facts[scanner] = "could not be asked"
            continue
        _look_at(scan, settings.severities, findings)
        facts[scanner] = f"off or not readable: {scan.off}" if scan.off else len(scan.alerts)
        rows += [(scanner, alert.severity or "not rated", alert.title, alert.place) for alert in scan.alerts]
        pages |= {f"{scanner} {number}: {alert.title}": alert.url for number, alert in enumerate(scan.alerts, 1)}
    table = Table(title="Open alerts", columns=("scanner", "severity", "what", "where"), rows=tuple(rows))
    told: Json = {**facts, "severities that must not be open": ", ".join(settings.severities)}
    evidence = Evidence(facts=told, tables=(table,) if rows else (), links=_links(pages))
    good = f"no alert that is {' or '.join(settings.severities)} is open; {len(rows)} others are"
    mends.append("settle the alerts that are named, switch the scanner on, or give the token the right to read it")
    return findings.result(good, evidence, mends[0])


def _look_at(scan: Scan, severities: Sequence[str], findings: _Findings) -> None:
    """What one scanner found."""
    if scan.off:
        findings.add(Outcome.INCONCLUSIVE, f"{scan.scanner} is off, or not readable: {scan.off}")
    for alert in scan.alerts:
        place = f" in {alert.place}" if alert.place else ""
        if alert.severity in severities:
            findings.add(Outcome.FAIL, f"{scan.scanner}, {alert.severity}: {alert.title}{place}")
        elif not alert.severity:
            findings.add(Outcome.INCONCLUSIVE, f"{scan.scanner}, not rated: {alert.title}{place}")


def ci_green(context: Context) -> Result:
    """`code-review.ci-green`: all tests of the release's commit passed, and none that is required is missing."""
    settings, commit = context.settings.github, context.plan.commit
    findings = _Findings("code-review.ci-green")
    ran = context.ports.repository.tests(commit)
    tests = [test for test in ran if test.name not in settings.ignored_tests]
    required = sorted({*settings.required_tests, *context.ports.repository.required_tests(settings.branch)})
    passed = {test.name for test in tests if test.state == "passed"}
    if not passed:
        findings.add(Outcome.INCONCLUSIVE, f"no test of {_short(commit)} passed, out of {len(tests)}")
    for test in tests:
        findings.found += _of_test(test)
    for name in required:
        if name not in passed:
            findings.add(Outcome.INCONCLUSIVE, f"{name} must pass, and has not")
    rows = tuple((t.name, t.state, t.word, "yes" if t.name in required else "") for t in ran)
    columns = ("test", "state", "the code host's word", "required")
    facts: Json = {"commit": commit, "tests": len(tests), "passed": len(passed), "required": ", ".join(required)}
    evidence = Evidence(
        facts=facts | {"ignored": ", ".join(settings.ignored_tests)},
        tables=(Table(title="Tests of the release's commit", columns=columns, rows=rows),) if rows else (),
        links=_links({test.name: test.url for test in ran}),
    )
    skipped = sum(test.state == "skipped" for test in tests)
    good = f"{len(tests) - skipped} tests of {_short(commit)} passed, {skipped} had no need to run"
    return findings.result(
        good, evidence, "mend the tests that are named, or wait until they have ended; then look again"
    )


def _of_test(test: Test) -> list[tuple[Outcome, str]]:
    match test.state:
        case "passed" | "skipped":
            return []
        case "failed":
            return [(Outcome.FAIL, f"{test.name} failed ({test.word})")]
        case "pending":
            return [(Outcome.INCONCLUSIVE, f"{test.name} has not ended ({test.word})")]
        case _:
            return [(Outcome.INCONCLUSIVE, f"{test.name} ended as {test.word or 'nothing'!r}, which is not known here")]


def _brought(change: Change) -> tuple[PullRequest, ...]:
    """The pull requests that a commit came with: those that are merged, else those that are still open."""
    merged = tuple(pull for pull in change.pulls if pull.state == "merged")
    return merged or tuple(pull for pull in change.pulls if pull.state == "open")


def _alone(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if not _brought(change)]


def _pulls(
    changes: Iterable[Change], of: Callable[[Change], Iterable[PullRequest]] = _brought
) -> list[tuple[PullRequest, list[Change]]]:
    """The pull requests of these commits, each once, with its commits."""
    found: dict[int, tuple[PullRequest, list[Change]]] = {}
    for change in changes:
        for pull in of(change):
            found.setdefault(pull.number, (pull, []))[1].append(change)
    return list(found.values())


def _facts(compared: Comparison) -> Json:
    return {"from": compared.base, "to": compared.head, "commits": len(compared.changes), "missing": compared.lost}


def _links(pages: dict[str, str]) -> dict[str, str]:
    """Those that a reader may follow: an address from outside may be anything."""
    return {name: url for name, url in pages.items() if url.startswith(("https://", "http://"))}


def _short(commit: str) -> str:
    return commit[:12]
