from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from deploykit import redact
from deploykit.errors import Rejected, Unreachable
from deploykit.providers import railway as module
from deploykit.providers.railway import RailwayPlatform
from deploykit.settings.platform import RailwaySettings
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


def test_a_restart_is_asked_for_by_deployment_and_may_be_refused(server: Faults) -> None:
    server.reply(Reply({"data": {"deploymentRestart": True}}))
    railway(server.url, 2).restart("d1")
    assert server.asked[0].json["variables"] == {"id": "d1"}
    server.reply(Reply({"data": {"deploymentRestart": False}}))
    with pytest.raises(Rejected, match="cannot restart d1"):
        railway(server.url, 2).restart("d1")


def test_a_log_is_its_last_lines_and_needs_no_more_than_messages(server: Faults) -> None:
    lines = [{"message": f"line {n}", "severity": None, "timestamp": "t"} for n in range(5)] + [{"message": "last"}]
    server.reply(Reply({"data": {"deploymentLogs": lines}}))
    assert railway(server.url, 2).logs("d1", limit=2) == ("t line 4", "last")
    assert server.asked[0].json["variables"] == {"id": "d1", "limit": 2}
    server.reply(Reply({"data": {"deploymentLogs": [{"timestamp": "t"}]}}))
    with pytest.raises(Rejected, match="no message"):
        railway(server.url, 2).logs("d1")


def test_every_value_of_a_variable_is_masked_but_what_is_no_secret(server: Faults) -> None:
    values = {"DATABASE_URL": "postgres://u:hunter2@db/shop", "NAME": "production", "RAILWAY_SERVICE_NAME": "shop-blue"}
    server.reply(Reply({"data": {"variables": values}}))
    settings = RailwaySettings(url=server.url, project="p", environment="e", token="env:T")
    platform = RailwayPlatform(settings, TOKEN, plain='{"environments":{"production":{}}}', timeout=2)
    assert platform.variables("shop-blue") == values
    assert server.asked[0].json["variables"] == {"project": "p", "environment": "e", "service": "shop-blue"}
    shown = redact.text("postgres://u:hunter2@db/shop in production of shop-blue")
    assert shown == f"{redact.MASK} in production of shop-blue"


@pytest.mark.parametrize(
    "answer",
    [
        Reply(b'{"data": {"variables": {"KEY": "hunter2-hunter2"'),
        Reply({"data": {"variables": ["hunter2-hunter2"]}}),
        Reply({"data": {"variables": {"KEY": ["hunter2-hunter2"]}}}),
        Reply({"data": {"variables": {"KEY": "hunter2-hunter2"}}, "errors": [{"message": "hunter2-hunter2"}]}),
    ],
    ids=["half of it", "a list", "no text", "errors beside it"],
)
def test_an_answer_of_no_use_does_not_spill_its_secrets(
    answer: Reply, server: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply(answer)
    with pytest.raises(Rejected) as caught:
        railway(server.url, 2).variables("shop-blue")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_the_values_of_variables_are_in_no_log(server: Faults, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply(Reply({"data": {"variables": {"KEY": "hunter2-hunter2"}}}))
    railway(server.url, 2).variables("shop-blue")
    assert "hunter2" not in caplog.text


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
    for document in (module._DEPLOYMENTS, module._DEPLOY, module._ROLL_BACK, module._RESTART, module._VARIABLES):
        assert validate(schema, parse(document)) == []
    statuses = schema.type_map["DeploymentStatus"]
    assert set(module.STATES) == set(getattr(statuses, "values", ()))
