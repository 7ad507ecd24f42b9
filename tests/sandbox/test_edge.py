"""What the sandbox's shop shows at its edge, looked at through the product's own adapters, checks and actions."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploykit import planning, redact
from deploykit import settings as settings_module
from deploykit.actions.restart import Restart, StopTraffic
from deploykit.checks import configuration, service, smoke
from deploykit.context import Context
from deploykit.errors import Unreachable
from deploykit.journal.events import Actor
from deploykit.model import Json, Outcome, Result
from deploykit.providers import connect
from deploykit.sandbox import Sandbox
from deploykit.sandbox.project import write_project
from deploykit.sandbox.releases import find_release
from tests.world import FakeGuard, World

pytestmark = pytest.mark.sandbox
ROOT = Path(__file__).parents[2]
Query = Callable[[str], dict[str, dict[int, float]]]


@pytest.fixture
def context(box: Sandbox, tmp_path: Path, split: Callable[[int], None]) -> Iterator[Context]:
    """A plan of v1.5.0 against the sandbox, as its own project is written; its rollback was asked with the database."""
    split(0)
    box.wait_for_metrics()
    file = write_project(tmp_path, box.addresses, runbooks=os.path.relpath(ROOT / "runbooks", tmp_path))
    settings = settings_module.load(file)
    run = planning.make(settings, "production", "v1.5.0", Actor(kind="service", id="test"))
    asked: Json = {"type": "rollback.asked", "data": {"reason": "test", "database": True}}
    environment = settings.environment("production")
    yield Context(
        plan=run.plan,
        settings=settings,
        environment=environment,
        ports=connect(settings, environment),
        guard=FakeGuard(World(tmp_path)),
        progress=lambda _line, _evidence: None,
        pause=lambda _seconds: None,
        timeline=lambda: (asked,),
        incident=lambda: ("", {}),
        write=lambda _name, _data: None,
        read=lambda _name: None,
        repeat=lambda _lost, effect: effect(),
    )
    run.store.close()


def commit(tag: str) -> str:
    release = find_release(tag)
    assert release
    return release.commit


CHECKS = (
    configuration.variables,
    configuration.tls,
    configuration.rate_limits,
    configuration.cors,
    service.health_endpoints,
    smoke.smoke,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_shop_passes_each_check_of_its_edge(context: Context, check: Callable[[Context], Result]) -> None:
    result = check(context)
    assert result.outcome is Outcome.PASS, result.summary
    assert context.settings.resolve("file:secrets/session-key") not in result.model_dump_json()


def test_a_variable_that_differs_is_found_and_its_value_is_not_told(context: Context) -> None:
    (context.settings.home / "secrets" / "session-key").write_text("another-session-key")
    result = configuration.variables(context)
    assert (result.outcome, result.summary) == (Outcome.FAIL, "not as they must be: SESSION_KEY")
    assert redact.text("sandbox-session-key shop-green production") == f"{redact.MASK} shop-green production"


def test_tls_leads_to_the_same_shop_as_the_plain_door(box: Sandbox, split: Callable[[int], None]) -> None:
    a, found = box.addresses, []
    trusting = ssl.create_default_context(cafile=str(a.ca_file))
    for blue in (0, 100):
        split(blue)
        with httpx.Client(verify=trusting, trust_env=False, headers={"host": a.tls_host}) as client:
            url, named = f"https://127.0.0.1:{a.ports['tls']}/version", {"sni_hostname": a.tls_host}
            found.append(client.get(url, extensions=named).json()["colour"])
    assert found == ["green", "blue"]


def test_a_client_that_names_itself_is_limited_and_takes_nothing_from_others(box: Sandbox) -> None:
    url = f"{box.addresses.green_url}/products/1"
    with httpx.Client(trust_env=False) as client:
        named = [client.get(url, headers={"x-client-key": "busy"}) for _ in range(45)]
        assert {answer.status_code for answer in named} == {200, 429}
        refused = next(answer for answer in named if answer.status_code == 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 10
        assert refused.headers["ratelimit-remaining"] == "0"
        others = [client.get(url), client.get(url, headers={"x-client-key": "quiet"})]
        assert [answer.status_code for answer in others] == [200, 200]


# --- maintenance


def total(box: Sandbox) -> int:
    return sum(tally.requests for versions in box.served().values() for tally in versions.values())


def reached(box: Sandbox) -> int:
    return sum(tally.requests for colour in ("green", "blue") for tally in box.served().get(colour, {}).values())


def go(context: Context, action: type[StopTraffic | Restart]) -> list[tuple[str, Outcome]]:
    steps = action(context).steps()
    assert isinstance(steps, tuple)
    ended = []
    for step in steps:
        assert step.probe() is False
        step.do("op")
        ended.append((step.id, step.settle().outcome))
    return ended


def test_traffic_stands_still_for_all_users_until_live_was_started_anew(
    box: Sandbox, context: Context, until: Callable[..., Any]
) -> None:
    router = context.ports.router
    try:
        assert go(context, StopTraffic) == [("rollback.stop-traffic", Outcome.PASS)]
        still, users = router.counts(), total(box)
        until(lambda: total(box) > users + 100)
        assert router.counts() == still
        answer = httpx.get(f"{box.addresses.service_url}/products/1", trust_env=False)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert "maintenance" in answer.text
        ended = go(context, Restart)
    finally:
        router.resume()
    assert [outcome for _, outcome in ended] == [Outcome.PASS] * 3, ended
    lost, served = unanswered(box, until), reached(box)
    until(lambda: reached(box) > served + 100)
    assert unanswered(box, until) == lost


def unanswered(box: Sandbox, until: Callable[..., Any]) -> int:
    """Requests that no copy of the shop answered, once what was counted before has been written."""
    before = total(box)
    until(lambda: total(box) > before)
    return sum(tally.failures for tally in box.served().get("none", {}).values())


# --- staging


def test_staging_is_a_copy_of_its_own_in_its_own_environment(
    box: Sandbox, railway: Callable[..., Any], query: Query, until: Callable[..., Any]
) -> None:
    a = box.addresses
    assert httpx.get(f"{a.staging_url}/version", trust_env=False).json()["colour"] == "staging"
    text = "query($e: String!, $s: String!) { serviceInstance(environmentId: $e, serviceId: $s) { serviceName } }"
    found = railway(text, e=a.railway_staging_id, s=a.railway_shop_staging_id)["serviceInstance"]
    assert found == {"serviceName": "shop-staging"}
    with pytest.raises(Exception, match="ServiceInstance not found"):
        railway(text, e=a.railway_environment_id, s=a.railway_shop_staging_id)
    until(lambda: query("sum:shop.requests{env:staging}.as_count()"))
    assert not any("staging" in scope for scope in query("sum:shop.requests{env:production} by {env}.as_count()"))
    assert "staging" not in box.served()


@pytest.mark.parametrize("metric", ["shop.cpu.percent", "shop.memory.rss", "shop.db.query.time"])
def test_each_copy_has_its_gauges(query: Query, until: Callable[..., Any], metric: str) -> None:
    scopes = {"env:production,colour:blue", "env:production,colour:green", "env:staging"}
    until(lambda: scopes <= set(query(f"avg:{metric}{{*}} by {{env,colour}}")))
    assert all(
        value >= 0 for points in query(f"avg:{metric}{{*}} by {{env,colour}}").values() for value in points.values()
    )


def test_a_release_that_leaks_takes_more_and_more_memory(
    deploy: Callable[[str], str],
    settle: Callable[[str], str],
    split: Callable[[int], None],
    query: Query,
    until: Callable[..., Any],
) -> None:
    assert settle(deploy(commit("v1.13.0"))) == "SUCCESS"
    split(50)

    def grown() -> bool:
        (points,) = query("max:shop.memory.rss{version:v1.13.0}.rollup(max, 1)").values() or ({0: 0.0},)
        return max(points.values()) - min(points.values()) > 30e6

    until(grown)
    split(0)
    assert settle(deploy(commit("v1.4.3"))) == "SUCCESS"


# --- the platform


def test_a_second_deployment_waits_in_the_queue(
    railway: Callable[..., Any], deploy: Callable[[str], str], settle: Callable[[str], str], until: Callable[..., Any]
) -> None:
    first, second = deploy(commit("v1.4.1")), deploy(commit("v1.4.3"))
    status = "query($i:String!) {deployment(id:$i) {status}}"
    until(lambda: railway(status, i=second)["deployment"]["status"] == "QUEUED")
    assert [settle(first), settle(second)] == ["SUCCESS", "SUCCESS"]


def test_the_log_of_a_failed_deployment_says_why(
    box: Sandbox, context: Context, deploy: Callable[[str], str], settle: Callable[[str], str]
) -> None:
    failed = deploy(commit("v1.8.0"))
    assert settle(failed) == "FAILED"
    lines = context.ports.platform.logs(failed, limit=3)
    assert "settings not found" in lines[-1]
    assert any("shop v1.8.0" in line for line in context.ports.platform.logs(failed))


def test_the_platforms_limit_is_kept_and_told(box: Sandbox, context: Context) -> None:
    platform = context.ports.platform
    try:
        box.vendors.state("railway", limit=2)
        for _ in range(2):
            assert platform.deployments(box.addresses.railway_blue_id)
        with pytest.raises(Unreachable, match="too many requests, so it was not done; it asks to wait"):
            platform.deployments(box.addresses.railway_blue_id)
    finally:
        box.vendors.state("railway")
    assert platform.deployments(box.addresses.railway_blue_id)


def test_what_is_not_set_up_passes_nothing_here_either(context: Context) -> None:
    bare = replace(context, environment=context.environment.model_copy(update={"tls": None, "staging": None}))
    assert configuration.tls(bare).outcome is service.health_endpoints(bare).outcome is Outcome.INCONCLUSIVE
