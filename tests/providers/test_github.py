from __future__ import annotations

import time

import pytest

from deploykit.errors import Rejected, Unreachable
from tests.providers.adapters import COMMIT, TOKEN, github
from tests.providers.faults import Faults, Reply


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
