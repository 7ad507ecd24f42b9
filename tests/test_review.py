"""Readiness of the code, asked of GitHub's stand-in over the wire: each situation, and never a pass that is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from deploykit.checks import review
from deploykit.context import Context, Ports
from deploykit.errors import DeploykitError, Rejected
from deploykit.execution import could_not_look
from deploykit.model import Outcome, Result
from deploykit.providers.github import GithubRepository
from deploykit.sandbox.addresses import GITHUB_TOKEN
from deploykit.sandbox.calls import Fault
from deploykit.sandbox.releases import RELEASES, find_release
from deploykit.sandbox.vendors.github_world import digest
from tests.standins import StandIns
from tests.world import made

PASS, FAIL, INCONCLUSIVE = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE
ERROR, NOT_NEEDED = Outcome.ERROR, Outcome.NOT_NEEDED
LIVE, RELEASE = (find_release(tag) for tag in ("v1.4.2", "v1.5.0"))
assert LIVE
assert RELEASE
#: The pull request that the release's commit came with is #4; dana wrote it, lena approved it. #3 came before.
HEAD, COMMIT = digest(f"head of {RELEASE.title}"), RELEASE.commit
EARLIER = digest("an earlier head")
HOSTILE = "<script>alert(1)</script>\x1b[31m](javascript:x) {{7*7}} '; DROP TABLE --"
STATUSES: dict[str, Any] = {"statuses": {COMMIT: []}}


def by(author: str | None, state: str = "APPROVED", commit: str | None = HEAD, **more: Any) -> dict[str, Any]:
    return {"author": author, "state": state, "commit": commit, **more}


def reviewed(*reviews: dict[str, Any]) -> dict[str, Any]:
    return {"pulls": {"4": {"reviews": list(reviews)}}}


def ran(*runs: tuple[str, str | None]) -> dict[str, Any]:
    return {**STATUSES, "runs": {COMMIT: [{"name": name, "conclusion": end} for name, end in runs]}}


def opened(*, mergeable: bool | None, **more: Any) -> dict[str, Any]:
    """The release is not in the main branch yet: its pull request is open."""
    return {
        "refs": {"heads/main": LIVE.commit if LIVE else ""},
        "pulls": {n: {"state": "open", "mergeable": mergeable, **more} for n in ("3", "4")},
    }


def alerts(scanner: str, *known: dict[str, Any]) -> dict[str, Any]:
    return {"alerts": {scanner: list(known)}}


def written(author: object, message: str = "Add orders") -> dict[str, Any]:
    return {"commits": {COMMIT: {"author": author, "message": message}}}


@dataclass
class Wire:
    """GitHub's stand-in, and a context whose repository is the real adapter."""

    stand_ins: StandIns
    base: Context
    settings: dict[str, Any] = field(default_factory=dict)

    def repository(self) -> GithubRepository:
        url, people = self.stand_ins.url("github"), self.settings.get("authors", {})
        return GithubRepository("acme/shop", GITHUB_TOKEN, url=url, timeout=5, people=people)

    def look(self, check: Callable[[Context], Result], **plan: Any) -> Result:
        """The result as the run would record it."""
        settings = self.base.settings
        told = settings.github.model_copy(update=self.settings)
        ports = cast("Ports", SimpleNamespace(repository=self.repository()))
        context = replace(
            self.base,
            ports=ports,
            settings=settings.model_copy(update={"github": told}),
            plan=self.base.plan.model_copy(update=plan),
        )
        try:
            return check(context)
        except DeploykitError as error:
            return could_not_look("item", error)


@pytest.fixture(scope="module")
def base(team_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with made(team_folder, tmp_path_factory.mktemp("review") / "team") as world:
        assert LIVE
        run = world.plan(approved=False)
        live = run.plan.live.model_copy(update={"version": LIVE.tag})
        plan = run.plan.model_copy(update={"live": live, "commit": COMMIT, "release": "v1.5.0"})
        yield world.context(run, plan=plan, pause=lambda _: None)


@pytest.fixture
def wire(base: Context, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr("deploykit.providers._errors.sleep", lambda _: None)
    return Wire(stand_ins, base)


REVIEWS: dict[str, tuple[dict[str, Any], Outcome, str]] = {
    "approved as it is, by somebody else": ({}, PASS, "all 2 pull requests are reviewed"),
    "approved, then changed": (reviewed(by("lena", commit=EARLIER)), FAIL, f"approved {EARLIER[:12]}, not its last"),
    "dismissed": (reviewed(by("lena", "DISMISSED")), FAIL, "the review by lena was dismissed"),
    "approved by its author": (reviewed(by("dana")), FAIL, "dana approved it, who wrote it"),
    "approved by its author in another case": (reviewed(by("Dana", association="MEMBER")), FAIL, "who wrote it"),
    "approved by who wrote a commit of it": (
        written("dana", "x\n\nCo-authored-by: Lena <13+lena@users.noreply.github.com>"),
        FAIL,
        "lena approved it, who wrote it",
    ),
    "approved by a passer-by": (reviewed(by("passer-by")), FAIL, "whose word does not count"),
    "approved by a program": (reviewed(by("shop-bot[bot]", association="MEMBER")), FAIL, "whose word does not count"),
    "approved by nobody who is left": (reviewed(by(None, association="MEMBER")), FAIL, "whose word does not count"),
    "approved, of an unknown commit": (reviewed(by("lena", commit=None)), FAIL, "an unknown commit"),
    "commented only": (reviewed(by("lena", "COMMENTED")), FAIL, "nobody approved it"),
    "not reviewed": (reviewed(), FAIL, "nobody approved it"),
    "approved, and then commented": (reviewed(by("lena"), by("lena", "COMMENTED")), PASS, "all 2"),
    "approved by one, changes asked by another": (
        reviewed(by("lena"), by("miro", "CHANGES_REQUESTED", EARLIER)),
        FAIL,
        "miro asks for changes",
    ),
    "approved, then changes asked": (reviewed(by("lena"), by("lena", "CHANGES_REQUESTED")), FAIL, "lena asks"),
    "changes asked, then approved": (reviewed(by("lena", "CHANGES_REQUESTED", EARLIER), by("lena")), PASS, "all 2"),
    "changes asked by somebody gone": (reviewed(by("lena"), by(None, "CHANGES_REQUESTED")), FAIL, "somebody asks"),
    "a word that nobody knows": (reviewed(by("lena"), by("miro", "SHRUGGED")), INCONCLUSIVE, "'shrugged'"),
    "an open thread": (
        {"pulls": {"4": {"threads": [{"author": "lena", "path": "shop/a.py", "body": "?", "resolved": False}]}}},
        FAIL,
        "1 threads are not resolved, in shop/a.py",
    ),
    "an open thread behind a page of settled ones": (
        {"pulls": {"4": {"threads": [
            {"author": "lena", "path": "shop/a.py", "body": "?", "resolved": n != 249} for n in range(250)
        ]}}},
        FAIL,
        "1 threads are not resolved",
    ),
    "changes asked behind a page of comments": (
        reviewed(by("lena"), *[by("anna", "COMMENTED")] * 240, by("miro", "CHANGES_REQUESTED")),
        FAIL,
        "miro asks for changes",
    ),
    "a commit without a pull request": ({"pulls": {"3": {"commits": []}}}, FAIL, "belongs to no pull request"),
    "a commit of a pull request that was closed": ({"pulls": {"4": {"state": "closed"}}}, FAIL, "no pull request"),
    "its pull request is still open": ({"pulls": {"4": {"state": "open"}}}, PASS, "all 2"),
    "its author's account is gone": ({"pulls": {"4": {"author": None}}}, INCONCLUSIVE, "not known who wrote it"),
    "written by a stranger": (written({"name": "X", "email": "x@y"}), INCONCLUSIVE, "not known who wrote it"),
    "the live tag is not there": ({"refs": {"tags/v1.4.2": None}}, ERROR, "404"),
    "the threads may not be read": ({"refused": {"graphql": [403, "Resource not accessible"]}}, ERROR, "403"),
}  # fmt: skip


@pytest.mark.parametrize("case", REVIEWS, ids=str)
def test_reviews(case: str, wire: Wire) -> None:
    changes, outcome, said = REVIEWS[case]
    wire.stand_ins.state("github", **changes)
    if changes.get("refs"):
        wire.stand_ins.github["refs"].pop("tags/v1.4.2")
    result = wire.look(review.reviews_completed)
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert bool(result.mend) is (outcome is not PASS)


def test_who_approved_what_is_shown_with_its_page(wire: Wire) -> None:
    result = wire.look(review.reviews_completed)
    (table,) = result.evidence.tables
    assert [row[0] for row in table.rows] == ["#3", "#4"]
    assert table.rows[1][1:5] == ("Add orders", "dana", f"lena ({HEAD[:12]})", HEAD[:12])
    assert result.evidence.links["#4"] == "https://github.com/acme/shop/pull/4"
    assert result.evidence.facts["commits"] == 2


def test_a_release_without_a_new_commit_needs_no_review(wire: Wire) -> None:
    older = RELEASES[0]
    result = wire.look(review.reviews_completed, commit=older.commit, release=older.tag)
    assert (result.outcome, result.evidence.facts["missing"]) == (NOT_NEEDED, 1)


def test_every_commit_of_a_long_release_is_looked_at(wire: Wire) -> None:
    tip, commits = LIVE.commit if LIVE else "", {}
    for number in range(104):
        sha = digest(f"commit {number}")
        commits[sha] = {"parents": [tip], "date": "2026-10-01T00:00:00Z", "author": "dana", "message": f"{number}"}
        tip = sha
    wire.stand_ins.state("github", commits=commits, pulls={"4": {"commits": list(commits)[:-1]}})
    result = wire.look(review.reviews_completed, commit=tip)
    assert (result.outcome, result.evidence.facts["commits"]) == (FAIL, 104)
    assert f"{tip[:12]} belongs to no pull request" in result.summary


CONFLICTS: dict[str, tuple[dict[str, Any], Outcome, str]] = {
    "all of it is in the main branch": ({}, PASS, "is in main"),
    "open, and can be merged": (opened(mergeable=True), PASS, "able to go into main"),
    "worked out when asked again": (opened(mergeable=True, asks=2), PASS, "able to go into main"),
    "open, and conflicts": (opened(mergeable=False), FAIL, "#3 conflicts with main; #4 conflicts"),
    "never worked out": (opened(mergeable=None), INCONCLUSIVE, "not known whether #3 can be merged"),
    "never worked out, in time": (opened(mergeable=True, asks=99), INCONCLUSIVE, "not known whether #3"),
    "open for another branch": (
        opened(mergeable=True, base="develop"),
        INCONCLUSIVE,
        "no open pull request would bring it",
    ),
    "closed without being merged": (
        opened(mergeable=True) | {"pulls": {"4": {"state": "closed"}}},
        INCONCLUSIVE,
        "no open",
    ),
    "there is no main branch": ({"refs": {"heads/main": "0" * 40}}, ERROR, ""),
}


@pytest.mark.parametrize("case", CONFLICTS, ids=str)
def test_conflicts(case: str, wire: Wire) -> None:
    changes, outcome, said = CONFLICTS[case]
    wire.stand_ins.state("github", **changes)
    result = wire.look(review.no_merge_conflicts)
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary


def test_an_open_pull_request_counts_beside_one_that_was_merged_elsewhere(wire: Wire) -> None:
    known = opened(mergeable=False)
    known["pulls"]["2"] = {"commits": [COMMIT], "base": "develop"}
    wire.stand_ins.state("github", **known)
    assert wire.look(review.no_merge_conflicts).outcome is FAIL


HIGH, WORST = {"severity": "high", "title": "An overflow"}, {"severity": "critical", "title": "A way in"}
SECURITY: dict[str, tuple[dict[str, Any], dict[str, Any], Outcome, str]] = {
    "nothing critical is open": ({}, {}, PASS, "no alert that is critical is open; 2 others"),
    "a critical one in the code": (alerts("code-scanning", WORST), {}, FAIL, "code-scanning, critical: A way in"),
    "a critical one in a package": (alerts("dependabot", WORST), {}, FAIL, "dependabot, critical: A way in in leftpad"),
    "a secret leaked": (alerts("secret-scanning", {}), {}, FAIL, "secret-scanning, critical: Mailchimp API key"),
    "a high one, where critical counts": (alerts("dependabot", HIGH), {}, PASS, "2 others"),
    "a high one, where high counts": (alerts("dependabot", HIGH), {"severities": ("critical", "high")}, FAIL, "high"),
    "a critical one behind a page": (alerts("dependabot", WORST, *[HIGH] * 150), {}, FAIL, "A way in"),
    "a critical one behind a page in the code": (alerts("code-scanning", WORST, *[HIGH] * 150), {}, FAIL, "A way in"),
    "a critical one of another branch": (alerts("code-scanning", {**WORST, "ref": "refs/heads/x"}), {}, PASS, ""),
    "one that is not rated": (alerts("code-scanning", {"title": "Odd"}), {}, INCONCLUSIVE, "not rated: Odd"),
    "a warning that is none of security": (alerts("code-scanning", {"rule_severity": "note"}), {}, PASS, ""),
    "a scanner is switched off": (
        {"refused": {"code-scanning/alerts": [403, "Advanced Security must be enabled"]}},
        {},
        INCONCLUSIVE,
        "code-scanning is off, or not readable: 403: Advanced Security must be enabled",
    ),
    "a scanner never ran": ({"refused": {"code-scanning/alerts": [404, "no analysis found"]}}, {}, INCONCLUSIVE, "404"),
    "a scanner is off, and another found something": (
        {"refused": {"code-scanning/alerts": [404, "no analysis found"]}} | alerts("dependabot", WORST),
        {},
        FAIL,
        "A way in",
    ),
    "a scanner that is off was left out": (
        {"refused": {"code-scanning/alerts": [404, "no"]}},
        {"scanners": ("dependabot", "secret-scanning")},
        PASS,
        "",
    ),
    "a scanner is down": (
        {"refused": {"dependabot/alerts": [502, "Bad gateway"]}},
        {},
        ERROR,
        "dependabot: it answered",
    ),
    "the limit is spent": ({"limits": {"primary": 0}}, {}, ERROR, "too many requests"),
    "a secondary limit is spent": ({"limits": {"secondary": 0}}, {}, ERROR, "too many requests"),
    "a secondary limit without a time": ({"limits": {"secondary": 0, "retry_after": None}}, {}, ERROR, "too many"),
    "a limit told with 429": ({"limits": {"primary": 0, "status": 429}}, {}, ERROR, "too many requests"),
}


@pytest.mark.parametrize("case", SECURITY, ids=str)
def test_security(case: str, wire: Wire) -> None:
    changes, wire.settings, outcome, said = SECURITY[case]
    wire.stand_ins.state("github", **changes)
    result = wire.look(review.security_scan)
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary


def test_what_leaked_stands_nowhere(wire: Wire) -> None:
    wire.stand_ins.state("github", **alerts("secret-scanning", {"secret": "hunter2hunter2"}))
    result = wire.look(review.security_scan)
    assert result.outcome is FAIL
    assert "hunter2" not in result.model_dump_json()
    asked = [call.detail for call in wire.stand_ins.calls("github") if "secret-scanning" in call.name]
    assert all("hide_secret=true" in detail for detail in asked)


CI: dict[str, tuple[dict[str, Any], dict[str, Any], Outcome, str]] = {
    "all of it passed": ({}, {}, PASS, "4 tests of"),
    "nothing ran": (ran(), {}, INCONCLUSIVE, "no test of 52a2d1bb0681 passed, out of 0"),
    "one failed": (ran(("tests", "success"), ("lint", "failure")), {}, FAIL, "lint failed (failure)"),
    "one was cancelled": (ran(("tests", "success"), ("lint", "cancelled")), {}, FAIL, "lint failed (cancelled)"),
    "one ran out of time": (ran(("tests", "success"), ("lint", "timed_out")), {}, FAIL, "timed_out"),
    "one waits for a person": (ran(("tests", "success"), ("lint", "action_required")), {}, FAIL, "action_required"),
    "one has not ended": (ran(("tests", "success"), ("lint", None)), {}, INCONCLUSIVE, "lint has not ended"),
    "one failed and one has not ended": (ran(("tests", None), ("lint", "failure")), {}, FAIL, "lint failed"),
    "one went stale": (ran(("tests", "success"), ("lint", "stale")), {}, INCONCLUSIVE, "'stale'"),
    "one had no need to run": (ran(("tests", "success"), ("docs", "skipped")), {}, PASS, "1 tests"),
    "all had no need to run": (ran(("tests", "skipped"), ("docs", "neutral")), {}, INCONCLUSIVE, "no test of"),
    "the required one had no need to run": (
        ran(("tests", "skipped"), ("docs", "success")),
        {},
        INCONCLUSIVE,
        "tests must pass, and has not",
    ),
    "the required one never ran": (ran(("docs", "success")), {}, INCONCLUSIVE, "tests must pass"),
    "one that the rules require never ran": ({"required": {"rules": ["e2e"]}}, {}, INCONCLUSIVE, "e2e must pass"),
    "one that the settings require never ran": ({}, {"required_tests": ("e2e",)}, INCONCLUSIVE, "e2e must pass"),
    "the branch is not protected": ({"required": {"protection": None}}, {}, PASS, ""),
    "the protection may not be read": ({"refused": {"main/protection": [403, "Not accessible"]}}, {}, PASS, ""),
    "a status failed": (
        {"statuses": {COMMIT: [{"context": "scan", "state": "failure"}]}}, {}, FAIL, "scan failed (failure)",
    ),
    "a status is in error": ({"statuses": {COMMIT: [{"context": "scan", "state": "error"}]}}, {}, FAIL, "(error)"),
    "a status is pending": (
        {"statuses": {COMMIT: [{"context": "scan", "state": "pending"}]}}, {}, INCONCLUSIVE, "scan has not ended",
    ),
    "one failed behind a page": (
        ran(*[(f"t{n}", "success") for n in range(240)], ("tests", "success"), ("last", "failure")),
        {},
        FAIL,
        "last failed",
    ),
    "a status failed behind a page": (
        {"statuses": {COMMIT: [
            {"context": f"s{n}", "state": "failure" if n == 220 else "success"} for n in range(221)
        ]}},
        {},
        FAIL,
        "s220 failed",
    ),
    "the deployment's own job still runs": (
        ran(("tests", "success"), ("deploy", None)), {"ignored_tests": ("deploy",)}, PASS, "1 tests",
    ),
    "only what does not count passed": (
        ran(("tests", "success")), {"ignored_tests": ("tests",)}, INCONCLUSIVE, "no test of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CI, ids=str)
def test_ci(case: str, wire: Wire) -> None:
    changes, wire.settings, outcome, said = CI[case]
    wire.stand_ins.state("github", **changes)
    result = wire.look(review.ci_green)
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary


CHECKS = (review.reviews_completed, review.no_merge_conflicts, review.security_scan, review.ci_green)
FAULTS = {
    "down": Fault(status=500),
    "bad gateway": Fault(status=502),
    "a broken connection": Fault(reset=True),
    "rubbish": Fault(garbage=True),
    "rubbish with an error": Fault(garbage=True, status=503),
    "too many requests": Fault(status=429),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_could_not_be_asked_is_an_error(check: Callable[[Context], Result], fault: str, wire: Wire) -> None:
    wire.stand_ins.fault("github", FAULTS[fault])
    result = wire.look(check)
    assert result.outcome is ERROR
    assert result.mend


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_single_answer_that_fails_lets_a_check_pass(check: Callable[[Context], Result], wire: Wire) -> None:
    wire.look(check)
    asked = {call.name for call in wire.stand_ins.calls("github")}
    assert asked
    for name in asked:
        wire.stand_ins.fault("github", Fault(garbage=True, only=name))
        assert wire.look(check).outcome is not PASS, name
        wire.stand_ins.fault("github", Fault(status=500, only=name))
        assert wire.look(check).outcome is not PASS, name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_wrong_token_is_an_error_that_names_it(
    check: Callable[[Context], Result], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.test_review.GITHUB_TOKEN", "another")
    result = wire.look(check)
    assert result.outcome is ERROR
    assert "github.token" in result.mend


def test_hostile_words_are_shown_as_they_are_and_nothing_follows_their_links(wire: Wire) -> None:
    known = ran((HOSTILE, "failure")) | alerts("dependabot", {**WORST, "title": HOSTILE})
    known["pulls"] = {"4": {"title": HOSTILE, "reviews": [by("lena"), by("miro", "CHANGES_REQUESTED")]}}
    known["statuses"] = {COMMIT: [{"context": "x", "state": "success", "url": "javascript:alert(1)"}]}
    wire.stand_ins.state("github", **known)
    assert wire.look(review.reviews_completed).evidence.tables[0].rows[1][1] == HOSTILE
    for check in (review.ci_green, review.security_scan):
        result = wire.look(check)
        assert result.outcome is FAIL
        assert all(link.startswith("https://github.com/") for link in result.evidence.links.values())


# --- who wrote it


AUTHORS: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...] | str]] = {
    "authors of commits and of pull requests": ({}, {}, ("dana", "miro")),
    "a co-author by GitHub's own address": (
        written("dana", "x\n\nCo-Authored-By: Anna <14+anna@users.noreply.github.com>"),
        {},
        ("anna", "dana", "miro"),
    ),
    "a co-author whom another commit knows": (
        written("dana", "x\n\nCo-authored-by: Miro <MIRO@example.com>"),
        {},
        ("dana", "miro"),
    ),
    "a co-author whom nobody knows": (written("dana", "x\n\nCo-authored-by: Eve <eve@evil.example>"), {}, "Eve <eve@"),
    "an author whom nobody knows": (written({"name": "Old", "email": "old@laptop"}), {}, "Old <old@laptop>"),
    "an author whom the settings know": (
        written({"name": "Old", "email": "Old@laptop"}), {"old@LAPTOP": "lena"}, ("dana", "lena", "miro"),
    ),
    "an author without any name": (written({"name": None, "email": None}), {}, "52a2d1bb0681"),
    "a merge that GitHub made": (
        {"commits": {COMMIT: {"author": "anna", "committer": "web-flow", "verified": True, "parents": [
            digest("Name the currency of a price"), HEAD]}}},
        {},
        ("dana", "miro"),
    ),
    "a merge that somebody pushed": (
        {"commits": {COMMIT: {"author": "anna", "parents": [digest("Name the currency of a price"), HEAD]}}},
        {},
        ("anna", "dana", "miro"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AUTHORS, ids=str)
def test_authors(case: str, wire: Wire) -> None:
    changes, people, expected = AUTHORS[case]
    wire.stand_ins.state("github", **changes)
    wire.settings = {"authors": people}
    if isinstance(expected, str):
        with pytest.raises(Rejected, match=expected) as caught:
            wire.repository().authors("v1.4.2", COMMIT)
        assert "[github.authors]" in caught.value.mend
    else:
        assert wire.repository().authors("v1.4.2", COMMIT) == expected
