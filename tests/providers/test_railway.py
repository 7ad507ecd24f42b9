from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from deploykit.errors import Rejected, Unreachable
from deploykit.providers import railway as module
from tests.providers.adapters import COMMIT, TOKEN, deployments, railway
from tests.providers.faults import Faults, Reply

SCHEMA = Path(__file__).parents[2].parent / "shared" / "contracts" / "railway" / "schema.graphql"


def test_deployments_are_read_newest_first(server: Faults) -> None:
    answer = deployments("BUILDING", "SUCCESS", "REMOVED")
    answer["data"]["deployments"]["edges"].reverse()
    server.reply(Reply(answer))
    found = railway(server.url, 2).deployments("shop-blue", limit=3)
    assert [(one.id, one.status, one.state) for one in found] == [
        ("d0", "BUILDING", "pending"),
        ("d1", "SUCCESS", "running"),
        ("d2", "REMOVED", "gone"),
    ]
    assert found[0].commit == COMMIT
    assert found[0].created_at == datetime(2026, 11, 23, 3, 59, 0, 123000, tzinfo=UTC)
    asked = server.asked[0]
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    place = {"projectId": "p", "environmentId": "e", "serviceId": "shop-blue"}
    assert asked.json["variables"] == {"input": place, "first": 3}


def test_what_an_answer_may_lack_closes_rather_than_opens(server: Faults) -> None:
    answer = deployments("SUCCESS")
    node: dict[str, Any] = answer["data"]["deployments"]["edges"][0]["node"]
    node.update(meta=None, canRollback=None, createdAt="2026-11-23T03:10:00")
    server.reply(Reply(answer))
    (found,) = railway(server.url, 2).deployments("shop-blue")
    assert (found.commit, found.can_roll_back) == ("", False)
    assert found.created_at == datetime(2026, 11, 23, 3, 10, tzinfo=UTC)


def test_an_unknown_status_is_refused(server: Faults) -> None:
    server.reply(Reply(deployments("SUCCESS", "TELEPORTING")))
    with pytest.raises(Rejected, match="unknown status TELEPORTING"):
        railway(server.url, 2).deployments("shop-blue")


def test_a_deployment_is_started_at_its_commit(server: Faults) -> None:
    server.reply(Reply({"data": {"serviceInstanceDeployV2": "d9"}}))
    assert railway(server.url, 2).deploy("shop-blue", COMMIT) == "d9"
    assert server.asked[0].json["variables"] == {"environment": "e", "service": "shop-blue", "commit": COMMIT}


def test_false_is_a_refusal_to_roll_back(server: Faults) -> None:
    server.reply(Reply({"data": {"deploymentRollback": False}}))
    with pytest.raises(Rejected, match="cannot roll back to d1"):
        railway(server.url, 2).roll_back("d1")


def test_errors_in_a_200_are_rejected_in_railways_words(server: Faults) -> None:
    server.reply(Reply({"data": None, "errors": [{"message": "Not Authorized", "path": ["deploymentRollback"]}]}))
    with pytest.raises(Rejected, match="Not Authorized") as caught:
        railway(server.url, 2).roll_back("d1")
    assert "platform.token" in caught.value.mend


def test_errors_beside_a_result_leave_a_change_open(server: Faults) -> None:
    server.reply(Reply({"data": {"deploymentRollback": True}, "errors": [{"message": "late"}]}))
    with pytest.raises(Unreachable, match="both a result and errors"):
        railway(server.url, 2).roll_back("d1")


def test_a_status_with_a_json_body_is_not_forgotten(server: Faults) -> None:
    server.reply(Reply({"errors": [{"message": "try later"}], "data": {"deploymentRollback": True}}, 500))
    with pytest.raises(Unreachable, match="it answered 500: try later"):
        railway(server.url, 2).roll_back("d1")


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the shared contracts are not beside this checkout")
def test_documents_and_states_fit_the_schema() -> None:
    schema = build_schema(SCHEMA.read_text("utf-8"), assume_valid=True)
    for document in (module._DEPLOYMENTS, module._DEPLOY, module._ROLL_BACK):
        assert validate(schema, parse(document)) == []
    statuses = schema.type_map["DeploymentStatus"]
    assert set(module.STATES) == set(getattr(statuses, "values", ()))
