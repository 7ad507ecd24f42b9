"""GitHub's stand-in, spoken to with PyGithub."""

from collections.abc import Iterator

import pytest
from github import Auth, BadCredentialsException, Github, GithubException, UnknownObjectException

from deploykit.sandbox import Sandbox
from deploykit.sandbox.releases import RELEASES

pytestmark = pytest.mark.sandbox


@pytest.fixture
def github(box: Sandbox) -> Iterator[Github]:
    with Github(base_url=box.addresses.github_url, auth=Auth.Token(box.addresses.github_token), retry=None) as client:
        yield client


def test_a_tag_means_its_commit(github: Github) -> None:
    repository = github.get_repo("acme/shop")
    assert repository.default_branch == "main"
    found = {release.tag: repository.get_commit(release.tag).sha for release in RELEASES}
    assert found == {release.tag: release.commit for release in RELEASES}
    assert repository.get_commit(RELEASES[2].commit[:8]).commit.message.startswith(RELEASES[2].title)


def test_an_unknown_ref_is_told_as_github_does(github: Github) -> None:
    with pytest.raises(GithubException, match="No commit found for SHA: v9") as caught:
        github.get_repo("acme/shop").get_commit("v9")
    assert caught.value.status == 422


def test_another_repository_is_not_there(github: Github) -> None:
    with pytest.raises(UnknownObjectException):
        github.get_repo("acme/other")


def test_a_wrong_token_is_refused(box: Sandbox) -> None:
    with (
        Github(base_url=box.addresses.github_url, auth=Auth.Token("wrong"), retry=None) as client,
        pytest.raises(BadCredentialsException),
    ):
        client.get_repo("acme/shop")


def test_the_limit_is_told(github: Github) -> None:
    github.get_repo("acme/shop")
    assert github.rate_limiting[1] == 5000
