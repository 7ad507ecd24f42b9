"""What every call of every adapter does when the system behind it fails, over real HTTP."""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from deploykit.errors import ProviderError, Rejected, Unreachable
from tests.providers.adapters import CASES, TOKEN, Case
from tests.providers.faults import Faults, Reply, closed_port, mangled, refused, serving

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
asking = pytest.mark.parametrize("case", [case for case in CASES if not case.changes], ids=lambda case: case.name)
changing = pytest.mark.parametrize("case", [case for case in CASES if case.changes], ids=lambda case: case.name)

DOUBT = "Whether the change happened is not known"
UNUSABLE = (
    b"", b"   ", b"{", b'{"data": ', b"null", b"[]", b"[1]", b'"text"', b"0", b"{}", b"<html><h1>Welcome</h1></html>",
    b"[" * 100_000, b"\xff\xfe\x00", b"NaN", b'{"errors": null, "data": null}',
)  # fmt: skip


@each
def test_a_good_answer_is_read(case: Case, server: Faults) -> None:
    server.reply(Reply(case.good))
    case.at(server.url)()
    assert len(server.asked) == case.takes


@each
def test_where_nobody_listens_nothing_was_sent(case: Case) -> None:
    with pytest.raises(Unreachable, match="nothing was sent") as caught:
        case.at(f"http://127.0.0.1:{closed_port()}")()
    assert DOUBT not in str(caught.value)
    assert caught.value.mend
    assert case.name.split(".")[0] in caught.value.where.lower()


@each
def test_no_answer_in_time_is_unreachable_and_says_how_long(case: Case, server: Faults) -> None:
    server.reply(Reply(act="hang"))
    with pytest.raises(Unreachable, match="no answer within 1 s") as caught:
        case.at(server.url, timeout=1)()
    assert (DOUBT in str(caught.value)) is case.changes
    assert len(server.asked) == 1


@changing
@pytest.mark.parametrize("act", ["drop", "reset", "cut"])
def test_a_change_whose_reply_is_lost_is_in_doubt_and_not_repeated(case: Case, act: str, server: Faults) -> None:
    server.reply(Reply(case.good, act=act))
    with pytest.raises(Unreachable, match=DOUBT):
        case.at(server.url)()
    assert len(server.asked) == 1


@asking
@pytest.mark.parametrize("fault", [Reply(act="drop"), Reply(act="reset"), Reply(b"{...}", act="cut"), Reply(b"", 502)])
def test_a_question_is_asked_once_more_after_a_passing_fault(case: Case, fault: Reply, server: Faults) -> None:
    server.reply(fault, Reply(case.good))
    case.at(server.url)()
    assert len(server.asked) == 1 + case.takes
    server.reply(fault)
    with pytest.raises(Unreachable):
        case.at(server.url)()
    assert len(server.asked) == 2


@each
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_fault_of_the_server_is_unreachable(case: Case, status: int, server: Faults) -> None:
    server.reply(Reply({"message": "out of order"}, status))
    with pytest.raises(Unreachable, match=str(status)) as caught:
        case.at(server.url)()
    assert (DOUBT in str(caught.value)) is case.changes
    assert len(server.asked) == (2 if status in {502, 503} and not case.changes else 1)


@each
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
@pytest.mark.parametrize("key", ["message", "error", "errors"])
def test_a_refusal_is_rejected_in_the_vendors_words(case: Case, status: int, key: str, server: Faults) -> None:
    said = f"no \x1b[31mway\x1b[0m\u202e for {TOKEN}" + " because" * 100
    server.reply(Reply({key: [said] if key == "errors" else said}, status))
    if status in case.usable:
        assert refused(case.at(server.url)) is None
        return
    with pytest.raises(Rejected) as caught:
        case.at(server.url)()
    text = str(caught.value)
    assert str(status) in text or "said no" in text
    assert len(text) < 700
    assert TOKEN not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    if status == 401:
        assert case.token in caught.value.mend
    if key == "message" and case.name.startswith(("github", "envoy", "railway")):
        assert r"no way\u202e for [redacted] because" in text
    assert len(server.asked) == 1


@pytest.mark.parametrize("case", [case for case in CASES if case.patient], ids=lambda case: case.name)
@pytest.mark.parametrize(("header", "waited"), [(None, 1.0), ("2", 2.0), ("0", 0.0), ("soon", 1.0), ("-3", 0.0)])
def test_a_short_limit_is_waited_out(
    case: Case, header: str | None, waited: float, server: Faults, slept: list[float]
) -> None:
    limit = Reply({"error": "ratelimited"}, 429, {"Retry-After": header} if header else {})
    server.reply(limit, Reply(case.good))
    case.at(server.url)()
    assert slept == [waited]
    server.reply(limit)
    with pytest.raises(Unreachable, match="too many requests, so it was not done") as caught:
        case.at(server.url)()
    assert DOUBT not in str(caught.value)
    assert len(server.asked) == 2


@each
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_long_limit_is_not_waited_out(case: Case, form: str, server: Faults, slept: list[float]) -> None:
    header = "3600" if form == "seconds" else format_datetime(datetime.now(UTC) + timedelta(hours=1))
    server.reply(Reply({"error": "ratelimited"}, 429, {"Retry-After": header}))
    with pytest.raises(Unreachable, match=r"it asks to wait 3[56]\d\d s"):
        case.at(server.url)()
    assert slept == []
    assert len(server.asked) == 1


@asking
@pytest.mark.parametrize("body", UNUSABLE, ids=lambda body: repr(body[:15]))
def test_a_question_with_an_unusable_answer_is_rejected(case: Case, body: bytes, server: Faults) -> None:
    server.reply(Reply(body))
    if body in case.usable:
        case.at(server.url)()
        return
    with pytest.raises(Rejected):
        case.at(server.url)()


@changing
@pytest.mark.parametrize("body", UNUSABLE, ids=lambda body: repr(body[:15]))
def test_a_change_with_an_unusable_answer_is_in_doubt(case: Case, body: bytes, server: Faults) -> None:
    server.reply(Reply(body))
    with pytest.raises(Unreachable, match=DOUBT):
        case.at(server.url)()


@each
def test_html_with_success_is_no_success(case: Case, server: Faults) -> None:
    server.reply(Reply(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"}))
    with pytest.raises(Unreachable if case.changes else Rejected, match="cannot be used"):
        case.at(server.url)()


@each
def test_anything_wrong_in_an_answer_is_read_or_refused(case: Case, server: Faults) -> None:
    call = case.at(server.url)
    for place, broken in mangled(case.good):
        server.reply(Reply(broken))
        error = refused(call)
        # What may have happened is never called refused, and what was asked is never called in doubt.
        assert error is None or (DOUBT in str(error)) is (case.changes and isinstance(error, Unreachable)), place
        assert len(str(error)) < 700


@each
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_a_success(case: Case, status: int, server: Faults) -> None:
    server.reply(Reply(b"", status, {"Location": f"{server.url}/elsewhere"}), Reply(b"<title>Sign in</title>"))
    with pytest.raises(ProviderError):
        case.at(server.url)()


@pytest.mark.parametrize("name", ["datadog.logs.search", "slack.find", "slack.post"])
def test_an_answer_that_drips_in_is_late(name: str, server: Faults) -> None:
    case = next(case for case in CASES if case.name == name)
    server.reply(Reply(case.good, act="drip"))
    with pytest.raises(Unreachable, match="no answer within 1 s") as caught:
        case.at(server.url, timeout=1)()
    assert (DOUBT in str(caught.value)) is case.changes


@pytest.mark.parametrize("case", [c for c in CASES if c.name.startswith(("datadog", "slack"))], ids=lambda c: c.name)
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_takes_the_keys_nowhere(case: Case, status: int, server: Faults) -> None:
    with serving() as elsewhere:
        elsewhere.reply(Reply(case.good))
        server.reply(Reply(b"", status, {"Location": f"{elsewhere.url}/elsewhere"}))
        with pytest.raises(ProviderError):
            case.at(server.url)()
        assert elsewhere.asked == []


@changing
@pytest.mark.parametrize("status", [201, 202, 204])
def test_a_success_of_another_kind_leaves_a_change_open(case: Case, status: int, server: Faults) -> None:
    server.reply(Reply(b"", status))
    with pytest.raises(Unreachable, match=DOUBT):
        case.at(server.url)()


@changing
def test_what_is_being_handled_is_not_taken_for_the_fault(case: Case, server: Faults) -> None:
    server.reply(Reply(act="drop"))
    try:
        case.at(f"http://127.0.0.1:{closed_port()}")()
    except Unreachable:
        with pytest.raises(Unreachable, match=DOUBT):
            case.at(server.url)()


@each
def test_keys_are_in_no_log_and_no_error(case: Case, server: Faults, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    call = case.at(server.url)
    server.reply(Reply(case.good))
    call()
    assert TOKEN not in caplog.text
    for fault in (Reply({"message": TOKEN}, 401), Reply(f"<p>{TOKEN}".encode())):
        server.reply(fault)
        with pytest.raises(ProviderError) as caught:
            call()
        assert TOKEN not in "".join(traceback.format_exception_only(caught.value))
