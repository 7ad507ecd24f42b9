from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploykit.errors import Rejected
from tests.providers.adapters import TOKEN, unleash
from tests.providers.faults import Faults, Reply

CASES = Path(__file__).parents[2].parent / "shared" / "contracts" / "unleash" / "cases"


def rollout(share: object, name: str = "flexibleRollout", key: str = "rollout") -> dict[str, Any]:
    return {"name": name, "parameters": {key: share}}


def enabled(server: Faults, *features: dict[str, Any]) -> bool | None:
    server.reply(Reply({"version": 2, "features": list(features)}))
    return unleash(server.url, 2).enabled("flag")


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ({"enabled": False, "strategies": [{"name": "default"}]}, False),
        ({"enabled": True}, True),
        ({"enabled": True, "strategies": []}, True),
        ({"enabled": True, "strategies": [{"name": "default"}]}, True),
        ({"enabled": True, "strategies": [rollout("0")]}, False),
        ({"enabled": True, "strategies": [rollout(0)]}, False),
        ({"enabled": True, "strategies": [rollout("1")]}, True),
        ({"enabled": True, "strategies": [rollout("25"), rollout("0")]}, True),
        ({"enabled": True, "strategies": [rollout(None)]}, True),
        ({"enabled": True, "strategies": [rollout("lots")]}, True),
        ({"enabled": True, "strategies": [rollout("0", "gradualRolloutRandom", "percentage")]}, False),
        ({"enabled": True, "strategies": [{"name": "userWithId", "parameters": {"userIds": ""}}]}, False),
        ({"enabled": True, "strategies": [{"name": "userWithId", "parameters": {"userIds": "7"}}]}, True),
        ({"enabled": True, "strategies": [{"name": "default", "disabled": True}]}, False),
        ({"enabled": True, "strategies": [{"name": "ownStrategy"}]}, True),
        ({"enabled": True, "strategies": [{"name": "default", "segments": [99]}]}, True),
        (
            {
                "enabled": True,
                "strategies": [
                    {"name": "default", "constraints": [{"contextName": "x", "operator": "IN", "values": ["a"]}]}
                ],
            },
            True,
        ),
    ],
)
def test_a_flag_is_off_only_where_nothing_in_it_can_turn_it_on(
    server: Faults, flag: dict[str, Any], *, expected: bool
) -> None:
    assert enabled(server, {"name": "flag", **flag}) is expected
    assert server.asked[0].headers["authorization"] == TOKEN


@pytest.mark.parametrize(
    ("parent", "dependency", "expected"),
    [
        ({"enabled": True}, {}, True),
        ({"enabled": False}, {}, False),
        ({"enabled": False}, {"enabled": False}, True),
        ({"enabled": True}, {"enabled": False}, True),
        (None, {}, False),
        ({"enabled": True, "dependencies": [{"feature": "flag"}]}, {}, True),
    ],
)
def test_a_flag_that_depends_on_another_is_on_only_where_that_one_allows_it(
    server: Faults, parent: dict[str, Any] | None, dependency: dict[str, Any], *, expected: bool
) -> None:
    flag = {"name": "flag", "enabled": True, "dependencies": [{"feature": "parent", **dependency}]}
    assert enabled(server, flag, *([{"name": "parent", **parent}] if parent else [])) is expected


def test_a_flag_that_is_not_there_is_neither_on_nor_off(server: Faults) -> None:
    assert enabled(server, {"name": "other", "enabled": True}) is None


@pytest.mark.parametrize("wrong", [None, "false", 0, {}])
def test_a_flag_that_does_not_say_whether_it_is_on_is_refused(server: Faults, wrong: object) -> None:
    with pytest.raises(Rejected, match="enabled of flag"):
        enabled(server, {"name": "flag", "enabled": wrong})


def test_an_answer_for_another_environment_is_refused(server: Faults) -> None:
    server.reply(Reply({"features": [], "query": {"environment": "development"}}))
    with pytest.raises(Rejected, match="development, not production") as caught:
        unleash(server.url, 2).enabled("flag")
    assert "client token for production" in caught.value.mend


def cases() -> Iterator[tuple[str, Any, dict[str, bool]]]:
    """The official cases in the form of the client API: what is known, and each flag that is on for somebody."""
    for path in sorted(CASES.glob("[0-2]*.json")):
        case = json.loads(path.read_text("utf-8"))
        if "features" not in case["state"]:
            continue  # the form of another, streaming, interface
        asked = [(test["toggleName"], test["expectedResult"]) for test in case.get("tests", ())]
        asked += [
            (test["toggleName"], test["expectedResult"].get("feature_enabled", test["expectedResult"]["enabled"]))
            for test in case.get("variantTests", ())
        ]
        for name in {name for name, _ in asked}:
            yield f"{path.stem} {name}", case["state"], {name: any(on for known, on in asked if known == name)}


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared contracts are not beside this checkout")
def test_no_flag_that_the_official_cases_turn_on_for_somebody_is_called_off(server: Faults) -> None:
    flags = unleash(server.url, 5)
    on = off = 0
    for place, state, known in cases():
        server.reply(Reply(state))
        for name, expected in known.items():
            found = flags.enabled(name)
            listed = {one["name"]: one for one in state["features"]}
            assert found or not expected, place
            assert (found is None) is (name not in listed), place
            if name in listed and not listed[name]["enabled"]:
                assert found is False, place
            on, off = on + (found is True), off + (found is False)
    assert on > 100
    assert off > 10
