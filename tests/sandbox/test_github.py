"""GitHub's stand-in, spoken to with PyGithub, and with plain HTTP where PyGithub hides the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from github import Auth, BadCredentialsException, Github, GithubException, UnknownObjectException
from github.Repository import Repository

from deploykit.sandbox.addresses import GITHUB_TOKEN
from deploykit.sandbox.releases import RELEASES
from tests.standins import StandIns

Ask = Callable[..., httpx.Response]


@pytest.fixture
def repository(stand_ins: StandIns) -> Iterator[Repository]:
    with Github(
        base_url=stand_ins.url("github"),
        auth=Auth.Token(GITHUB_TOKEN),
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    ) as client:
        yield client.get_repo("acme/shop")


@pytest.fixture
def ask(stand_ins: StandIns) -> Iterator[Ask]:
    headers = {"authorization": f"Bearer {GITHUB_TOKEN}"}
    with httpx.Client(base_url=stand_ins.url("github"), headers=headers, trust_env=False) as client:
        yield lambda path, method="GET", **more: client.request(method, f"/repos/acme/shop{path}", **more)


def test_a_tag_means_its_commit(repository: Repository) -> None:
    assert repository.default_branch == "main"
    found = {release.tag: repository.get_commit(release.tag).sha for release in RELEASES}
    assert found == {release.tag: release.commit for release in RELEASES}
    assert repository.get_commit(RELEASES[2].commit[:8]).commit.message.startswith(RELEASES[2].title)


def test_an_unknown_ref_is_told_as_github_does(repository: Repository) -> None:
    with pytest.raises(GithubException, match="No commit found for SHA: v9") as caught:
        repository.get_commit("v9")
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("name", "token", "error"),
    [("acme/other", GITHUB_TOKEN, UnknownObjectException), ("acme/shop", "wrong", BadCredentialsException)],
)
def test_another_repository_is_not_there_and_a_wrong_token_is_refused(
    name: str, token: str, error: type[Exception], stand_ins: StandIns
) -> None:
    with Github(base_url=stand_ins.url("github"), auth=Auth.Token(token), retry=None) as client, pytest.raises(error):
        client.get_repo(name)


def test_a_release_is_its_commits_and_their_reviewed_pull_requests(repository: Repository) -> None:
    compared = repository.compare("v1.4.2", "v1.5.0")
    assert (compared.status, compared.total_commits) == ("ahead", 2)
    pulls = [pull for commit in compared.commits for pull in commit.get_pulls()]
    assert [pull.number for pull in pulls] == [3, 4]
    for pull in pulls:
        (review,) = pull.get_reviews()
        assert (review.state, review.commit_id) == ("APPROVED", pull.head.sha)
        assert review.user.login not in {pull.user.login, "olga", "anna"}
    assert repository.compare("v1.5.0", "v1.4.2").status == "behind"
    assert repository.compare("v1.5.0", "v1.5.0").status == "identical"


def test_lists_are_paged(repository: Repository, stand_ins: StandIns) -> None:
    sha = RELEASES[2].commit
    stand_ins.state("github", runs={sha: [{"name": str(n), "conclusion": "success"} for n in range(75)]})
    assert [run.name for run in repository.get_commit(sha).get_check_runs()] == [str(n) for n in range(75)]
    stand_ins.state("github", alerts={"dependabot": [{"severity": "low"}] * 75})
    assert len(list(repository.get_dependabot_alerts(state="open"))) == 75


def test_dependabot_knows_no_page_number(ask: Ask) -> None:
    assert ask("/dependabot/alerts?page=2").status_code == 400


def test_whether_it_can_be_merged_is_worked_out_when_asked(repository: Repository, stand_ins: StandIns) -> None:
    stand_ins.state("github", pulls={"4": {"state": "open", "mergeable": True, "asks": 1}})
    assert repository.get_pull(4).mergeable is None
    assert repository.get_pull(4).mergeable is True


def test_threads_are_told_in_graphql_alone(stand_ins: StandIns) -> None:
    text = """query($n: Int!) { repository(owner: "acme", name: "shop") { pullRequest(number: $n) {
        reviewThreads(first: 1) { totalCount nodes { isResolved } pageInfo { hasNextPage endCursor } } } } }"""
    url, headers = f"{stand_ins.url('github')}/graphql", {"authorization": f"Bearer {GITHUB_TOKEN}"}

    def query(text: str, number: int = 4) -> dict[str, Any]:
        body = {"query": text, "variables": {"n": number}}
        return dict(httpx.post(url, json=body, headers=headers, trust_env=False).json())

    threads = query(text)["data"]["repository"]["pullRequest"]["reviewThreads"]
    assert threads == {
        "totalCount": 1,
        "nodes": [{"isResolved": True}],
        "pageInfo": {"hasNextPage": False, "endCursor": "1"},
    }
    assert query(text, 99)["errors"][0]["type"] == "NOT_FOUND"
    assert "Cannot query field" in query("{ viewer { login } }")["errors"][0]["message"]
    assert "Syntax Error" in query("{")["errors"][0]["message"]
    assert stand_ins.calls("github")[-1].changing is False


def test_an_unchanged_answer_is_not_sent_again_and_not_counted(ask: Ask) -> None:
    first = ask("/pulls/4")
    again = ask("/pulls/4", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"]


def test_a_version_that_there_is_not_is_refused(ask: Ask) -> None:
    assert ask("", headers={"x-github-api-version": "1999-01-01"}).status_code == 400
    assert ask("").headers["x-github-api-version-selected"] == "2022-11-28"


def test_the_primary_limit_is_kept(ask: Ask, stand_ins: StandIns) -> None:
    used = int(ask("").headers["x-ratelimit-used"])
    stand_ins.state("github", limits={"primary": used + 1})
    assert (ask("").status_code, ask("").status_code) == (200, 403)
    refused = ask("")
    assert (refused.headers["x-ratelimit-remaining"], "retry-after" in refused.headers) == ("0", False)
    assert int(refused.headers["x-ratelimit-reset"]) > time.time()
    assert refused.json()["message"].startswith("API rate limit exceeded")
    stand_ins.state("github", limits={"primary": used + 1, "status": 429})
    assert ask("").status_code == 429


@pytest.mark.parametrize("wait", [7, None])
def test_the_secondary_limit_is_kept(ask: Ask, stand_ins: StandIns, wait: int | None) -> None:
    stand_ins.state("github", limits={"secondary": 0, "retry_after": wait})
    refused = ask("")
    assert (refused.status_code, refused.headers.get("retry-after")) == (403, None if wait is None else "7")
    assert refused.headers["x-ratelimit-remaining"] != "0"
    assert "secondary rate limit" in refused.json()["message"]


def test_a_deployment_waits_for_its_statuses_and_keeps_its_states(repository: Repository, stand_ins: StandIns) -> None:
    sha = RELEASES[2].commit
    made = repository.create_deployment(sha, payload={"deploykit": "r"}, auto_merge=False, required_contexts=[])
    made.create_status("in_progress")
    made.create_status("success", description="done")
    (found,) = repository.get_deployments(sha=sha, environment="production")
    assert (found.id, found.payload) == (made.id, {"deploykit": "r"})
    assert [status.state for status in found.get_statuses()] == ["success", "in_progress"]
    stand_ins.state("github", statuses={sha: [{"context": "ci", "state": "pending"}]})
    with pytest.raises(GithubException, match="Conflict"):
        repository.create_deployment(sha)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/deployments", {}, 422),
        ("/deployments", {"ref": "nothing"}, 422),
        ("/deployments/9/statuses", {"state": "success"}, 404),
        ("/releases", {"tag_name": "v1.5.0"}, 422),
        ("/releases", {"tag_name": "v2", "target_commitish": "nothing"}, 422),
        ("/releases", {}, 422),
        ("/issues", {}, 422),
    ],
)
def test_what_cannot_be_created_is_refused(ask: Ask, path: str, body: dict[str, str], status: int) -> None:
    answer = ask(path, "POST", json=body)
    assert (answer.status_code, set(answer.json()) >= {"message", "documentation_url"}) == (status, True)


def test_what_is_no_json_is_refused(ask: Ask) -> None:
    assert ask("/issues", "POST", content=b"{").status_code == 400


def test_a_release_tags_its_commit(repository: Repository) -> None:
    made = repository.create_git_release("v9.9.9", "nine", "notes", target_commitish="v1.5.0")
    assert repository.get_commit("v9.9.9").sha == RELEASES[2].commit
    assert repository.get_latest_release().tag_name == made.tag_name == "v9.9.9"
    assert repository.get_release("v1.5.0").name == "v1.5.0"


def test_a_refusal_is_given_where_it_is_asked_for(ask: Ask, stand_ins: StandIns) -> None:
    stand_ins.state("github", refused={"code-scanning/alerts": [403, "Advanced Security must be enabled"]})
    assert ask("/code-scanning/alerts").json()["message"] == "Advanced Security must be enabled"
    assert ask("/dependabot/alerts").status_code == 200
