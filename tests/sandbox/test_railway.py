"""Railway's stand-in, spoken to with gql."""

import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXTransport

from deploykit.sandbox import Sandbox
from deploykit.sandbox.releases import find_release

pytestmark = pytest.mark.sandbox
Ask = Callable[..., dict[str, Any]]
LIST = """query($i: DeploymentListInput!, $n: Int, $a: String) { deployments(input: $i, first: $n, after: $a) {
  edges { node { id status canRollback meta createdAt url } } pageInfo { hasNextPage endCursor } } }"""
ROLLBACK = "mutation($id: String!) { deploymentRollback(id: $id) }"
RESTART = "mutation($id: String!) { deploymentRestart(id: $id) }"


def commit(tag: str) -> str:
    release = find_release(tag)
    assert release
    return release.commit


def version(url: str) -> str:
    return str(httpx.get(f"{url}/version", trust_env=False).json()["version"])


@pytest.fixture
def blue(box: Sandbox, railway: Ask) -> Callable[..., list[dict[str, Any]]]:
    """Blue's deployments, newest first."""

    def listed(**more: Any) -> list[dict[str, Any]]:
        ids = {"projectId": box.addresses.railway_project_id, "environmentId": box.addresses.railway_environment_id}
        answer = railway(LIST, i={**ids, "serviceId": box.addresses.railway_blue_id, **more})
        return [edge["node"] for edge in answer["deployments"]["edges"]]

    return listed


def test_a_deploy_runs_the_new_version_and_removes_the_old_one(
    box: Sandbox, blue: Callable[..., Any], deploy: Callable[[str], str], settle: Callable[[str], str]
) -> None:
    before = blue(status={"in": ["SUCCESS"]})[0]
    made = deploy(commit("v1.5.0"))
    assert settle(made) == "SUCCESS"
    assert version(box.addresses.blue_url) == "v1.5.0"
    newest = blue()[0]
    assert (newest["id"], newest["meta"]["commitHash"]) == (made, commit("v1.5.0"))
    (old,) = (d for d in blue() if d["id"] == before["id"])
    assert (old["status"], old["canRollback"]) == ("REMOVED", True)
    assert blue(status={"in": ["SUCCESS"]}) == [newest]


def test_a_rollback_is_a_new_deployment_of_the_old_version(
    box: Sandbox, railway: Ask, blue: Callable[..., Any], deploy: Callable[[str], str], settle: Callable[[str], str]
) -> None:
    first = deploy(commit("v1.4.1"))
    second = deploy(commit("v1.5.0"))
    assert [settle(first), settle(second)] == ["SUCCESS", "SUCCESS"]
    assert railway(ROLLBACK, id=first) == {"deploymentRollback": True}
    newest = blue()[0]
    assert newest["id"] not in (first, second)
    assert settle(newest["id"]) == "SUCCESS"
    assert version(box.addresses.blue_url) == "v1.4.1"


def test_a_release_that_is_never_healthy_fails_and_the_old_one_stays(
    box: Sandbox, railway: Ask, blue: Callable[..., Any], deploy: Callable[[str], str], settle: Callable[[str], str]
) -> None:
    active, serving = blue(status={"in": ["SUCCESS"]})[0]["id"], version(box.addresses.blue_url)
    failed = deploy(commit("v1.8.0"))
    assert settle(failed) == "FAILED"
    assert version(box.addresses.blue_url) == serving
    assert blue(status={"in": ["SUCCESS"]})[0]["id"] == active
    with pytest.raises(TransportQueryError, match="cannot be rolled back"):
        railway(ROLLBACK, id=failed)


def test_an_unknown_commit_is_refused_and_creates_nothing(
    blue: Callable[..., Any], deploy: Callable[[str], str]
) -> None:
    before = blue()
    with pytest.raises(TransportQueryError, match="Commit not found"):
        deploy("0" * 40)
    assert blue() == before


def test_a_deploy_under_traffic_loses_no_request(
    box: Sandbox,
    deploy: Callable[[str], str],
    settle: Callable[[str], str],
    split: Callable[[int], None],
    until: Callable[..., Any],
) -> None:
    assert settle(deploy(commit("v1.4.1"))) == "SUCCESS"
    split(50)
    until(lambda: "v1.4.1" in box.served().get("blue", {}))
    lost = unanswered(box)
    assert settle(deploy(commit("v1.5.0"))) == "SUCCESS"
    until(lambda: box.served()["blue"]["v1.5.0"].requests > 50)
    assert unanswered(box) == lost


def unanswered(box: Sandbox) -> int:
    """Requests that no copy of the shop answered."""
    return sum(tally.failures for tally in box.served().get("none", {}).values())


def test_a_restart_is_a_new_process_of_the_same_deployment(
    box: Sandbox, railway: Ask, blue: Callable[..., Any], settle: Callable[[str], str]
) -> None:
    active, pid = blue(status={"in": ["SUCCESS"]})[0]["id"], process(box, "shop-blue").pid
    assert railway(RESTART, id=active) == {"deploymentRestart": True}
    assert settle(active) == "SUCCESS"
    assert process(box, "shop-blue").pid != pid
    assert blue(status={"in": ["SUCCESS"]})[0]["id"] == active


def test_a_killed_service_is_crashed_and_a_restart_brings_it_back(
    box: Sandbox, railway: Ask, blue: Callable[..., Any], settle: Callable[[str], str], until: Callable[..., Any]
) -> None:
    active = blue(status={"in": ["SUCCESS"]})[0]["id"]
    os.kill(process(box, "shop-blue").pid, signal.SIGKILL)
    until(lambda: blue(status={"in": ["CRASHED"]}))
    with pytest.raises(httpx.ConnectError):
        version(box.addresses.blue_url)
    railway(RESTART, id=active)
    assert settle(active) == "SUCCESS"
    assert version(box.addresses.blue_url)


def process(box: Sandbox, name: str) -> psutil.Process:
    """The process of a service, which names its log on its command line."""
    (found,) = (
        child
        for child in psutil.Process(box.processes["vendors"]).children()
        if any(part.endswith(f"{name}.jsonl") for part in child.cmdline())
    )
    return found


def test_a_wrong_token_is_not_authorized(box: Sandbox) -> None:
    for headers in ({"Authorization": "Bearer wrong"}, {"Project-Access-Token": box.addresses.railway_token}, {}):
        transport = HTTPXTransport(url=box.addresses.railway_url, headers=headers, trust_env=False)
        with (
            Client(transport=transport) as session,
            pytest.raises(TransportQueryError, match="Not Authorized"),
        ):
            session.execute(
                GraphQLRequest("query($id: String!) { project(id: $id) { id } }", variable_values={"id": "x"})
            )


def test_a_project_token_has_its_own_header(box: Sandbox) -> None:
    headers = {"Project-Access-Token": box.addresses.railway_project_token}
    transport = HTTPXTransport(url=box.addresses.railway_url, headers=headers, trust_env=False)
    text = "query($id: String!) { project(id: $id) { name services { edges { node { name } } } } }"
    with Client(transport=transport) as session:
        request = GraphQLRequest(text, variable_values={"id": box.addresses.railway_project_id})
        names = {edge["node"]["name"] for edge in session.execute(request)["project"]["services"]["edges"]}
    assert names == {"shop-green", "shop-blue", "shop-staging"}


def test_pages_join_without_gap(railway: Ask, blue: Callable[..., Any], box: Sandbox) -> None:
    asked = {"serviceId": box.addresses.railway_blue_id}
    found, after = [], None
    while True:
        answer = railway(LIST, i=asked, n=2, a=after)["deployments"]
        found += [edge["node"]["id"] for edge in answer["edges"]]
        after = answer["pageInfo"]["endCursor"]
        if not answer["pageInfo"]["hasNextPage"]:
            break
    assert found == [d["id"] for d in blue()]


def test_variables_are_set_without_a_deploy_when_told_so(box: Sandbox, railway: Ask, blue: Callable[..., Any]) -> None:
    before = blue()
    ids = {"projectId": box.addresses.railway_project_id, "environmentId": box.addresses.railway_environment_id}
    given = {**ids, "serviceId": box.addresses.railway_blue_id, "variables": {"LIMIT": "7"}, "skipDeploys": True}
    railway("mutation($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }", i=given)
    text = "query($p: String!, $e: String!, $s: String) { variables(projectId: $p, environmentId: $e, serviceId: $s) }"
    known = railway(text, p=ids["projectId"], e=ids["environmentId"], s=box.addresses.railway_blue_id)["variables"]
    assert known["LIMIT"] == "7"
    assert known["DATABASE_URL"] == box.addresses.postgres_dsn
    assert blue() == before
