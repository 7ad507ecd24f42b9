"""What every repository does alike: GitHub's adapter over the wire, and the fake that other tests rest on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from deploykit.errors import Rejected
from deploykit.ports import Repository
from deploykit.providers.github import GithubRepository
from deploykit.sandbox.addresses import GITHUB_TOKEN
from tests.standins import StandIns
from tests.world import FakeRepository, World


@dataclass
class Known:
    """A repository, with the tags of what is live and of what is deployed."""

    repository: Repository
    live: str
    release: str


@pytest.fixture(params=["github", "fake"])
def known(request: pytest.FixtureRequest, tmp_path: Path) -> Known:
    if request.param == "fake":
        return Known(FakeRepository(World(tmp_path)), "v1", "v2")
    stand_ins: StandIns = request.getfixturevalue("stand_ins")
    return Known(GithubRepository("acme/shop", GITHUB_TOKEN, url=stand_ins.url("github")), "v1.4.2", "v1.5.0")


def test_a_tag_and_its_commit_are_the_same(known: Known) -> None:
    commit = known.repository.commit(known.release)
    assert known.repository.commit(commit) == commit
    assert len(commit) == 40
    for call in (known.repository.commit, lambda ref: known.repository.compare(known.live, ref)):
        with pytest.raises(Rejected):
            call("no-such-tag")


def test_a_release_is_its_commits_with_their_pull_requests(known: Known) -> None:
    commit = known.repository.commit(known.release)
    compared = known.repository.compare(known.live, commit)
    assert compared.changes[-1].commit == commit
    for change in compared.changes:
        for pull in change.pulls:
            (review,) = known.repository.reviews(pull.number)
            assert (review.state, review.commit, review.counts) == ("approved", pull.head, True)
            assert review.author not in change.authors
            assert all(thread.resolved for thread in known.repository.threads(pull.number))
    assert known.repository.compare(commit, commit).changes == ()
    assert known.repository.compare("main", commit).changes == ()


def test_authors_are_those_of_its_commits(known: Known) -> None:
    changes = known.repository.compare(known.live, known.release).changes
    authors = known.repository.authors(known.live, known.release)
    assert authors == tuple(sorted({author for change in changes for author in change.authors}))
    assert not {"olga", "anna", "ann"} & set(authors)
    assert known.repository.authors(known.release, known.release) == ()


def test_it_is_tested_and_scanned(known: Known) -> None:
    tests = known.repository.tests(known.repository.commit(known.release))
    assert {test.state for test in tests} == {"passed"}
    assert set(known.repository.required_tests("main")) <= {test.name for test in tests}
    for scanner in ("code-scanning", "dependabot", "secret-scanning"):
        scan = known.repository.scan(scanner, "main")
        assert (scan.scanner, scan.off) == (scanner, "")
        assert all(alert.severity != "critical" for alert in scan.alerts)


def test_a_deployment_is_recorded_once_and_found(known: Known) -> None:
    place = ("run", known.repository.commit(known.release), "production")
    assert known.repository.find_deployment(*place) is None
    first = known.repository.record_deployment(*place, state="in_progress")
    second = known.repository.record_deployment(*place, state="success")
    assert (first.id, first.state, second.state) == (second.id, "in_progress", "success")
    assert known.repository.record_deployment(*place, state="success") == second
    assert known.repository.find_deployment(*place) == second
    assert known.repository.find_deployment("another", *place[1:]) is None
