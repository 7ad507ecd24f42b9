"""HAProxy's adapter when things go wrong, against a stand-in of its Runtime API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploykit.errors import Rejected, Unreachable
from deploykit.providers.haproxy import HaproxyRouter
from tests.providers.faults import closed_port
from tests.providers.routers import Runtime, haproxy, speaking

DOUBT = "Whether the change happened is not known"
QUESTIONS: dict[str, Callable[[HaproxyRouter], object]] = {
    "weights": HaproxyRouter.weights,
    "counts": HaproxyRouter.counts,
    "stopped": HaproxyRouter.stopped,
}
CHANGES: dict[str, Callable[[HaproxyRouter], object]] = {
    "set_weights": lambda router: router.set_weights({"blue": 10, "green": 90}),
    "stop": HaproxyRouter.stop,
    "resume": HaproxyRouter.resume,
}
each = pytest.mark.parametrize("call", {**QUESTIONS, **CHANGES}.values(), ids=[*QUESTIONS, *CHANGES])
asking = pytest.mark.parametrize("call", QUESTIONS.values(), ids=QUESTIONS)
changing = pytest.mark.parametrize("call", CHANGES.values(), ids=CHANGES)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[tuple[Runtime, str]]:
    with speaking(tmp_path) as known:
        yield known


@pytest.mark.parametrize(("blue", "first"), [(10, "green"), (50, "blue"), (90, "blue"), (100, "blue"), (0, "green")])
def test_both_weights_are_one_line_the_larger_first_so_that_nobody_serves_at_no_time(
    runtime: tuple[Runtime, str], blue: int, first: str
) -> None:
    known, place = runtime
    haproxy(place).set_weights({"blue": blue, "green": 100 - blue})
    change, look = known.lines
    wanted = {"blue": blue, "green": 100 - blue}
    other = "green" if first == "blue" else "blue"
    assert change == f"set server shop/{first} weight {wanted[first]}; set server shop/{other} weight {wanted[other]}"
    assert look == "show servers state shop"


def test_servers_may_be_called_otherwise(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.weights = {"web-b": 0, "web-g": 100}
    known.state = {"web-b": 0, "web-g": 0}
    router = haproxy(place, servers={"blue": "web-b", "green": "web-g"})
    router.set_weights({"blue": 10, "green": 90})
    assert known.weights == {"web-b": 10, "web-g": 90}


def test_counts_are_of_this_backend_alone(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.served = {"blue": 5, "green": 7}
    assert haproxy(place).counts() == {"blue": 5, "green": 7}


def test_one_server_in_maintenance_is_not_stopped(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.state["blue"] = 1
    assert not haproxy(place).stopped()
    known.act = "nothing"
    with pytest.raises(Rejected, match="in force are maintenance, ready"):
        haproxy(place).stop()


def test_a_proxy_that_accepts_and_does_not_apply_is_rejected(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.act = "nothing"
    with pytest.raises(Rejected, match="does not apply them: in force are blue 0, green 100"):
        haproxy(place).set_weights({"blue": 10, "green": 90})


def test_a_socket_that_may_not_change_says_what_it_needs(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.act = "deny"
    with pytest.raises(Rejected, match="Permission denied") as caught:
        haproxy(place).stop()
    assert caught.value.mend == "give the stats socket `level admin`"


def test_half_a_refusal_leaves_the_change_in_doubt(runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    del known.weights["green"]
    with pytest.raises(Unreachable, match=f"did one of two: No such server.*{DOUBT}"):
        haproxy(place).set_weights({"blue": 10, "green": 90})
    assert known.weights == {"blue": 10}


@pytest.mark.parametrize("call", {**QUESTIONS, **CHANGES}.values(), ids=[*QUESTIONS, *CHANGES])
def test_where_nobody_listens_nothing_was_sent(call: Callable[[HaproxyRouter], object], tmp_path: Path) -> None:
    for place in (str(tmp_path / "none.sock"), f"127.0.0.1:{closed_port()}", "127.0.0.1:99999"):
        with pytest.raises(Unreachable, match="nothing was sent") as caught:
            call(haproxy(place))
        assert DOUBT not in str(caught.value)
        assert "router.socket" in caught.value.mend


@each
def test_no_answer_in_time_is_unreachable(
    call: Callable[[HaproxyRouter], object], runtime: tuple[Runtime, str]
) -> None:
    known, place = runtime
    known.act = "hang"
    with pytest.raises(Unreachable, match=r"no answer within 0\.2 s") as caught:
        call(haproxy(place, 0.2))
    assert (DOUBT in str(caught.value)) is (call in CHANGES.values())
    assert len(known.lines) == 1


@asking
def test_an_answer_that_drips_in_is_late(call: Callable[[HaproxyRouter], object], runtime: tuple[Runtime, str]) -> None:
    known, place = runtime
    known.act = "drip"
    with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
        call(haproxy(place, 0.2))


@pytest.mark.parametrize("act", ["cut", "silent"])
@asking
def test_a_question_is_asked_once_more_after_half_an_answer(
    call: Callable[[HaproxyRouter], object], act: str, runtime: tuple[Runtime, str]
) -> None:
    known, place = runtime
    known.act = act
    with pytest.raises(Unreachable, match="the connection broke"):
        call(haproxy(place))
    assert len(known.lines) == 2


@pytest.mark.parametrize("act", ["cut", "silent"])
@changing
def test_a_change_whose_answer_is_lost_is_in_doubt_and_not_repeated(
    call: Callable[[HaproxyRouter], object], act: str, runtime: tuple[Runtime, str]
) -> None:
    known, place = runtime
    known.act = act
    with pytest.raises(Unreachable, match=DOUBT):
        call(haproxy(place))
    assert len(known.lines) == 1


@pytest.mark.parametrize(
    "said",
    ["1\n\n", "<html>\n<p>\n\n", "1\n# be_name srv_name\nshop blue\nshop green\n\n", "\ufffd\n\n", "# a\nb\n\n"],
)
@asking
def test_an_answer_of_no_use_is_rejected(
    call: Callable[[HaproxyRouter], object], said: str, runtime: tuple[Runtime, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, place = runtime
    monkeypatch.setattr(known, "answer", lambda _line: said)
    with pytest.raises(Rejected):
        call(haproxy(place))


@pytest.mark.parametrize("weight", ["ten", "-5", "1e1", "٣", "9" * 30])
def test_a_weight_that_is_no_number_is_none(
    weight: str, runtime: tuple[Runtime, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, place = runtime
    known.weights["blue"] = weight  # type: ignore[assignment]  # wrong on purpose
    with pytest.raises(Rejected, match="not a whole number"):
        haproxy(place).weights()


def test_a_rollback_does_not_wait_for_imports() -> None:
    code = (
        "import sys, deploykit.providers.haproxy, deploykit.providers.command_router;"
        "print([m for m in ('httpx', 'rich', 'requests', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
