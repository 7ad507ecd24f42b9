"""How production is set up, looked at over the wire: only pass is pass, in every situation of the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import redact
from deploykit.checks import configuration, service
from deploykit.context import Context
from deploykit.errors import DeploykitError
from deploykit.execution import could_not_look
from deploykit.model import Outcome, Result
from deploykit.ports import Answered
from deploykit.providers.http import HttpxHttp
from deploykit.providers.railway import RailwayPlatform
from deploykit.providers.tls import HandshakeTls
from deploykit.settings.edge import CorsSettings, RateLimitSettings, StagingSettings, TlsSettings, VariableSettings
from deploykit.settings.platform import RailwaySettings
from tests.providers.certificates import HOST, Authority, listening, showing
from tests.providers.faults import Asked, Faults, Reply, closed_port, serving
from tests.world import World

PASS, FAIL, INCONCLUSIVE, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR
ORIGIN = "https://shop.example.com"
SECRET, HOSTILE = "hunter2-hunter2-hunter2", "<img src=x onerror=alert(1)>\x1b[31m"


@dataclass
class Ports:
    """The real adapters of what is looked at here."""

    http: HttpxHttp
    platform: RailwayPlatform | None = None
    tls: HandshakeTls | None = None


@pytest.fixture
def server() -> Iterator[Faults]:
    with serving() as faults:
        yield faults


@pytest.fixture
def context(world: World, server: Faults) -> Context:
    """A run whose service, staging and platform answer as the test has the server do."""
    made = world.context(world.plan(approved=False))
    platform = RailwaySettings(url=f"{server.url}/graphql/v2", project="p", environment="e", token="env:T")
    changes = {"url": server.url, "staging": StagingSettings(url=server.url), "platform": platform}
    ports: Any = Ports(HttpxHttp(), RailwayPlatform(platform, "token", timeout=1))
    return replace(made, environment=made.environment.model_copy(update=changes), ports=ports)


def having(context: Context, **changes: Any) -> Context:
    return replace(context, environment=context.environment.model_copy(update=changes))


def look(check: Callable[[Context], Result], context: Context) -> Result:
    """A check as a run makes it: what it could not look at is an error."""
    try:
        result = check(context)
    except DeploykitError as error:
        result = could_not_look("", error)
    assert bool(result.mend) is (result.outcome is not PASS)
    return result


@pytest.mark.parametrize(
    ("check", "section"),
    [
        (configuration.variables, "variables"),
        (configuration.tls, "tls"),
        (configuration.rate_limits, "rate_limit"),
        (configuration.cors, "cors"),
    ],
)
def test_what_is_not_set_up_is_inconclusive_and_says_what_to_write(
    context: Context, server: Faults, check: Callable[[Context], Result], section: str
) -> None:
    result = look(check, context)
    assert result.outcome is INCONCLUSIVE
    assert f"[environments.production.{section}]" in result.mend
    assert server.asked == []


# --- variables

GOOD = {"SESSION_KEY": SECRET, "LOG_LEVEL": "info"}


def holding(values: Any) -> Reply:
    return Reply({"data": {"variables": values}})


VARIABLES: dict[str, tuple[list[Reply], Outcome, str]] = {
    "as they must be": ([holding(GOOD)], PASS, "all 2 variables"),
    "more than needed": ([holding({**GOOD, "OTHER": "x"})], PASS, "all 2 variables"),
    "one is missing": ([holding({"SESSION_KEY": SECRET})], FAIL, "LOG_LEVEL"),
    "one is empty": ([holding({**GOOD, "LOG_LEVEL": ""})], FAIL, "LOG_LEVEL"),
    "one is blank": ([holding({**GOOD, "LOG_LEVEL": " \n"})], FAIL, "LOG_LEVEL"),
    "one differs": ([holding({**GOOD, "SESSION_KEY": SECRET + "x"})], FAIL, "SESSION_KEY"),
    "one differs by a line's end": ([holding({**GOOD, "SESSION_KEY": SECRET + "\n"})], FAIL, "SESSION_KEY"),
    "only the candidate lacks one": ([holding(GOOD), holding({"SESSION_KEY": SECRET})], FAIL, "LOG_LEVEL"),
    "none at all": ([holding({})], FAIL, "LOG_LEVEL, SESSION_KEY"),
    "another name in another case": ([holding({"session_key": SECRET, "log_level": "info"})], FAIL, "LOG_LEVEL"),
    "no text": ([holding({**GOOD, "LOG_LEVEL": 7})], ERROR, "LOG_LEVEL is no text"),
    "null": ([holding(None)], ERROR, "withheld"),
    "rubbish": ([Reply(b"<html>welcome</html>")], ERROR, "cannot be used"),
    "a wrong token": ([Reply({"data": None, "errors": [{"message": "Not Authorized"}]})], ERROR, "Not Authorized"),
    "the vendor is down": ([Reply(b"", 503)], ERROR, "503"),
    "the vendor is silent": ([Reply(act="hang")], ERROR, "no answer within 1 s"),
    "down for the second service": ([holding(GOOD), Reply(act="reset")], ERROR, "broke"),
}


@pytest.mark.parametrize("situation", VARIABLES)
def test_variables_are_held_against_the_manifest(
    world: World, context: Context, server: Faults, situation: str
) -> None:
    replies, outcome, said = VARIABLES[situation]
    (world.home / "session-key").write_text(SECRET + "\n")
    manifest = VariableSettings(required=("LOG_LEVEL",), expected={"SESSION_KEY": "file:session-key"})
    server.reply(*replies)
    result = look(configuration.variables, having(context, variables=manifest))
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert SECRET not in result.model_dump_json()


def test_of_variables_only_names_and_how_they_compare_are_recorded(
    world: World, context: Context, server: Faults
) -> None:
    (world.home / "session-key").write_text(SECRET)
    manifest = VariableSettings(required=("LOG_LEVEL", "GONE"), expected={"SESSION_KEY": "file:session-key"})
    server.reply(holding(GOOD), holding({**GOOD, "SESSION_KEY": "something else"}))
    (table,) = look(configuration.variables, having(context, variables=manifest)).evidence.tables
    assert table.columns == ("name", "green", "blue")
    assert table.rows == (
        ("LOG_LEVEL", "there", "there"),
        ("GONE", "missing", "missing"),
        ("SESSION_KEY", "matches", "differs"),
    )
    assert redact.text("it is something else") == f"it is {redact.MASK}"


def test_an_expected_value_that_is_not_there_is_an_error_before_the_platform_is_asked(
    context: Context, server: Faults
) -> None:
    manifest = VariableSettings(expected={"SESSION_KEY": "env:NO_SUCH_VARIABLE_HERE"})
    result = look(configuration.variables, having(context, variables=manifest))
    assert (result.outcome, server.asked) == (ERROR, [])
    assert "NO_SUCH_VARIABLE_HERE" in result.mend


# --- certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


CERTIFICATES: dict[str, tuple[Outcome, str]] = {
    "good": (PASS, "1 certificates hold for 60 days and more"),
    "whole chain": (PASS, "hold"),
    "wildcard": (PASS, "hold"),
    "thirty-one days": (PASS, "31 days"),
    "thirty days": (FAIL, "it ends in 30 days; more than 30 are wanted"),
    "expired": (FAIL, "it has expired"),
    "not yet valid": (FAIL, "not yet valid"),
    "other host": (FAIL, "not for this host name"),
    "incomplete chain": (FAIL, "incomplete"),
    "unknown authority": (FAIL, "not trusted"),
    "self-signed": (FAIL, "signed by itself"),
}


def hosts(context: Context, authority: Authority, *ports: int) -> Context:
    """The context with these ports as hosts; its port for TLS trusts the authority."""
    settings = TlsSettings.model_validate(
        {"hosts": [{"name": HOST, "address": "127.0.0.1", "port": port} for port in ports]}
    )
    ports_: Any = replace(context.ports, tls=HandshakeTls(authority.file, timeout=1))  # type: ignore[type-var]  # ours
    return replace(having(context, tls=settings), ports=ports_)


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_certificates_are_judged_by_chain_host_name_and_days(context: Context, authority: Authority, kind: str) -> None:
    outcome, said = CERTIFICATES[kind]
    with showing(authority.files[kind]) as port:
        result = look(configuration.tls, hosts(context, authority, port))
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary


def test_a_host_that_is_down_or_speaks_rubbish_is_an_error(context: Context, authority: Authority) -> None:
    assert look(configuration.tls, hosts(context, authority, closed_port())).outcome is ERROR
    with listening(lambda connection: connection.sendall(b"220 mail\r\n")) as port:
        assert look(configuration.tls, hosts(context, authority, port)).outcome is ERROR


def test_each_host_is_looked_at_and_the_worst_counts(context: Context, authority: Authority) -> None:
    with ExitStack() as stack:
        good, old = (stack.enter_context(showing(authority.files[kind])) for kind in ("good", "expired"))
        down = closed_port()
        result = look(configuration.tls, hosts(context, authority, good, down, old))
    assert result.outcome is FAIL
    (table,) = result.evidence.tables
    assert [row[0] for row in table.rows] == [f"{HOST}:{port}" for port in (good, down, old)]
    assert [bool(row[3]) for row in table.rows] == [True, False, True]
    assert table.rows[0][:3] == (f"{HOST}:{good}", "holds", "60")


# --- rate limits

TOLD = {"Retry-After": "7", "RateLimit-Limit": "20", "RateLimit-Remaining": "0"}
LIMIT = RateLimitSettings.model_validate(
    {"path": "/products/1", "burst": 5, "within": "2s", "headers": {"x-client-key": "deploykit"}}
)
OK, BUSY = Reply({}), Reply({}, 429, TOLD)
RATES: dict[str, tuple[list[Reply], Outcome, str]] = {
    "met in the burst": ([OK, OK, BUSY], PASS, "request 3 of 5 met 429"),
    "met with the last request": ([OK, OK, OK, OK, BUSY], PASS, "request 5 of 5"),
    "told in the older headers": ([Reply({}, 429, {"Retry-After": "7", "X-RateLimit-Limit": "5"})], PASS, "429"),
    "never met": ([OK], FAIL, "5 requests in"),
    "met one too late": ([OK, OK, OK, OK, OK, BUSY], FAIL, "met no limit"),
    "nothing is told": ([OK, Reply({}, 429)], FAIL, "without retry-after and ratelimit"),
    "not when": ([Reply({}, 429, {"RateLimit-Limit": "20"})], FAIL, "without retry-after"),
    "not how much": ([Reply({}, 429, {"Retry-After": "7"})], FAIL, "without ratelimit"),
    "told empty": ([Reply({}, 429, {"Retry-After": "", "RateLimit-Limit": ""})], FAIL, "without retry-after"),
    "the service breaks": ([OK, Reply({}, 500)], FAIL, "request 2 of a burst met 500"),
    "not there": ([Reply({}, 404, TOLD)], INCONCLUSIVE, "answers 404"),
    "somewhere else": ([Reply({}, 302, {"Location": "/login"})], INCONCLUSIVE, "answers 302"),
    "ill from the start": ([Reply({}, 503)], INCONCLUSIVE, "answers 503"),
    "down": ([Reply(act="reset")], ERROR, "broke"),
    "silent": ([OK, Reply(act="hang")], ERROR, "no answer within 2 s"),
}


@pytest.mark.parametrize("situation", RATES)
def test_a_burst_must_meet_the_limit_and_be_told_of_it(context: Context, server: Faults, situation: str) -> None:
    replies, outcome, said = RATES[situation]
    server.reply(*replies)
    result = look(configuration.rate_limits, having(context, rate_limit=LIMIT))
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert len(server.asked) <= LIMIT.burst
    assert {asked.headers["x-client-key"] for asked in server.asked} == {"deploykit"}


class Patient(HttpxHttp):
    """Waits for longer than it was told to."""

    def ask(self, method: str, url: str, *, headers: Mapping[str, str], timeout: float = 5.0) -> Answered:
        return super().ask(method, url, headers=headers, timeout=timeout + 5)


def test_a_burst_that_took_too_long_tells_nothing(context: Context, server: Faults) -> None:
    server.reply(OK)
    slow: Any = Ports(Patient())
    hurried = having(context, rate_limit=LIMIT.model_copy(update={"within": 0.0001, "burst": 3}))
    result = look(configuration.rate_limits, replace(hurried, ports=slow))
    assert (result.outcome, "longer than the limit's" in result.summary) == (INCONCLUSIVE, True)


def test_a_clients_key_may_be_a_secret(world: World, context: Context, server: Faults) -> None:
    (world.home / "client-key").write_text(SECRET)
    server.reply(BUSY)
    keyed = LIMIT.model_copy(update={"headers": {"x-client-key": "file:client-key"}})
    result = look(configuration.rate_limits, having(context, rate_limit=keyed))
    assert server.asked[0].headers["x-client-key"] == SECRET
    assert SECRET not in result.model_dump_json()


def test_the_headers_of_the_limit_are_kept_and_no_others(context: Context, server: Faults) -> None:
    server.reply(Reply({}, 429, {**TOLD, "X-Other": HOSTILE.replace("\x1b", "")}))
    facts = look(configuration.rate_limits, having(context, rate_limit=LIMIT)).evidence.facts
    assert facts["headers"] == {"ratelimit-limit": "20", "retry-after": "7"}


# --- CORS

WANTED = CorsSettings(path="/orders", method="PUT", headers=("content-type",), allowed=(ORIGIN,))
GRANT = {
    "Access-Control-Allow-Origin": ORIGIN,
    "Access-Control-Allow-Methods": "GET, PUT",
    "Access-Control-Allow-Headers": "Content-Type",
    "Access-Control-Allow-Credentials": "true",
    "Vary": "Origin",
}
NOTHING = Reply({}, 400)


def by_origin(allowed: Reply, others: Reply = NOTHING) -> Callable[[Asked], Reply]:
    return lambda asked: allowed if asked.headers.get("origin") == ORIGIN else others


def reflecting(asked: Asked) -> Reply:
    return Reply({}, 204, {**GRANT, "Access-Control-Allow-Origin": asked.headers["origin"]})


def granting(**changes: str) -> Reply:
    headers = {**GRANT, **{f"Access-Control-Allow-{name}": value for name, value in changes.items()}}
    return Reply({}, 204, {name: value for name, value in headers.items() if value})


def only_in_the_answer(asked: Asked) -> Reply:
    return reflecting(asked) if asked.method == "GET" else by_origin(granting())(asked)


ORIGINS: dict[str, tuple[Callable[[Asked], Reply], Outcome, str]] = {
    "as it must be": (by_origin(granting()), PASS, "1 allowed origins are granted"),
    "others get a page without a word of it": (by_origin(granting(), OK), PASS, "granted"),
    "others get the allowed one's name": (by_origin(granting(), granting()), PASS, "granted"),
    "any origin with credentials": (lambda _: granting(Origin="*"), FAIL, "any origin is granted, with credentials"),
    "any origin": (lambda _: granting(Origin="*", Credentials=""), FAIL, "any origin is granted"),
    "reflected": (reflecting, FAIL, "origins are only reflected"),
    "reflected in the answer alone": (only_in_the_answer, FAIL, "GET from https://stranger.invalid"),
    "null": (by_origin(granting(), granting(Origin="null")), FAIL, "from null"),
    "not granted": (lambda _: NOTHING, FAIL, "it is not granted, but nothing"),
    "another origin": (by_origin(granting(Origin="https://shop.example.org")), FAIL, "but https://shop.example.org"),
    "two origins": (by_origin(granting(Origin=f"{ORIGIN}, https://b.example")), FAIL, "it is not granted"),
    "the method is missing": (by_origin(granting(Methods="GET, POST")), FAIL, "PUT is not granted"),
    "any method, with credentials": (by_origin(granting(Methods="*")), FAIL, "PUT is not granted"),
    "a header is missing": (by_origin(granting(Headers="x-other")), FAIL, "not all of these headers"),
    "granted by a refusal": (by_origin(Reply({}, 403, GRANT)), FAIL, "the preflight answers 403"),
    "no service behind it": (lambda _: Reply({}, 503), INCONCLUSIVE, "no answer of the service"),
    "the limit came first": (lambda _: Reply({}, 429), INCONCLUSIVE, "no answer of the service"),
    "ill for strangers": (by_origin(granting(), Reply({}, 500)), INCONCLUSIVE, "no answer of the service"),
    "reflected by an ill service": (
        by_origin(granting(), Reply({}, 500, {"Access-Control-Allow-Origin": "*"})),
        FAIL,
        "any origin",
    ),
    "down": (lambda _: Reply(act="reset"), ERROR, "broke"),
    "down for strangers": (by_origin(granting(), Reply(act="drop")), ERROR, "broke"),
    "rubbish": (lambda _: Reply(b"\x00\xff", 200, {"Access-Control-Allow-Origin": ", ,;"}), FAIL, "not granted"),
}


@pytest.mark.parametrize("situation", ORIGINS)
def test_allowed_origins_are_granted_and_no_other(context: Context, server: Faults, situation: str) -> None:
    server.script, outcome, said = ORIGINS[situation]
    result = look(configuration.cors, having(context, cors=WANTED))
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary


def test_a_preflight_asks_for_what_is_needed_and_strangers_ask_too(context: Context, server: Faults) -> None:
    server.script = by_origin(granting())
    wanted = WANTED.model_copy(update={"forbidden": ("https://evil.example",)})
    look(configuration.cors, having(context, cors=wanted))
    first = server.asked[0]
    assert (first.method, first.path, first.headers["origin"]) == ("OPTIONS", "/orders", ORIGIN)
    assert first.headers["access-control-request-method"] == "PUT"
    assert first.headers["access-control-request-headers"] == "content-type"
    others = [(asked.method, asked.headers["origin"]) for asked in server.asked[1:]]
    strangers = ("https://evil.example", "https://stranger.invalid", "null")
    assert others == [(method, origin) for origin in strangers for method in ("OPTIONS", "GET")]


def test_a_public_api_without_credentials_needs_no_list_of_methods(context: Context, server: Faults) -> None:
    server.script = by_origin(granting(Methods="*", Headers="*", Credentials=""))
    assert look(configuration.cors, having(context, cors=WANTED)).outcome is PASS


PARTS = st.sampled_from([ORIGIN, "*", "null", "https://a.example", ",", " ", ", ", ORIGIN.upper(), ""])


@given(st.lists(PARTS, max_size=4).map("".join), st.sampled_from(["true", "false", "TRUE", ""]))
def test_a_grant_is_what_a_browser_takes_for_one(grant: str, credentials: str) -> None:
    """Fetch standard, CORS check: `*` without credentials, or the origin byte by byte."""
    headers = {"access-control-allow-origin": grant, "access-control-allow-credentials": credentials}
    answer = Answered(204, None, "", 0.01, headers)
    wanted = CorsSettings(path="/", allowed=(ORIGIN,))
    taken = grant.strip(" ") == ORIGIN or (grant.strip(" ") == "*" and credentials.lower() != "true")
    assert (configuration._not_granted(wanted, ORIGIN, answer) == "") is taken
    # To a stranger, more than a browser takes is too much.
    assert configuration._granted(ORIGIN, answer) or not taken


# --- health endpoints

WELL = Reply({"status": "ok"})
HEALTH: dict[str, tuple[list[Reply], Outcome, str]] = {
    "both are well": ([WELL], PASS, "production: the health endpoint answers 200"),
    "production is ill": ([Reply({}, 503), WELL], FAIL, "production: the health endpoint answers 503"),
    "staging is ill": ([WELL, Reply({}, 500)], FAIL, "staging: the health endpoint answers 500"),
    "the body says otherwise": ([Reply({"status": "failed"}), WELL], FAIL, "lacks 'ok'"),
    "an empty body": ([WELL, Reply(b"")], FAIL, "lacks 'ok'"),
    "rubbish": ([Reply(b"<html>\x00\xff"), WELL], FAIL, "lacks 'ok'"),
    "somewhere else": ([Reply({"status": "ok"}, 302), WELL], FAIL, "answers 302"),
    "production is down": ([Reply(act="reset"), WELL], ERROR, "production: the health endpoint did not answer"),
    "staging is silent": ([WELL, Reply(act="hang")], ERROR, "staging: the health endpoint did not answer"),
    "one is ill and one is down": ([Reply(act="reset"), Reply({}, 500)], FAIL, "staging"),
}


@pytest.fixture
def asking(context: Context) -> Context:
    health = context.environment.health.model_copy(update={"contains": "ok", "within": 1.0})
    return having(context, health=health)


@pytest.mark.parametrize("situation", HEALTH)
def test_both_health_endpoints_must_be_well(asking: Context, server: Faults, situation: str) -> None:
    replies, outcome, said = HEALTH[situation]
    server.reply(*replies)
    result = look(service.health_endpoints, asking)
    assert (result.outcome, said in result.summary) == (outcome, True), result.summary
    assert [row[0] for row in result.evidence.tables[0].rows] == ["production", "staging"]


def test_without_staging_it_is_at_best_inconclusive(asking: Context, server: Faults) -> None:
    server.reply(WELL)
    result = look(service.health_endpoints, having(asking, staging=None))
    assert (result.outcome, "[environments.production.staging]" in result.mend) == (INCONCLUSIVE, True)
    server.reply(Reply({}, 500))
    assert look(service.health_endpoints, having(asking, staging=None)).outcome is FAIL


# --- hostile text


def test_text_from_outside_stays_data(context: Context, server: Faults) -> None:
    server.script = lambda _: Reply(HOSTILE.encode(), 200, {"Access-Control-Allow-Origin": HOSTILE.replace("\x1b", "")})
    for check in (configuration.cors, service.health_endpoints):
        result = look(check, having(context, cors=WANTED))
        json.loads(result.model_dump_json())
        assert len(result.summary) < 400


def test_settings_are_refused_that_mean_nothing() -> None:
    wrongs: list[dict[str, Any]] = [{"allowed": []}, {"allowed": ["https://a/"]}, {"allowed": ["*"]}, {"pth": "/x"}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="validation error"):
            CorsSettings.model_validate({"path": "/x", "allowed": [ORIGIN], **wrong})
    with pytest.raises(ValueError, match="less than or equal to 1000"):
        RateLimitSettings(path="/x", burst=100_000)
    assert Path("ca.pem") == TlsSettings.model_validate({"hosts": [{"name": "a"}], "ca": "ca.pem"}).ca
