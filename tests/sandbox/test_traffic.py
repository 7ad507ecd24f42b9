"""The service, the proxy before it, and the users."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from deploykit.sandbox import Sandbox
from deploykit.sandbox.releases import find_release

pytestmark = pytest.mark.sandbox


def commit(tag: str) -> str:
    release = find_release(tag)
    assert release
    return release.commit


def test_green_is_live_and_blue_is_idle(box: Sandbox) -> None:
    with httpx.Client(trust_env=False) as client:
        live = client.get(f"{box.addresses.service_url}/version")
        assert live.json() == {"version": "v1.4.2", "commit": commit("v1.4.2"), "colour": "green"}
        assert (live.headers["x-version"], live.headers["x-colour"]) == ("v1.4.2", "green")
        for url in (box.addresses.green_url, box.addresses.blue_url):
            health = client.get(f"{url}/health")
            assert (health.status_code, health.json()) == (200, {"status": "ok", "checks": {"database": "ok"}})


def test_the_shop_reads_and_writes_its_database(box: Sandbox) -> None:
    with httpx.Client(base_url=box.addresses.service_url, trust_env=False) as client:
        assert client.get("/products/7").json() == {"id": 7, "name": "Product 7", "price_cents": 700}
        assert client.get("/products/999").status_code == 404
        assert len(client.get("/products").json()) == 20
        assert client.post("/orders", json={"product_id": 7, "quantity": 2}).status_code == 201
        assert client.post("/orders", json={"product_id": 999, "quantity": 2}).status_code == 404
        assert client.post("/orders", json={}).status_code == 400


def test_weights_move_real_requests_and_can_be_read_back(
    box: Sandbox, split: Callable[[int], None], until: Callable[..., Any]
) -> None:
    split(50)
    entries = httpx.get(f"{box.addresses.envoy_admin_url}/runtime", trust_env=False).json()["entries"]
    assert entries["routing.traffic_split.blue"]["final_value"] == "50"
    began = time.time()
    until(lambda: "blue" in box.served() and max(t.last for t in box.served()["blue"].values()) > began)
    split(0)
    moved = time.time()
    until(lambda: max(t.last for t in box.served()["green"].values()) > moved + 2)
    assert max(t.last for t in box.served()["blue"].values()) < moved + 1.5


def test_the_load_keeps_its_rate_and_nothing_fails(box: Sandbox, until: Callable[..., Any]) -> None:
    def total() -> int:
        return sum(t.requests for versions in box.served().values() for t in versions.values())

    first, began = total(), time.monotonic()
    until(lambda: time.monotonic() - began > 3)
    rate = (total() - first) / (time.monotonic() - began)
    assert 110 < rate < 190
    assert sum(t.failures for t in box.served()["green"].values()) == 0


def test_failing_requests_are_not_tried_again(
    box: Sandbox,
    deploy: Callable[[str], str],
    settle: Callable[[str], str],
    split: Callable[[int], None],
    until: Callable[..., Any],
) -> None:
    assert settle(deploy(commit("v1.6.0"))) == "SUCCESS"
    split(50)
    until(lambda: requests(box, "v1.6.0") > 150)
    split(0)
    tally = box.served()["blue"]["v1.6.0"]
    assert 0.02 < tally.failures / tally.requests < 0.25
    for path in ("/health", "/version"):
        answers = {httpx.get(box.addresses.blue_url + path, trust_env=False).status_code for _ in range(30)}
        assert answers == {200}


def requests(box: Sandbox, version: str) -> int:
    tally = box.served().get("blue", {}).get(version)
    return tally.requests if tally else 0
