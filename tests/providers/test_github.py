from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import CASES, COMMIT, PLACE, RECORDED, REVIEW, RUN, TOKEN, github
from tests.providers.faults import Asked, Faults, Reply, serving

DRIPPED = [case for case in CASES if case.name in {"github.commit", "github.threads", "github.record_deployment"}]


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("v1.2.3", "v1.2.3"),
        ("feature/x", "feature%2Fx"),
        ("a b?c#d&e", "a%20b%3Fc%23d%26e"),
        ("../../user", "..%2F..%2Fuser"),
    ],
)
def test_a_ref_is_asked_for_as_one_part_of_the_path(ref: str, path: str, server: Faults) -> None:
    server.reply(Reply({"sha": COMMIT}))
    assert github(server.url, 2).commit(ref) == COMMIT
    assert server.asked[0].path == f"/repos/acme/shop/commits/{path}"
    assert server.asked[0].headers["authorization"].endswith(TOKEN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("sha", ["", "78b9ff4", "main", COMMIT.upper(), COMMIT + "\n", "g" * 40])
def test_what_is_no_full_commit_is_rejected(sha: str, server: Faults) -> None:
    server.reply(Reply({"sha": sha}))
    with pytest.raises(Rejected, match="sha is"):
        github(server.url, 2).commit("main")


@pytest.mark.parametrize("status", [404, 422])
def test_a_ref_that_is_not_there_is_rejected_with_its_mend(status: int, server: Faults) -> None:
    server.reply(Reply({"message": "No commit found for SHA: v9"}, status))
    with pytest.raises(Rejected, match="No commit found for SHA: v9") as caught:
        github(server.url, 2).commit("v9")
    assert "push v9 to acme/shop" in caught.value.mend


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        ("API rate limit exceeded for user ID 1.", {}),
        ("Forbidden", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1000)}),
        ("You have exceeded a secondary rate limit", {}),
        ("Forbidden", {"Retry-After": "60"}),
    ],
)
def test_a_spent_limit_is_no_refusal(message: str, headers: dict[str, str], server: Faults, slept: list[float]) -> None:
    server.reply(Reply({"message": message}, 403, headers))
    with pytest.raises(Unreachable, match="too many requests"):
        github(server.url, 2).commit("main")
    assert slept == ([] if headers else [1.0])


@pytest.mark.parametrize("case", DRIPPED, ids=lambda case: case.name)
def test_an_answer_that_drips_in_is_given_up_and_the_next_is_read(case: Any, server: Faults) -> None:
    server.reply(Reply({**case.good, "more": "x" * 1000}, act="drip"))
    call = case.at(server.url, timeout=1)
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        call()
    server.reply(Reply(case.good))
    call()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_goes_to_no_other_host(status: int, server: Faults) -> None:
    with serving() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        server.reply(Reply({"message": "Moved"}, status, {"Location": f"{elsewhere}/repos/acme/shop"}))
        with pytest.raises(Rejected):
            github(server.url, 2).commit("main")
        server.reply(Reply([], headers={"Link": f'<{elsewhere}/next?page=2>; rel="next"'}))
        with pytest.raises(Rejected, match="another host"):
            github(server.url, 2).reviews(7)
        assert other.asked == []


def test_all_pages_are_read_where_their_links_lead(server: Faults) -> None:
    def page(number: int, *, last: bool = False) -> Reply:
        link = f'<{server.url}/repositories/1/reviews?page={number + 1}&per_page=100>; rel="next", <x>; rel="last"'
        return Reply([{**REVIEW, "html_url": str(number)}], headers={} if last else {"Link": link})

    server.reply(page(1), page(2), page(3, last=True))
    assert [review.url for review in github(server.url, 2).reviews(7)] == ["1", "2", "3"]
    assert [asked.path for asked in server.asked] == [
        "/repos/acme/shop/pulls/7/reviews",
        *["/repositories/1/reviews"] * 2,
    ]
    assert server.asked[2].query == {"page": ["3"], "per_page": ["100"]}
    assert {asked.headers["x-github-api-version"] for asked in server.asked} == {"2022-11-28"}


def test_pages_without_an_end_are_refused(server: Faults) -> None:
    server.reply(Reply([], headers={"Link": f'<{server.url}/again?page=2>; rel="next"'}))
    with pytest.raises(Rejected, match="the same page"):
        github(server.url, 2).reviews(7)
    numbers = iter(range(1000))
    server.script = lambda _: Reply([], headers={"Link": f'<{server.url}/on?page={next(numbers)}>; rel="next"'})
    with pytest.raises(Rejected, match="more than 50 pages"):
        github(server.url, 2).reviews(7)
    assert len(server.asked) == 2 + 50


def test_a_list_that_is_cut_short_is_refused(server: Faults) -> None:
    server.reply(Reply({"total_count": 2, "statuses": [{"context": "ci", "state": "success"}]}))
    with pytest.raises(Rejected, match="it lists 1 of 2"):
        github(server.url, 2).tests(COMMIT)


def test_questions_at_the_same_time_are_each_answered_with_their_own(server: Faults) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply({"sha": asked.path.rpartition("/")[2] * 40})

    server.script = answer
    repository = github(server.url, 5)
    refs = list("0123456789abcdef") * 8
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(repository.commit, refs)) == [ref * 40 for ref in refs]


@pytest.mark.parametrize("errors", [[{"type": "NOT_FOUND", "message": "no such thing"}], [{"message": "broken"}]])
def test_an_error_inside_an_answer_of_graphql_is_a_refusal(errors: list[dict[str, str]], server: Faults) -> None:
    server.reply(Reply({"data": {"repository": None}, "errors": errors}))
    with pytest.raises(Rejected, match=errors[0]["message"]):
        github(server.url, 2).threads(7)


def test_a_limit_inside_an_answer_of_graphql_is_no_refusal(server: Faults, slept: list[float]) -> None:
    server.reply(Reply({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}))
    with pytest.raises(Unreachable, match="too many requests"):
        github(server.url, 2).threads(7)
    assert slept == [1.0]


def test_a_missing_right_is_named(server: Faults) -> None:
    needs = {"X-Accepted-GitHub-Permissions": "pull_requests=read"}
    server.reply(Reply({"message": "Resource not accessible by personal access token"}, 403, needs))
    with pytest.raises(Rejected) as caught:
        github(server.url, 2).reviews(7)
    assert "pull_requests=read" in caught.value.mend
    assert "github.token" in caught.value.mend


# --- the record of a deployment


class Deployments:
    """GitHub's deployments in memory, which loses answers on demand."""

    def __init__(self, server: Faults) -> None:
        self.known: list[dict[str, Any]] = []
        self.states: list[str] = []
        self.lost: list[str] = []
        server.script = self.answer

    def answer(self, asked: Asked) -> Reply:
        of_status = asked.path.endswith("/statuses")
        if asked.method == "GET":
            return Reply([{"state": state} for state in reversed(self.states)] if of_status else self.known)
        if of_status:
            self.states.append(asked.json["state"])
            answer: dict[str, Any] = {"id": 1, "state": asked.json["state"]}
        else:
            self.known.append({**RECORDED, "payload": asked.json["payload"], "sha": asked.json["ref"]})
            answer = self.known[-1]
        name = "status" if of_status else "deployment"
        if name in self.lost:
            self.lost.remove(name)
            return Reply(answer, 201, act="drop")
        return Reply(answer, 201)


def test_a_deployment_is_recorded_once_however_often_it_is_asked(server: Faults) -> None:
    kept, repository = Deployments(server), github(server.url, 2)
    assert repository.find_deployment(*PLACE) is None
    for state in ("in_progress", "in_progress", "success", "success"):
        assert repository.record_deployment(*PLACE, state=state).state == state
    assert (len(kept.known), kept.states) == (1, ["in_progress", "success"])
    found = repository.find_deployment(*PLACE)
    assert found is not None
    assert (found.id, found.state) == ("3", "success")
    assert repository.find_deployment("another-run", *PLACE[1:]) is None
    posted = [asked.json for asked in server.asked if asked.method == "POST"]
    assert posted[0]["payload"] == {"deploykit": RUN}
    assert (posted[0]["auto_merge"], posted[0]["required_contexts"]) == (False, [])


@pytest.mark.parametrize("lost", ["deployment", "status"])
def test_a_lost_answer_is_found_and_nothing_is_made_twice(lost: str, server: Faults) -> None:
    kept, repository = Deployments(server), github(server.url, 2)
    kept.lost = [lost]
    with pytest.raises(Unreachable, match="Whether the change happened is not known"):
        repository.record_deployment(*PLACE, state="success")
    assert repository.find_deployment(*PLACE) is not None
    assert repository.record_deployment(*PLACE, state="success").state == "success"
    assert (len(kept.known), kept.states) == (1, ["success"])


@pytest.mark.parametrize("payload", ["{", "[]", '"x"', {"deploykit": 7}, {}, None, '{"deploykit": "another"}'])
def test_what_somebody_else_recorded_is_not_ours(payload: object, server: Faults) -> None:
    server.reply(Reply([{**RECORDED, "payload": payload}]))
    assert github(server.url, 2).find_deployment(*PLACE) is None
