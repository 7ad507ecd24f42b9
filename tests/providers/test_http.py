from __future__ import annotations

import time
from typing import Any

import pytest

from deploykit.errors import ProviderError, Unreachable
from deploykit.providers.http import LARGEST, HttpxHttp
from tests.providers.adapters import TOKEN
from tests.providers.faults import Faults, Reply, closed_port


@pytest.mark.parametrize("status", [200, 204, 302, 401, 404, 429, 500, 503])
def test_any_status_is_an_answer_and_is_asked_for_once(status: int, server: Faults) -> None:
    body = b"" if status == 204 else b'{"version": "1.2.3"}'
    server.reply(Reply(body, status, {"Location": f"{server.url}/else", "X-Seen": "yes", "Set-Cookie": "session=1"}))
    before = time.perf_counter()
    answer = HttpxHttp().get(f"{server.url}/version")
    assert answer.status == status
    assert answer.body == ({"version": "1.2.3"} if body else None)
    assert answer.text == body.decode()
    assert 0 < answer.seconds <= time.perf_counter() - before
    assert answer.headers["x-seen"] == "yes"
    assert "set-cookie" not in answer.headers
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", [b"", b"fine", b"[1]", b"{", b"NaN", b'{"a": NaN}', b"[" * 60_000, b"\xff\xfe"])
def test_what_is_no_json_object_is_text(body: bytes, server: Faults) -> None:
    server.reply(Reply(body))
    answer = HttpxHttp().get(server.url)
    assert answer.body is None
    assert answer.text == body.decode("utf-8", "replace")


def test_a_body_is_cut(server: Faults) -> None:
    server.reply(Reply(b"x" * (LARGEST * 3)))
    assert len(HttpxHttp().get(server.url).text) == LARGEST


@pytest.mark.parametrize("act", ["drop", "reset", "cut"])
def test_a_broken_connection_is_unreachable_and_not_asked_again(act: str, server: Faults) -> None:
    server.reply(Reply(b"fine", act=act))
    with pytest.raises(Unreachable):
        HttpxHttp().get(server.url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("reply", [Reply(act="hang"), Reply(b"x" * 100, act="drip")])
def test_a_slow_answer_ends_in_time(reply: Reply, server: Faults) -> None:
    server.reply(reply)
    before = time.perf_counter()
    with pytest.raises(Unreachable, match=r"no answer within 0.5 s"):
        HttpxHttp().get(server.url, timeout=0.5)
    assert time.perf_counter() - before < 2


@pytest.mark.parametrize("place", ["http://", "ftp://x/", "nonsense", "http://[", "http://a b/", "http://h:99999999/"])
def test_an_address_that_is_none_is_a_providers_error(place: str) -> None:
    with pytest.raises(ProviderError):
        HttpxHttp().get(place)


def test_an_error_names_the_place_without_user_and_query() -> None:
    port = closed_port()
    with pytest.raises(Unreachable) as caught:
        HttpxHttp().get(f"http://user:{TOKEN}@127.0.0.1:{port}/health?key=hunter2")
    text = str(caught.value)
    assert f"GET http://127.0.0.1:{port}/health" in text
    assert "hunter2" not in text
    assert "user" not in text


def test_another_method_is_asked_with_its_headers(server: Faults) -> None:
    server.reply(Reply(b"", 204, {"Access-Control-Allow-Origin": "https://a.example"}))
    answer = HttpxHttp().ask("OPTIONS", f"{server.url}/orders", headers={"Origin": "https://a.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "https://a.example")
    assert (server.asked[0].method, server.asked[0].headers["origin"]) == ("OPTIONS", "https://a.example")


def test_a_header_that_is_none_is_a_providers_error_and_is_not_sent(server: Faults) -> None:
    with pytest.raises(ProviderError):
        HttpxHttp().ask("GET", server.url, headers={"x-key": "a\r\nx-evil: b"})
    assert server.asked == []


def test_a_cookie_is_not_sent_back(server: Faults) -> None:
    http: Any = HttpxHttp()
    server.reply(Reply({}, headers={"Set-Cookie": "session=1"}))
    http.get(server.url)
    http.get(server.url)
    assert "cookie" not in server.asked[1].headers
