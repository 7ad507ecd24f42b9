from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploykit.errors import Rejected, Unreachable, UsageError
from deploykit.providers._weights import COLOURS
from tests.providers.adapters import envoy, runtime, stats
from tests.providers.faults import Faults, Reply
from tests.providers.routers import PREFIX, real_envoy


def test_both_weights_are_set_with_one_request(server: Faults) -> None:
    server.reply(Reply(b"OK\n"), Reply(runtime(25, 75)))
    envoy(server.url, 2).set_weights({"green": 75, "blue": 25})
    change, look = server.asked
    assert (change.method, change.path) == ("POST", "/runtime_modify")
    assert change.query == {f"{PREFIX}.blue": ["25"], f"{PREFIX}.green": ["75"]}
    assert (look.method, look.path) == ("GET", "/runtime")


def test_a_router_that_accepts_and_does_not_apply_is_rejected(server: Faults) -> None:
    server.reply(Reply(b"OK\n"), Reply(runtime(0, 100)))
    with pytest.raises(Rejected, match=r"does not apply them: in force are blue 0, green 100"):
        envoy(server.url, 2).set_weights({"blue": 10, "green": 90})


def test_a_change_that_cannot_be_read_back_is_in_doubt(server: Faults) -> None:
    for look in (Reply(b"not JSON"), Reply(act="drop"), Reply(b"", 500)):
        server.reply(Reply(b"OK\n"), look)
        with pytest.raises(Unreachable, match="not known"):
            envoy(server.url, 2).set_weights({"blue": 10, "green": 90})
        assert [asked.method for asked in server.asked].count("POST") == 1


@pytest.mark.parametrize("weights", [{"blue": 10}, {"blue": 50, "green": 51}, {"blue": -10, "green": 110}, {}])
def test_weights_that_are_none_are_not_sent(weights: dict[str, int], server: Faults) -> None:
    with pytest.raises(UsageError, match="sum to 100"):
        envoy(server.url, 2).set_weights(weights)  # type: ignore[arg-type]  # wrong on purpose
    assert server.asked == []


@pytest.mark.parametrize("value", ["ten", "1e1", "-5", "", "9" * 30, "٣"])
def test_a_weight_that_envoy_would_not_read_is_none(value: str, server: Faults) -> None:
    server.reply(Reply(runtime(value, 90)))
    with pytest.raises(Rejected, match="not a whole number"):
        envoy(server.url, 2).weights()


def test_an_address_that_is_none_is_found_before_it_is_needed() -> None:
    for place in ("http://h:99999", "http://["):
        with pytest.raises(UsageError, match="is no address"):
            envoy(place, 2)


def test_a_runtime_without_the_keys_says_where_they_belong(server: Faults) -> None:
    server.reply(Reply({"layers": [], "entries": {}}))
    with pytest.raises(Rejected, match="static layer"):
        envoy(server.url, 2).weights()


def test_a_colour_without_a_counter_is_not_zero(server: Faults) -> None:
    server.reply(Reply(stats(5, 7)))
    assert envoy(server.url, 2).counts() == {"blue": 5, "green": 7}
    server.reply(Reply({"stats": stats(5, 7)["stats"][:1]}))
    with pytest.raises(Rejected, match="no counter of green"):
        envoy(server.url, 2).counts()


@pytest.mark.parametrize(("call", "value"), [("stop", 100), ("resume", 0)])
def test_traffic_is_stopped_and_let_through_with_one_request_each(call: str, value: int, server: Faults) -> None:
    server.reply(Reply(b"OK\n"), Reply(runtime(0, 100, value)))
    router = envoy(server.url, 2)
    getattr(router, call)()
    assert [(asked.method, asked.path) for asked in server.asked] == [("POST", "/runtime_modify"), ("GET", "/runtime")]
    assert server.asked[0].query == {"routing.maintenance": [str(value)]}
    assert router.stopped() is (value == 100)


def test_a_router_that_accepts_a_stop_and_does_not_apply_it_is_rejected(server: Faults) -> None:
    server.reply(Reply(b"OK\n"), Reply(runtime(0, 100, 0)))
    with pytest.raises(Rejected, match=r"accepted routing\.maintenance 100 and does not apply it: in force is 0"):
        envoy(server.url, 2).stop()


@pytest.mark.parametrize(("value", "stopped"), [(0, False), (1, False), (99, False), (100, True)])
def test_only_all_requests_is_stopped(value: int, stopped: bool, server: Faults) -> None:  # noqa: FBT001 - a table
    server.reply(Reply(runtime(0, 100, value)))
    assert envoy(server.url, 2).stopped() is stopped


def test_a_runtime_without_the_maintenance_key_says_where_it_belongs(server: Faults) -> None:
    server.reply(Reply({"layers": [], "entries": {}}))
    with pytest.raises(Rejected, match=r"no routing\.maintenance") as caught:
        envoy(server.url, 2).stopped()
    assert "static layer" in caught.value.mend


def test_a_rollback_does_not_wait_for_imports() -> None:
    """Neither httpx nor pydantic, which together take longer than the shift itself."""
    code = (
        "import sys, deploykit.providers.envoy as e; e.EnvoyRouter('http://127.0.0.1:1', 'p');"
        "print([m for m in ('httpx', 'pydantic', 'rich', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.sandbox
def test_a_real_envoy_is_read_set_and_counted(tmp_path: Path, server: Faults) -> None:
    port = int(server.url.rpartition(":")[2])
    with real_envoy(tmp_path, (port, port)) as (admin, door):
        router = envoy(admin, 2)
        assert router.weights() == {"blue": 0, "green": 100}
        assert router.counts() == {"blue": 0, "green": 0}
        for weights, expected in (({"blue": 100, "green": 0}, (20, 0)), ({"blue": 0, "green": 100}, (20, 20))):
            router.set_weights(weights)  # type: ignore[arg-type]  # mypy widens the keys of a literal
            assert router.weights() == weights
            assert [httpx.get(door).status_code for _ in range(20)] == [200] * 20
            assert tuple(router.counts()[colour] for colour in COLOURS) == expected


@pytest.mark.sandbox
def test_a_real_envoy_without_an_admin_layer_says_so(tmp_path: Path) -> None:
    with (
        real_envoy(tmp_path, (1, 2), admin_layer=False) as (admin, _),
        pytest.raises(Rejected, match="No admin layer specified"),
    ):
        envoy(admin, 2).set_weights({"blue": 10, "green": 90})
