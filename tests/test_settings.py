from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit import redact, settings
from deploykit.errors import Exit, UsageError
from deploykit.settings import types

WHOLE = """
[service]
name = "shop"

[environments.production]
url = "https://shop.example"
timezone = "Europe/Berlin"

[environments.production.colours.blue]
url = "https://blue.shop.example"
platform_service = "shop-blue"

[environments.production.colours.green]
url = "https://green.shop.example"
platform_service = "shop-green"

[environments.production.router]
url = "http://router.internal:9901"

[environments.production.platform]
project = "p1"
environment = "production"
token = "env:RAILWAY_TOKEN"

[github]
repository = "shop/shop"
token = "env:GITHUB_TOKEN"

[metrics]
api_key = "env:DD_API_KEY"
app_key = "file:secrets/dd_app_key"
requests = "sum:requests{colour:$colour}"
errors = "sum:errors{colour:$colour}"
slow = "sum:slow{colour:$colour}"
p95 = "p95:latency{colour:$colour}"

[chat]
token = "env:SLACK_TOKEN"

[shift]
hold_limit = "15m"

[signing]
allowed_signers = "allowed_signers"
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / settings.FILE
        path.write_text(text, "utf-8")
        return path

    return _write


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        settings.load(path)
    assert caught.value.exit_code is Exit.USAGE
    assert caught.value.where
    return str(caught.value)


def test_a_whole_file_loads_with_typed_values_and_the_file_hash(write: Write) -> None:
    path = write(WHOLE)
    loaded = settings.load(path)
    assert loaded.shift.hold_limit == 900.0
    assert loaded.environment("production").colours["blue"].platform_service == "shop-blue"
    assert loaded.home == path.parent
    before = loaded.digest
    assert len(before) == 64
    assert settings.load(write(WHOLE + "\n# a comment counts: approved is the file\n")).digest != before


ROUTER = 'url = "http://router.internal:9901"'
HAPROXY = 'kind = "haproxy"\nsocket = "/run/haproxy.sock"\nbackend = "shop"'


@pytest.mark.parametrize(
    ("router", "said"),
    [
        (ROUTER + '\nbackend = "shop"', r"router\.backend: unknown key"),
        ('kind = "haproxy"', r"router\.socket: Field required.*router\.backend: Field required"),
        (HAPROXY.replace("/run/haproxy.sock", "haproxy.sock"), r"router\.socket: String should match"),
        (HAPROXY.replace('"shop"', '"shop; shutdown"'), r"router\.backend: String should match"),
        (HAPROXY + '\nservers = { blue = "b" }', r"router\.servers: .*at least 2"),
        (HAPROXY + '\nservers = { blue = "b", red = "r" }', r"router\.servers\.red"),
        ('kind = "nginx"', r"router: kind is one of: envoy, haproxy, command"),
    ],
)
def test_a_router_of_each_kind_has_its_own_keys(write: Write, router: str, said: str) -> None:
    assert settings.load(write(WHOLE.replace(ROUTER, HAPROXY))).environment("production").router.kind == "haproxy"
    assert re.search(f"environments\\.production\\.{said}", refusal(write(WHOLE.replace(ROUTER, router))), re.DOTALL)


EDGE = """
[environments.production.variables]
required = ["LOG_LEVEL"]
expected = { SESSION_KEY = "env:SESSION_KEY" }

[environments.production.tls]
hosts = [{ name = "shop.example" }, { name = "api.shop.example", port = 8443, address = "10.0.0.7" }]
ca = "ca.pem"

[environments.production.rate_limit]
path = "/products"
burst = 50
within = "10s"

[environments.production.cors]
path = "/orders"
allowed = ["https://shop.example"]

[environments.production.staging]
url = "https://staging.shop.example"
"""


def test_what_an_environment_shows_at_its_edge_is_optional_and_typed(write: Write) -> None:
    bare = settings.load(write(WHOLE)).environment("production")
    assert (bare.variables, bare.tls, bare.rate_limit, bare.cors, bare.staging, bare.smoke_tests) == (None,) * 6
    edge = settings.load(write(WHOLE + EDGE)).environment("production")
    assert edge.tls is not None
    assert [(host.port, host.address) for host in edge.tls.hosts] == [(443, ""), (8443, "10.0.0.7")]
    assert edge.tls.days == 30
    assert edge.rate_limit is not None
    assert edge.rate_limit.within == 10.0


@pytest.mark.parametrize(
    ("right", "wrong", "place", "said"),
    [
        ("burst = 50", "brst = 50", "environments.production.rate_limit.brst", "unknown key"),
        ('"env:SESSION_KEY"', '"hunter2"', "environments.production.variables.expected.SESSION_KEY", "a reference"),
        ('["https://shop.example"]', '["https://shop.example/"]', "environments.production.cors.allowed.0", "match"),
        ("burst = 50", "burst = 50000", "environments.production.rate_limit.burst", "1000"),
        ('path = "/orders"', 'path = "orders"', "environments.production.cors.path", "match"),
        ("port = 8443", "port = 84430", "environments.production.tls.hosts.1.port", "65535"),
    ],
)
def test_a_wrong_key_at_the_edge_is_refused_with_its_place(
    write: Write, right: str, wrong: str, place: str, said: str
) -> None:
    assert right in EDGE
    text = refusal(write(WHOLE + EDGE.replace(right, wrong)))
    assert place in text
    assert said in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("right", "wrong", "place", "said"),
    [
        ("hold_limit =", "hold_limt =", "shift.hold_limt", "unknown key"),
        ("[chat]", "[chatt]", "chatt", "unknown key"),
        ("[chat]", "[chatt]", "chat", "Field required"),
        ('repository = "shop/shop"', "repository = 1", "github.repository", "valid string"),
        ('hold_limit = "15m"', "hold_limit = 15", "shift.hold_limit", "with its unit, such as 90s"),
        ('hold_limit = "15m"', 'hold_limit = "15 minutes"', "shift.hold_limit", "with its unit"),
        ('hold_limit = "15m"', 'hold_limit = "0s"', "shift.hold_limit", "greater than 0"),
        ('hold_limit = "15m"', "steps = []", "shift.steps", "at least 1 item"),
        (
            'hold_limit = "15m"',
            "steps = [{percent = 50, seconds = 1, requests = 1}]",
            "shift",
            "must rise to 100 percent; they are [50]",
        ),
        ('"Europe/Berlin"', '"Berlin"', "environments.production.timezone", "there is no time zone 'Berlin'"),
        ('"Europe/Berlin"', '"Europe"', "environments.production.timezone", "there is no time zone 'Europe'"),
        ('"Europe/Berlin"', '"../etc"', "environments.production.timezone", "there is no time zone"),
        ("colours.green]", "colours.grey]", "environments.production.colours.grey", "'blue' or 'green'"),
        ('"https://blue.shop.example"', '"blue.shop.example"', "colours.blue.url", "match pattern"),
        ('name = "shop"', 'name = "../shop"', "service.name", "match pattern"),
        ("environments.production", 'environments."../production"', "environments.../production", "match pattern"),
        ('repository = "shop/shop"', 'repository = "shop"', "github.repository", "match pattern"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_place_and_what_to_do(
    write: Write, right: str, wrong: str, place: str, said: str
) -> None:
    assert right in WHOLE
    message = refusal(write(WHOLE.replace(right, wrong)))
    line = next(line for line in message.splitlines() if place in line and said in line)
    assert line
    assert "→ mend these keys" in message


def test_every_fault_is_named_at_once(write: Write) -> None:
    message = refusal(write(WHOLE.replace("hold_limit", "hold_limt").replace("Europe/Berlin", "Berlin")))
    assert "shift.hold_limt" in message
    assert "environments.production.timezone" in message


def test_one_colour_alone_is_refused(write: Write) -> None:
    start, end = WHOLE.index("[environments.production.colours.green]"), WHOLE.index("[environments.production.router]")
    assert "both colours are needed" in refusal(write(WHOLE[:start] + WHOLE[end:]))


@pytest.mark.parametrize("own", ["home", "digest"])
def test_what_load_sets_cannot_be_set_by_the_file(write: Write, own: str) -> None:
    assert own in refusal(write(f'{own} = "x"\n{WHOLE}'))


def test_a_file_that_is_not_toml_or_not_text_or_not_there_is_named(tmp_path: Path, write: Write) -> None:
    assert "is not TOML" in refusal(write("a = = 1"))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert "is not TOML" in refusal(binary)
    assert "cannot be read" in refusal(tmp_path / "absent.toml")


@pytest.mark.parametrize("value", ["xoxb-1234567890-secret", "env:", "env:1X", "file:", "ENV:X", ""])
def test_a_secret_in_the_file_is_refused_and_not_repeated(write: Write, value: str) -> None:
    message = refusal(write(WHOLE.replace('"env:SLACK_TOKEN"', f'"{value}"')))
    assert "chat.token: a secret is a reference: env:NAME or file:PATH" in message
    assert "1234567890" not in message


def test_a_secret_is_read_from_the_environment_and_masked_from_then_on(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "xoxb-from-env")
    loaded = settings.load(write(WHOLE))
    assert loaded.resolve(loaded.chat.token) == "xoxb-from-env"
    assert redact.text("token xoxb-from-env") == "token [redacted]"
    assert "xoxb-from-env" not in loaded.model_dump_json()


def test_a_secret_file_is_found_from_the_settings_and_read_without_its_line_end(write: Write) -> None:
    path = write(WHOLE)
    (path.parent / "secrets").mkdir()
    (path.parent / "secrets" / "dd_app_key").write_text("app-key-1\n", "utf-8")
    loaded = settings.load(path)
    assert loaded.resolve(loaded.metrics.app_key) == "app-key-1"


def test_a_secret_that_is_not_there_is_an_error_that_says_where_to_put_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_TOKEN", "")
    path = write(WHOLE)
    loaded = settings.load(path)
    with pytest.raises(UsageError, match="set the environment variable SLACK_TOKEN"):
        loaded.resolve(loaded.chat.token)
    key = path.parent / "secrets" / "dd_app_key"
    with pytest.raises(UsageError, match="put the secret into the file secrets/dd_app_key"):
        loaded.resolve(loaded.metrics.app_key)
    key.mkdir(parents=True)
    with pytest.raises(UsageError, match="put the secret into the file"):
        loaded.resolve(loaded.metrics.app_key)
    key.rmdir()
    key.write_bytes(b"\xff\xff\xff")
    with pytest.raises(UsageError, match="put the secret into the file"):
        loaded.resolve(loaded.metrics.app_key)


def test_an_unknown_environment_lists_the_known_ones(write: Write) -> None:
    with pytest.raises(UsageError, match=r"no environment 'prod'\n.*use one of: production"):
        settings.load(write(WHOLE)).environment("prod")


def test_paths_are_relative_to_the_file(write: Write) -> None:
    path = write(WHOLE)
    loaded = settings.load(path)
    assert loaded.path(loaded.archive) == path.parent / "reports"
    assert loaded.path(Path("/srv/archive")) == Path("/srv/archive")


def test_the_nearest_file_upwards_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(WHOLE)
    deep = path.parent / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    assert settings.find(deep) == path
    monkeypatch.chdir(deep)
    assert settings.load().home == path.parent


def test_the_variable_names_the_file_and_a_wrong_one_is_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(WHOLE)
    monkeypatch.setenv(settings.VARIABLE, str(path))
    assert settings.find(Path("/")) == path
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match="is not a file"):
        settings.find()


def test_no_file_anywhere_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    with pytest.raises(UsageError, match="DEPLOYKIT_SETTINGS"):
        settings.find(Path("/"))


@given(st.integers(1, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_a_time_is_its_number_times_its_unit(number: int, unit: tuple[str, float]) -> None:
    assert types.seconds(f"{number}{unit[0]}") == pytest.approx(number * unit[1])


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text("0123456789.eE+- n"))
def test_a_time_without_a_known_unit_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="with its unit"):
        types.seconds(value)


PAGER = '[pager]\ntoken = "env:P"\nfrom = "d@example.com"\nescalation_policy = "P1"\nservice = "S1"\n'
ERRORS = '[errors]\norganization = "acme"\nproject = "shop"\ntoken = "env:S"\n'


def test_vendors_that_may_be_left_out_are_none_and_contacts_have_their_channels(write: Write) -> None:
    plain = settings.load(write(WHOLE))
    assert (plain.errors, plain.pager, plain.flags) == (None, None, None)
    assert (plain.contacts.database, plain.contacts.infrastructure) == ("database-oncall", "infra-oncall")
    whole = settings.load(write(f"{WHOLE}\n{PAGER}\n{ERRORS}"))
    assert whole.pager is not None
    assert (whole.pager.sender, whole.pager.url) == ("d@example.com", "https://api.pagerduty.com")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (PAGER + 'url = "http://127.0.0.1:1"', "pager.url"),
        (PAGER.replace("d@example.com", "somebody"), "pager.from"),
        (PAGER + "colour = 1", "pager.colour"),
        (PAGER.replace('"P1"', '"P1/../x"'), "pager.escalation_policy"),
        (ERRORS + 'release = "v1"', "errors.release"),
        (ERRORS.replace("acme", "ac/me"), "errors.organization"),
        (ERRORS.replace("env:S", "secret"), "errors.token"),
        ('[flags]\ntoken = "env:F"', "flags.url"),
        ('[[contacts.product]]\nname = "Paula"', "contacts.product.0"),
        ('[contacts]\nsales = "x"', "contacts.sales"),
    ],
)
def test_a_wrong_key_of_these_vendors_is_named(write: Write, text: str, place: str) -> None:
    with pytest.raises(UsageError, match=place.replace(".", r"\.")):
        settings.load(write(f"{WHOLE}\n{text}\n"))
