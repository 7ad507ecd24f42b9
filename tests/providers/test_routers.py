"""What shifts, rollbacks and the guard rely on, held against every router: the vendors', a team's own, and the fake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from deploykit.errors import Rejected, UsageError
from deploykit.model import Colour
from deploykit.ports import Router
from tests.providers.adapters import envoy
from tests.providers.faults import Reply, serving
from tests.providers.routers import Admin, command, haproxy, programs, real_haproxy, speaking
from tests.world import FakeRouter, World


@dataclass
class Behind:
    """A router's adapter, and how the world behind it is worked.

    Attributes:
        serve: So many requests reach a colour.
        move: Somebody else sets the weights.
    """

    router: Router
    serve: Callable[[Colour, int], None]
    move: Callable[[int], None]


def of_envoy(_folder: Path, stack: ExitStack) -> Behind:
    admin, server = Admin(), stack.enter_context(serving())
    server.script = admin

    def move(blue: int) -> None:
        admin.weights.update({"blue": blue, "green": 100 - blue})

    return Behind(envoy(server.url, 2), lambda colour, n: admin.served.update({colour: admin.served[colour] + n}), move)


def of_haproxy(folder: Path, stack: ExitStack) -> Behind:
    known, place = stack.enter_context(speaking(folder))

    def move(blue: int) -> None:
        known.weights.update({"blue": blue, "green": 100 - blue})

    return Behind(haproxy(place), lambda colour, n: known.served.update({colour: known.served[colour] + n}), move)


def of_real_haproxy(folder: Path, stack: ExitStack, *, tcp: bool = False) -> Behind:
    servers = [stack.enter_context(serving()) for _ in range(2)]
    ports = tuple(int(server.url.rpartition(":")[2]) for server in servers)
    place, door = stack.enter_context(real_haproxy(folder, cast("Any", ports), tcp=tcp))
    for server in servers:
        server.reply(Reply({}))
    router = haproxy(place)

    def serve(colour: Colour, requests: int) -> None:
        before = router.weights()
        router.set_weights({"blue": 100 * (colour == "blue"), "green": 100 * (colour == "green")})
        with httpx.Client() as kept:  # one connection for all of them
            assert [kept.get(door).status_code for _ in range(requests)] == [200] * requests
        router.set_weights(before)

    return Behind(router, serve, lambda blue: haproxy(place).set_weights({"blue": blue, "green": 100 - blue}))


def of_real_haproxy_over_tcp(folder: Path, stack: ExitStack) -> Behind:
    return of_real_haproxy(folder, stack, tcp=True)


def of_a_team(folder: Path, _stack: ExitStack) -> Behind:
    programs(folder)

    def serve(colour: Colour, requests: int) -> None:
        counts = {"blue": 0, "green": 0, colour: requests}
        (folder / "counts").write_text(f'{{"blue": {counts["blue"]}, "green": {counts["green"]}}}')

    return Behind(command(folder), serve, lambda blue: _write(folder, blue))


def _write(folder: Path, blue: int) -> None:
    (folder / "state").write_text(f"{blue} {100 - blue} false\n")


def of_the_fake(folder: Path, _stack: ExitStack) -> Behind:
    world = World(folder, rate=0)

    def serve(colour: Colour, requests: int) -> None:
        world.counters[colour] += requests

    return Behind(FakeRouter(world), serve, world.shift)


ROUTERS = (of_envoy, of_haproxy, of_real_haproxy, of_real_haproxy_over_tcp, of_a_team, of_the_fake)


@pytest.fixture(params=ROUTERS, ids=lambda made: made.__name__.removeprefix("of_"))
def behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Behind]:
    with ExitStack() as stack:
        yield request.param(tmp_path, stack)


def test_weights_are_set_read_from_the_router_and_set_again(behind: Behind) -> None:
    router = behind.router
    assert router.weights() == {"blue": 0, "green": 100}
    for blue in (10, 50, 50, 100, 0):
        router.set_weights({"blue": blue, "green": 100 - blue})
        assert router.weights() == {"blue": blue, "green": 100 - blue}


def test_what_somebody_else_set_is_what_is_read(behind: Behind) -> None:
    behind.router.set_weights({"blue": 10, "green": 90})
    behind.move(30)
    assert behind.router.weights() == {"blue": 30, "green": 70}


def test_requests_are_counted_by_colour(behind: Behind) -> None:
    before = behind.router.counts()
    assert before == {"blue": 0, "green": 0}
    behind.serve("green", 7)
    assert behind.router.counts() == {"blue": 0, "green": 7}


def test_traffic_stops_and_flows_by_the_same_weights(behind: Behind) -> None:
    router = behind.router
    router.set_weights({"blue": 10, "green": 90})
    assert not router.stopped()
    for _ in range(2):
        router.stop()
        assert router.stopped()
    router.resume()
    assert not router.stopped()
    assert router.weights() == {"blue": 10, "green": 90}


@pytest.mark.parametrize("weights", [{"blue": 10}, {"blue": 50, "green": 51}, {"blue": -10, "green": 110}, {}])
def test_weights_that_are_none_are_refused_before_anything_is_asked(behind: Behind, weights: Any) -> None:
    if isinstance(behind.router, FakeRouter):
        return  # it takes what no adapter lets through
    with pytest.raises(UsageError, match="sum to 100"):
        behind.router.set_weights(weights)
    assert behind.router.weights() == {"blue": 0, "green": 100}


def test_a_real_haproxy_answers_503_while_it_is_stopped_and_keeps_what_is_under_way(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving()) for _ in range(2)]
        ports = tuple(int(server.url.rpartition(":")[2]) for server in servers)
        place, door = stack.enter_context(real_haproxy(tmp_path, cast("Any", ports)))
        router, kept = haproxy(place), stack.enter_context(httpx.Client())
        assert kept.get(door).status_code == 200
        router.stop()
        assert [kept.get(door).status_code for _ in range(5)] == [503] * 5
        router.resume()
        assert kept.get(door).status_code == 200


def test_a_real_haproxy_splits_a_kept_connection_anew_at_each_request(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving()) for _ in range(2)]
        ports = tuple(int(server.url.rpartition(":")[2]) for server in servers)
        place, door = stack.enter_context(real_haproxy(tmp_path, cast("Any", ports)))
        router, kept = haproxy(place), stack.enter_context(httpx.Client())
        for blue, reached in ((0, 0), (50, 10), (100, 20)):
            router.set_weights({"blue": blue, "green": 100 - blue})
            for server in servers:
                server.reply(Reply({}))
            assert [kept.get(door).status_code for _ in range(20)] == [200] * 20
            assert len(servers[0].asked) == reached


def test_a_real_haproxy_says_what_is_not_there(tmp_path: Path) -> None:
    with ExitStack() as stack:
        place, _ = stack.enter_context(real_haproxy(tmp_path, (1, 2)))
        for wrong, said in (
            ({"backend": "shopp"}, "Can't find backend"),
            ({"servers": {"blue": "b", "green": "green"}}, "the backend shop has no server b"),
        ):
            for ask in (Router.weights, Router.counts, Router.stopped):
                with pytest.raises(Rejected) as caught:
                    getattr(haproxy(place, **wrong), ask.__name__)()
                assert said in caught.value.what or "the backend shopp has no server" in caught.value.what
                assert "backend and servers of router" in caught.value.mend
        with pytest.raises(Rejected, match="No such backend"):
            haproxy(place, backend="shopp").set_weights({"blue": 10, "green": 90})
