"""Datadog's stand-in, read with Datadog's own client."""

import math
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ForbiddenException
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.metrics_api import MetricsApi
from datadog_api_client.v2.api.metrics_api import MetricsApi as MetricsApiV2
from datadog_api_client.v2.model.timeseries_formula_query_request import TimeseriesFormulaQueryRequest

from deploykit.sandbox import Sandbox
from deploykit.sandbox.releases import find_release

pytestmark = pytest.mark.sandbox
Query = Callable[[str], dict[str, dict[int, float]]]
Wait = Callable[..., Any]


def total(series: dict[str, dict[int, float]]) -> float:
    return sum(value for points in series.values() for value in points.values())


def test_good_keys_are_valid(datadog: MetricsApi) -> None:
    assert AuthenticationApi(datadog.api_client).validate().valid  # type: ignore[no-untyped-call]  # Datadog's client has none


def test_wrong_keys_are_forbidden(box: Sandbox) -> None:
    keys = {"apiKeyAuth": "wrong", "appKeyAuth": "wrong"}
    with ApiClient(Configuration(host=box.addresses.datadog_url, api_key=keys)) as client:  # type: ignore[no-untyped-call]  # Datadog's client has none
        with pytest.raises(ForbiddenException, match="Forbidden"):
            AuthenticationApi(client).validate()  # type: ignore[no-untyped-call]  # Datadog's client has none
        with pytest.raises(ForbiddenException, match="Forbidden"):
            MetricsApi(client).query_metrics(0, 1, "avg:shop.cpu.percent{*}")  # type: ignore[no-untyped-call]  # Datadog's client has none


def test_counts_are_those_of_the_requests_really_served(box: Sandbox, query: Query, until: Wait) -> None:
    text = "sum:shop.requests{colour:green}.as_count().rollup(sum, 1)"

    def served() -> int:
        return sum(tally.requests for tally in box.served()["green"].values())

    then = until(lambda: "green" in box.served() and served())
    counted = until(lambda: (found := total(query(text))) >= then and found)
    until(lambda: served() >= counted)  # the load writes its count a little later


def test_versions_and_colours_are_told_apart(query: Query, until: Wait) -> None:
    until(lambda: "colour:green,version:v1.4.2" in query("sum:shop.requests{*} by {colour,version}.as_count()"))
    assert query("sum:shop.requests{service:shop,env:production,version:v1.4.2}.as_count()")
    assert query("sum:shop.requests{service:other}.as_count()") == {}
    assert query("sum:shop.requests{env:production,!colour:green,version:v1.4.2}.as_count()") == {}
    assert query("avg:system.cpu.user{*}") == {}


def test_a_slow_release_shows_above_the_edge(
    query: Query, deploy: Callable[[str], str], settle: Callable[[str], str], split: Callable[[int], None], until: Wait
) -> None:
    release = find_release("v1.7.0")
    assert release
    assert settle(deploy(release.commit)) == "SUCCESS"
    split(50)
    until(lambda: total(query("sum:shop.requests{version:v1.7.0}.as_count()")) > 150)
    split(0)
    slow = total(query("count(v: v>500):shop.latency{version:v1.7.0}.as_count().rollup(sum, 1)"))
    every = total(query("count:shop.latency{version:v1.7.0}.as_count().rollup(sum, 1)"))
    assert 0.15 < slow / every < 0.45
    (p95,) = (max(points.values()) for points in query("p95:shop.latency{version:v1.7.0}").values())
    (p50,) = (min(points.values()) for points in query("p50:shop.latency{version:v1.7.0}").values())
    assert p50 < 100
    assert p95 > 500
    assert total(query("count(v: v>500):shop.latency{version:v1.4.2}.as_count()")) == 0


def test_a_colour_that_nobody_asks_has_no_counts_but_gauges(query: Query, until: Wait) -> None:
    until(lambda: query("avg:shop.memory.rss{colour:blue}.rollup(avg, 1)"))
    now = int(time.time())

    def newest(text: str) -> int:
        return max((max(points) for points in query(text).values()), default=0)

    until(lambda: newest("avg:shop.cpu.percent{colour:blue}.rollup(avg, 1)") > now + 1)
    assert newest("sum:shop.requests{colour:blue}.as_count().rollup(sum, 1)") <= now
    assert newest("sum:shop.requests{colour:green}.as_count().rollup(sum, 1)") > now
    memory = query("max:shop.memory.rss{*} by {colour}.rollup(max, 60)")
    assert all(10e6 < max(points.values()) < 500e6 for points in memory.values())


def test_the_newest_second_has_not_arrived_yet(query: Query, until: Wait) -> None:
    points = until(lambda: query("sum:shop.requests{colour:green}.as_count().rollup(sum, 1)"))
    assert max(points["colour:green"]) <= time.time() - 1


def test_rates_are_counts_by_the_second(query: Query, until: Wait) -> None:
    until(lambda: query("sum:shop.requests{colour:green}.as_rate()"))
    counts = query("sum:shop.requests{colour:green}.as_count().rollup(sum, 60)")["colour:green"]
    rates = query("sum:shop.requests{colour:green}.as_rate().rollup(sum, 60)")["colour:green"]
    first = min(counts)
    assert math.isclose(rates[first], counts[first] / 60, rel_tol=0.3)


@pytest.mark.parametrize(
    "text",
    [
        "median:shop.latency{*}",
        "avg:shop.latency{",
        "sum:shop.requests{*}.fill(zero)",
        "p95:shop.requests{*}",
        "sum:shop.requests{*}.rollup(mean, 10)",
        "sum:shop.errors{*}/sum:shop.requests{*}",
    ],
)
def test_what_it_does_not_know_is_an_error_inside_a_good_answer(datadog: MetricsApi, text: str) -> None:
    answer = datadog.query_metrics(int(time.time()) - 60, int(time.time()), text)
    assert answer.status == "error"
    assert answer.error.startswith("Error parsing query")
    assert answer.series == []


def test_the_second_version_gives_the_same_points(datadog: MetricsApi, query: Query, until: Wait) -> None:
    text = "sum:shop.requests{env:production} by {colour}.as_count()"
    until(lambda: query(text))
    now = int(time.time())
    attributes = {
        "from": (now - 120) * 1000,
        "to": now * 1000,
        "interval": 1000,
        "formulas": [{"formula": "a"}],
        "queries": [{"data_source": "metrics", "name": "a", "query": text}],
    }
    data: Any = {"type": "timeseries_request", "attributes": attributes}
    body = TimeseriesFormulaQueryRequest(data=data)
    found = MetricsApiV2(datadog.api_client).query_timeseries_data(body).data.attributes  # type: ignore[no-untyped-call]  # Datadog's client has none
    groups = [series.group_tags.value[0] for series in found.series.value]
    assert "colour:green" in groups
    values = found.values.value[groups.index("colour:green")].value
    points = dict(zip((at // 1000 for at in found.times.value), values, strict=True))
    first = query(text + ".rollup(sum, 1)")["colour:green"]
    assert {at: first[at] for at, value in points.items() if value} == {at: v for at, v in points.items() if v}


def test_limits_are_told(box: Sandbox) -> None:
    keys = {"dd-api-key": box.addresses.datadog_api_key, "dd-application-key": box.addresses.datadog_app_key}
    asked: dict[str, Any] = {"from": 0, "to": 60, "query": "avg:shop.cpu.percent{*}"}
    url = f"{box.addresses.datadog_url}/api/v1/query"
    answer = httpx.get(url, params=asked, headers=keys, trust_env=False)
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(answer.headers)
