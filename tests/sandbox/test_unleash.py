"""Unleash's stand-in; its answers are held against the schema in test_contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deploykit.sandbox import Sandbox

pytestmark = pytest.mark.sandbox
FEATURES = "/api/client/features"


@pytest.fixture
def unleash(box: Sandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": box.addresses.unleash_token}
    with httpx.Client(base_url=box.addresses.unleash_url, headers=headers, trust_env=False) as client:
        yield client
    box.vendors.state("unleash")


def names(answer: httpx.Response) -> dict[str, Any]:
    return {one["name"]: one["enabled"] for one in answer.json()["features"]}


def test_what_the_client_has_already_is_not_sent_again_until_it_changes(box: Sandbox, unleash: httpx.Client) -> None:
    first = unleash.get(FEATURES)
    again = unleash.get(FEATURES, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    toggle = "/api/admin/projects/default/features/orders/environments/production/off"
    admin = {"Authorization": box.addresses.unleash_admin_token}
    assert unleash.post(toggle, headers=admin).status_code == 200
    changed = unleash.get(FEATURES, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert (names(first)["orders"], names(changed)["orders"]) == (True, False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", FEATURES, 401),
        ("POST", "/api/admin/projects/default/features/orders/environments/production/on", 401),
    ],
)
def test_a_wrong_token_is_refused(unleash: httpx.Client, method: str, path: str, status: int) -> None:
    answer = unleash.request(method, path, headers={"Authorization": "wrong"})
    assert (answer.status_code, answer.json()["name"]) == (status, "AuthenticationRequired")


def test_only_a_switch_is_a_change(box: Sandbox, unleash: httpx.Client) -> None:
    body = {"appName": "shop", "instanceId": "1", "strategies": [], "started": "2026-11-23T03:00:00Z", "interval": 10}
    assert unleash.post("/api/client/register", json=body).status_code == 202
    assert box.vendors.calls("unleash")[-1].changing is False
    missing = "/api/admin/projects/default/features/none/environments/production/on"
    admin = {"Authorization": box.addresses.unleash_admin_token}
    assert unleash.post(missing, headers=admin).status_code == 404
    assert box.vendors.calls("unleash")[-1].changing is True


def test_flags_are_narrowed_by_project_and_name(box: Sandbox, unleash: httpx.Client) -> None:
    assert set(names(unleash.get(FEATURES, params={"namePrefix": "o"}))) == {"orders"}
    assert names(unleash.get(FEATURES, params={"project": "other"})) == {}
    box.vendors.state("unleash", enabled={"stock-reservation": True})
    assert names(unleash.get(FEATURES))["stock-reservation"] is True
