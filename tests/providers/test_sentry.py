from __future__ import annotations

import time
from typing import Any

import pytest

from deploykit.errors import Rejected, Unreachable
from deploykit.providers.sentry import SentryErrors
from deploykit.settings.vendors import ErrorsSettings
from tests.providers.adapters import DEPLOY, END, ISSUE, RUN, START, TOKEN, sentry
from tests.providers.faults import Asked, Faults, Reply

HERE = "/api/0/organizations/acme"


def link(cursor: str, *, results: bool, rel: str = "next") -> str:
    told = f'rel="{rel}"; results="{str(results).lower()}"; cursor="{cursor}"'
    return f"<https://sentry.example/?cursor={cursor}>; {told}"


def pages(*listed: list[dict[str, Any]]) -> Any:
    """Answers page by page, each with the links that Sentry always sends."""

    def script(asked: Asked) -> Reply:
        number = int(asked.query.get("cursor", ["0:0:0"])[0].split(":")[1])
        previous = link("0:0:1", results=number > 0, rel="previous")
        following = link(f"0:{number + 1}:0", results=number + 1 < len(listed))
        return Reply(listed[number], headers={"Link": f"{previous}, {following}"})

    return script


def issue(name: str, **changes: Any) -> dict[str, Any]:
    return {**ISSUE, "id": name, "title": name, **changes}


def test_all_pages_of_issues_are_read_and_the_last_link_is_not_followed(server: Faults) -> None:
    server.script = pages([issue("a"), issue("b")], [issue("c")], [issue("d", count=None, lastSeen=None, level=None)])
    found = sentry(server.url, 2).new_issues("v1")
    assert [one.title for one in found] == ["a", "b", "c", "d"]
    assert [(one.count, one.level) for one in found][-1] == (0, "unknown")
    assert len(server.asked) == 3
    asked = server.asked[0]
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.path == f"{HERE}/issues/"
    assert asked.query["query"] == ['firstRelease:"v1" is:unresolved']
    assert (asked.query["project"], asked.query["environment"]) == (["shop"], ["production"])


def test_not_having_seen_every_page_is_not_nothing_found(server: Faults) -> None:
    server.script = pages(*[[]] * 30)
    with pytest.raises(Rejected, match="more than 20 pages"):
        sentry(server.url, 2).fatal_issues(START)
    server.script = None
    server.reply(Reply([], headers={"Link": link("same", results=True)}))
    with pytest.raises(Rejected, match="same page"):
        sentry(server.url, 2).fatal_issues(START)
    server.reply(Reply([], headers={"Link": '<x>; rel="next"; results="true"'}))
    with pytest.raises(Rejected, match="cursor"):
        sentry(server.url, 2).fatal_issues(START)


@pytest.mark.parametrize(
    ("release", "query", "path"),
    [
        ("v1.0+build/2", '"shop@v1.0+build/2"', "shop%40v1.0%2Bbuild%2F2"),
        ('a" is:resolved "b', '"shop@a\\" is:resolved \\"b"', "shop%40a%22%20is%3Aresolved%20%22b"),
        ("v*", '"shop@v\\*"', "shop%40v%2A"),
    ],
)
def test_a_release_is_a_value_whatever_is_in_it(server: Faults, release: str, query: str, path: str) -> None:
    settings = ErrorsSettings(
        url=server.url, organization="acme", project="shop", token="env:T", release="shop@$release"
    )
    errors = SentryErrors(settings, TOKEN)
    server.reply(Reply([]))
    errors.new_issues(release)
    assert server.asked[0].query["query"] == [f"firstRelease:{query} is:unresolved"]
    server.reply(Reply([]))
    errors.deploy(release, RUN)
    assert server.asked[0].path == f"{HERE}/releases/{path}/deploys/"


def test_fatal_issues_are_asked_for_since_a_time_and_whatever_became_of_them(server: Faults) -> None:
    server.reply(Reply([]))
    sentry(server.url, 2).fatal_issues(START)
    assert server.asked[0].query["query"] == ["level:fatal lastSeen:>=2026-11-23T03:10:00"]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [([], 0), ([{"totals": {"sum(session)": 5}}, {"totals": {"sum(session)": 2}}], 7), ([{"totals": {}}], 0)],
)
def test_sessions_are_summed_over_all_groups(server: Faults, groups: list[Any], expected: int) -> None:
    server.reply(Reply({"groups": groups}))
    assert sentry(server.url, 2).sessions("v1", START, END) == expected


@pytest.mark.parametrize(
    ("projects", "expected"), [([{"slug": "shop"}], True), ([{"id": 42, "slug": "other"}], False), ([], False)]
)
def test_a_release_of_another_project_is_not_registered(server: Faults, projects: list[Any], *, expected: bool) -> None:
    server.reply(Reply({"version": "v1", "projects": projects}))
    assert sentry(server.url, 2).registered("v1") is expected


def test_another_project_or_release_than_asked_for_is_refused(server: Faults) -> None:
    server.reply(Reply({"id": "1", "slug": "other", "status": "active"}))
    with pytest.raises(Rejected, match="the project other"):
        sentry(server.url, 2).project()
    server.reply(Reply({"version": "v2", "projects": []}))
    with pytest.raises(Rejected, match="the release v2"):
        sentry(server.url, 2).registered("v1")


def test_a_limit_is_waited_out_by_sentrys_own_header(server: Faults, slept: list[float]) -> None:
    limit = {"X-Sentry-Rate-Limit-Reset": str(int(time.time()) + 2)}
    server.reply(Reply({"detail": "too frequently"}, 429, limit), Reply([]))
    assert sentry(server.url, 2).fatal_issues(START) == ()
    assert len(slept) == 1
    assert 0 <= slept[0] <= 2
    server.reply(Reply({"detail": "too frequently"}, 429, {"X-Sentry-Rate-Limit-Reset": str(int(time.time()) + 999)}))
    with pytest.raises(Unreachable, match="asks to wait 99"):
        sentry(server.url, 2).fatal_issues(START)


@pytest.mark.parametrize(("status", "mend"), [(403, "project:releases"), (404, "errors.organization")])
def test_what_helps_is_named(server: Faults, status: int, mend: str) -> None:
    server.reply(Reply({"detail": "no"}, status))
    with pytest.raises(Rejected, match="no") as caught:
        sentry(server.url, 2).project()
    assert mend in caught.value.mend


def test_an_answer_that_drips_is_not_waited_for_longer_than_one_that_hangs(server: Faults) -> None:
    server.reply(Reply([ISSUE] * 3, act="drip"))
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        sentry(server.url, 1).fatal_issues(START)


class Deploys:
    """Keeps what is recorded, as Sentry does."""

    def __init__(self) -> None:
        self.known: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == f"{HERE}/releases/":
            return Reply({"version": asked.json["version"]}, 208 if self.known else 201)
        if asked.method == "GET":
            return Reply(self.known)
        self.known.append({**DEPLOY, "name": asked.json["name"], "environment": asked.json["environment"]})
        return Reply(self.known[-1], 201)


def test_a_deploy_is_recorded_once_and_found_again(server: Faults) -> None:
    script = server.script = Deploys()
    errors = sentry(server.url, 2)
    made = errors.record_deploy("v1", RUN, start=START, end=END)
    assert errors.record_deploy("v1", RUN, start=START, end=END) == made == errors.deploy("v1", RUN)
    assert errors.deploy("v1", "another-run") is None
    assert len(script.known) == 1
    sent = next(asked for asked in server.asked if asked.method == "POST" and "deploys" in asked.path).json
    assert sent == {
        "environment": "production",
        "name": RUN,
        "dateStarted": "2026-11-23T03:10:00",
        "dateFinished": "2026-11-23T03:13:00",
        "projects": ["shop"],
    }


def test_a_long_name_is_kept_by_its_end_which_tells_runs_apart(server: Faults) -> None:
    server.script = Deploys()
    errors = sentry(server.url, 2)
    first, second = (errors.record_deploy("v1", "x" * 80 + end, start=START, end=END) for end in ("1", "2"))
    assert first.name != second.name
    assert len(first.name) == 64
    assert errors.deploy("v1", "x" * 80 + "2") == second


def test_a_lost_answer_to_recording_leaves_it_open_and_is_not_repeated(server: Faults) -> None:
    known = Deploys()

    def script(asked: Asked) -> Reply:
        reply = known(asked)
        return Reply(reply.body, reply.status, act="drop") if known.known and asked.method == "POST" else reply

    server.script = script
    errors = sentry(server.url, 2)
    with pytest.raises(Unreachable, match="not known"):
        errors.record_deploy("v1", RUN, start=START, end=END)
    assert len(known.known) == 1
    assert errors.deploy("v1", RUN) is not None
