"""One sandbox for all tests here, and the vendors' own clients pointed at its stand-ins."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.api.metrics_api import MetricsApi
from gql import Client, GraphQLRequest
from gql.transport.httpx import HTTPXTransport
from slack_sdk import WebClient

from deploykit.sandbox import Sandbox

Until = Callable[[Callable[[], Any]], Any]
Ask = Callable[..., dict[str, Any]]
Query = Callable[[str], dict[str, dict[int, float]]]

DEPLOY = (
    "mutation($e:String!,$s:String!,$c:String) {serviceInstanceDeployV2(environmentId:$e,serviceId:$s,commitSha:$c)}"
)
STATUS = "query($i:String!) {deployment(id:$i) {status canRollback}}"


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox.start(tmp_path_factory.mktemp("sandbox"), rate=150.0) as running:
        yield running


@pytest.fixture(scope="session")
def until() -> Until:
    """Asks until the answer is true, and returns it."""

    def wait(ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 30.0
        while not (answer := ask()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)
        return answer

    return wait


@pytest.fixture
def slack(box: Sandbox) -> WebClient:
    return WebClient(token=box.addresses.slack_token, base_url=box.addresses.slack_url, retry_handlers=[])


@pytest.fixture
def datadog(box: Sandbox) -> Iterator[MetricsApi]:
    keys = {"apiKeyAuth": box.addresses.datadog_api_key, "appKeyAuth": box.addresses.datadog_app_key}
    configuration = Configuration(host=box.addresses.datadog_url, api_key=keys)  # type: ignore[no-untyped-call]  # Datadog's client has none
    with ApiClient(configuration) as client:
        yield MetricsApi(client)  # type: ignore[no-untyped-call]  # Datadog's client has none


@pytest.fixture
def query(datadog: MetricsApi) -> Query:
    """The points by scope of a query over the last ten minutes."""

    def ask(text: str) -> dict[str, dict[int, float]]:
        now = int(time.time())
        answer = datadog.query_metrics(now - 600, now + 1, text)
        assert answer.status == "ok", answer.error
        return {s.scope: {int(p.value[0]) // 1000: float(p.value[1]) for p in s.pointlist} for s in answer.series}

    return ask


@pytest.fixture
def railway(box: Sandbox) -> Iterator[Ask]:
    """Runs a document against Railway with gql."""
    headers = {"Authorization": f"Bearer {box.addresses.railway_token}"}
    transport = HTTPXTransport(url=box.addresses.railway_url, headers=headers, trust_env=False)
    with Client(transport=transport) as session:

        def ask(text: str, **variables: Any) -> dict[str, Any]:
            return dict(session.execute(GraphQLRequest(text, variable_values=variables)))

        yield ask


@pytest.fixture
def deploy(box: Sandbox, railway: Ask) -> Callable[[str], str]:
    """Deploys a commit to blue and returns the deployment's id."""

    def begin(commit: str) -> str:
        ids = {"e": box.addresses.railway_environment_id, "s": box.addresses.railway_blue_id}
        return str(railway(DEPLOY, **ids, c=commit)["serviceInstanceDeployV2"])

    return begin


@pytest.fixture
def settle(railway: Ask, until: Until) -> Callable[[str], str]:
    """Waits for a deployment to come to an end and returns its status."""

    def ended(identifier: str) -> str:
        status = str(railway(STATUS, i=identifier)["deployment"]["status"])
        return status if status in ("SUCCESS", "FAILED", "CRASHED") else ""

    return lambda identifier: str(until(lambda: ended(identifier)))


@pytest.fixture
def split(box: Sandbox) -> Iterator[Callable[[int], None]]:
    """Sends a percentage of the traffic to blue, and none when the test is over."""

    def shift(blue: int) -> None:
        weights = {"routing.traffic_split.green": 100 - blue, "routing.traffic_split.blue": blue}
        url = f"{box.addresses.envoy_admin_url}/runtime_modify"
        httpx.post(url, params=weights, trust_env=False).raise_for_status()

    yield shift
    shift(0)
