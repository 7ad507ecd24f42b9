"""What each outside system is asked: reading, cheap, and so that address, token, right and place are told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from deploykit import measure
from deploykit.doctor.asking import Look, Question, answers
from deploykit.errors import Rejected
from deploykit.journal.clock import TOLERANCE_SECONDS
from deploykit.model import Colour, now
from deploykit.platforms import newest
from deploykit.ports import as_json
from deploykit.providers import Connections

Asks = Callable[[Connections, str], Iterator[Question]]


def asked(ask: Asks, ports: Connections, name: str = "") -> Look:
    """The look at one system; where it stands in an environment, each result bears the environment's name."""
    end = f"/{name}" if name else ""
    return lambda: answers(q._replace(name=q.name + end) for q in ask(ports, name))


def _own(ports: Connections, port: str, name: str) -> Callable[[], str]:
    """A question of the adapter's own; connected when it is asked, so that a missing secret is its answer."""

    def ask() -> str:
        return ports.questions(port)[name]()

    return ask


def github(ports: Connections, _: str) -> Iterator[Question]:
    """The repository, and each kind of thing that is read there."""
    known = ports.settings.github
    yield Question("github.access", "github.token", _own(ports, "repository", "access"), gate=True)
    commit = ports.repository.commit
    yield Question("github.branch", "github.branch", lambda: f"{known.branch} is at {commit(known.branch)[:9]}")

    def tests() -> str:
        return f"{len(ports.repository.tests(commit(known.branch)))} tests of {known.branch} can be read"

    yield Question("github.tests", "github.token", tests, right="checks and statuses: read")

    def deployments() -> str:
        ports.repository.find_deployment("doctor", commit(known.branch), "doctor")
        return "deployments can be read"

    yield Question("github.deployments", "github.token", deployments, right="deployments: write")
    for scanner in known.scanners:
        yield Question(f"github.{scanner}", "github.scanners", lambda scanner=scanner: _scanner(ports, scanner))  # type: ignore[misc]


def _scanner(ports: Connections, scanner: str) -> str:
    found = ports.repository.scan(scanner, ports.settings.github.branch)
    if found.off:
        mend = f"switch it on, let github.token read its alerts, or take {scanner} out of github.scanners"
        raise Rejected(f"it is off, or not ours to read: {found.off}", where=f"GitHub, {scanner}", mend=mend)
    return f"{len(found.alerts)} open alerts can be read"


def metrics(ports: Connections, _: str) -> Iterator[Question]:
    """Datadog's keys, and each right that the application key needs."""
    yield Question("metrics.api-key", "metrics.api_key", _own(ports, "metrics", "api-key"), gate=True)
    key, here = "metrics.app_key", ports.settings
    query = here.metrics.requests.replace("$colour", "green")

    def series() -> str:
        found = ports.metrics.series(query, now() - timedelta(minutes=5), now(), name="requests", unit="requests")
        return f"time series can be read: {len(found.points)} points in five minutes"

    yield Question("metrics.app-key", key, series, right="timeseries_query")
    yield Question("metrics.metadata", key, lambda: _known(ports, query), right="metrics_read")
    if here.monitoring is not None:
        tags = here.monitoring.tags
        yield Question(
            "metrics.monitors", key, lambda: _monitors(ports, tags), right="monitors_read, monitors_downtime"
        )
    if here.logs is not None:
        lines = here.logs.query
        yield Question("metrics.logs", key, lambda: _lines(ports, lines), right="logs_read_data")
    yield Question("metrics.events", key, lambda: _events(ports), right="events_read")


def _known(ports: Connections, query: str) -> str:
    unknown = ports.metrics.unknown(query)
    if unknown:
        mend = "look at the names in metrics.requests, and at whose account the keys are"
        raise Rejected(f"{', '.join(unknown)} was never reported", where="Datadog", mend=mend)
    return "the metric of metrics.requests is known"


def _monitors(ports: Connections, tags: tuple[str, ...]) -> str:
    found = ports.monitors.monitors(tags)
    if not found:
        raise Rejected(f"no monitor carries {', '.join(tags)}", where="Datadog", mend="look at monitoring.tags")
    return f"{len(found)} monitors carry {', '.join(tags)}"


def _lines(ports: Connections, query: str) -> str:
    found = ports.logs.count(query, now() - timedelta(minutes=15), now())
    if not found:
        mend = "look at logs.query, and whether the service's logs are shipped"
        raise Rejected(f"no line of {query} in the last fifteen minutes", where="Datadog", mend=mend)
    return f"{found} lines in the last fifteen minutes"


def _events(ports: Connections) -> str:
    ports.events.find("doctor")
    return "events can be read"


def chat(ports: Connections, _: str) -> Iterator[Question]:
    """Slack's token with its scopes, and each channel that the settings name."""
    here, contacts = ports.settings.chat, ports.settings.contacts
    yield Question("chat.token", "chat.token", _own(ports, "chat", "token"), gate=True)
    for name in dict.fromkeys((here.deployments, *here.support)):
        setting = "chat.deployments" if name == here.deployments else "chat.support"
        yield Question(f"chat.channel.{name}", setting, lambda name=name: _channel(ports, name, read=True))  # type: ignore[misc]
    for setting, name in (
        ("contacts.database", contacts.database),
        ("contacts.infrastructure", contacts.infrastructure),
    ):
        yield Question(f"chat.channel.{name}", setting, lambda name=name: _channel(ports, name, read=False))  # type: ignore[misc]


def _channel(ports: Connections, name: str, *, read: bool) -> str:
    found = ports.chat.channel(name)
    if found is None:
        mend = f"make #{name}, invite the app if it is private, or mend the name"
        raise Rejected(f"there is no channel #{name}, or none that the app may see", where="Slack", mend=mend)
    if read:
        ports.chat.history(found, now() - timedelta(minutes=1))
    return f"#{name} is {found}"


def errors(ports: Connections, _: str) -> Iterator[Question]:
    """Sentry's project, its keys, and what is read of releases and issues."""
    if ports.settings.errors is None:
        return
    yield Question(
        "errors.project", "errors.organization, errors.project, errors.token", lambda: _tracked(ports), gate=True
    )
    yield Question("errors.keys", "errors.project", lambda: _keys(ports), right="project:read")

    def releases() -> str:
        ports.errors.registered("doctor")
        return "releases can be read"

    yield Question("errors.releases", "errors.token", releases, right="project:releases")

    def issues() -> str:
        return f"{len(ports.errors.fatal_issues(now() - timedelta(hours=1)))} fatal issues in the last hour"

    yield Question("errors.issues", "errors.token", issues, right="event:read")
    if ports.settings.errors.sessions:

        def sessions() -> str:
            return f"{ports.errors.sessions('doctor', now() - timedelta(hours=1), now())} sessions of no release"

        yield Question("errors.sessions", "errors.token", sessions, right="org:read")


def _tracked(ports: Connections) -> str:
    found = ports.errors.project()
    if not found.active:
        raise Rejected(f"{found.name} is {found.status}", where="Sentry", mend="look at errors.project")
    return f"{found.name} is {found.status}"


def _keys(ports: Connections) -> str:
    number = ports.errors.active_keys()
    if not number:
        raise Rejected("no key is active, so no error arrives", where="Sentry", mend="switch a client key on")
    return f"{number} active keys"


def pager(ports: Connections, _: str) -> Iterator[Question]:
    """PagerDuty's policy, service and sender, and who is on call."""
    if ports.settings.pager is None:
        return
    settings = {"policy": "pager.escalation_policy", "service": "pager.service", "sender": "pager.from"}
    for name, ask in ports.questions("pager").items():
        yield Question(f"pager.{name}", f"{settings[name]}, pager.token", ask, gate=name == "policy")

    def called() -> str:
        turns = ports.pager.on_call(now(), now() + timedelta(minutes=1))
        if not any(turn.level == 1 and turn.reachable for turn in turns):
            mend = "put somebody with a way to be reached on level 1 of pager.escalation_policy"
            raise Rejected("nobody who can be reached is on call now", where="PagerDuty", mend=mend)
        return ", ".join(dict.fromkeys(turn.name for turn in turns if turn.level == 1))

    yield Question("pager.on-call", "pager.escalation_policy", called)


def flags(ports: Connections, _: str) -> Iterator[Question]:
    """Unleash's token, and the environment that it is for."""
    if ports.settings.flags is None:
        return

    def ask() -> str:
        ports.flags.enabled("doctor")
        return "flags can be read"

    yield Question("flags.token", "flags.url, flags.token, flags.environment", ask)


def router(ports: Connections, name: str) -> Iterator[Question]:
    """Weights, counters and the maintenance switch, as the router itself has them."""
    where = f"environments.{name}.router"

    def weights() -> str:
        return ", ".join(f"{colour} {weight} %" for colour, weight in as_json(ports.router.weights()).items())

    def counts() -> str:
        return ", ".join(f"{colour} {count}" for colour, count in ports.router.counts().items())

    def stopped() -> str:
        if ports.router.stopped():
            mend = "`deploykit status` of the run that stopped it; it answers 503 to everybody"
            raise Rejected("the maintenance answer is in force", where="router", mend=mend)
        return "requests pass"

    yield Question("router.weights", f"{where}.url", weights, gate=True)
    yield Question("router.counts", where, counts)
    yield Question("router.maintenance", f"{where}.maintenance_key", stopped)


def platform(ports: Connections, name: str) -> Iterator[Question]:
    """Railway's token and project, and both services in the environment."""
    where = f"environments.{name}"
    yield Question("platform.project", f"{where}.platform", _own(ports, "platform", "project"), gate=True)
    for colour, known in ports.environment.colours.items():
        service = known.platform_service

        def newest_of(service: str = service) -> str:
            found = newest(ports.platform, service)
            return f"{service} is at {found.commit[:9] or 'no commit'}, {found.status}"

        yield Question(f"platform.{colour}", f"{where}.colours.{colour}.platform_service", newest_of)


def database(ports: Connections, name: str) -> Iterator[Question]:
    """Production, what lies around it, and the folder of the release's migrations."""
    if ports.environment.database is None:
        return
    where, known = f"environments.{name}.database", ports.environment.database

    def revision() -> str:
        return f"its revision is {ports.database.revision() or 'none'}"

    def statistics() -> str:
        return f"{len(ports.database.statistics().statements)} kinds of statements are counted"

    def checkout() -> str:
        fixed = ports.settings.path(type(ports.settings.home)(known.alembic.partition("$")[0]))
        if not fixed.exists():
            raise Rejected(f"{fixed} is not there", where=f"{where}.alembic", mend="check the release out there")
        return f"{fixed} is there"

    yield Question("database.url", f"{where}.url", revision)
    yield Question("database.statistics", f"{where}.url", statistics)
    yield Question("database.alembic", f"{where}.alembic", checkout)
    for key, ask in ports.questions("database").items():
        yield Question(f"database.{key}", f"{where}.{key}", ask)


def service(ports: Connections, name: str) -> Iterator[Question]:
    """What users meet: health and release of the service and of both colours, and this machine's clock beside it."""
    health, where = ports.environment.health, f"environments.{name}"
    yield Question("service.url", f"{where}.url", lambda: _healthy(ports, ports.environment.url))
    yield Question("service.clock", "this machine", lambda: _clock(ports))
    for colour, known in ports.environment.colours.items():
        place = f"{where}.colours.{colour}.url"
        yield Question(f"service.{colour}.health", place, lambda url=known.url: _healthy(ports, url))  # type: ignore[misc]
        yield Question(f"service.{colour}.version", f"{place}, {where}.health.version_key", lambda url=known.url: _version(  # type: ignore[misc]
            ports, url + health.version_path, health.version_key))  # fmt: skip
    if ports.environment.staging is not None:
        url = ports.environment.staging.url
        yield Question("service.staging", f"{where}.staging.url", lambda: _healthy(ports, url))


def _healthy(ports: Connections, url: str) -> str:
    health = ports.environment.health
    found = ports.http.get(url + health.path, timeout=health.within)
    place = f"{url}{health.path}"
    if found.status != 200:
        raise Rejected(
            f"it answers {found.status}", where=place, mend="look at the address, health.path and the service"
        )
    if health.contains and health.contains not in found.text:
        raise Rejected("its answer lacks health.contains", where=place, mend="look at health.contains and the service")
    return f"it answers 200 after {found.seconds * 1000:.0f} ms"


def _version(ports: Connections, url: str, key: str) -> str:
    said = (ports.http.get(url).body or {}).get(key)
    if not said:
        mend = "look at health.version_path and health.version_key"
        raise Rejected(f"it does not say {key!r}", where=url, mend=mend)
    return f"it is {said}"


def _clock(ports: Connections) -> str:
    """How far the clock here is from the service's, which is told in whole seconds."""
    found = ports.http.get(ports.environment.url + ports.environment.health.path)
    try:
        there = parsedate_to_datetime(found.headers.get("date", ""))
    except ValueError:
        return "the service does not say what time it is there"
    apart = abs((now() - _aware(there)).total_seconds())
    if apart > TOLERANCE_SECONDS:
        raise Rejected(f"it is {apart:.0f} s away from the service's", where="clock", mend="let NTP set this clock")
    return f"it is within {apart + 1:.0f} s of the service's"


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=now().tzinfo)


def queries(ports: Connections, name: str) -> Iterator[Question]:
    """Every query of `[metrics]`, on the colour that serves."""

    def probe() -> str:
        weights, counts = ports.router.weights(), ports.router.counts()
        live: Colour = max(weights, key=lambda colour: weights[colour])
        notes = measure.probe(ports.metrics, ports.settings.metrics, live, serving=counts.get(live, 0) > 0)
        return "; ".join(notes) or f"all {len(ports.settings.metrics.queries)} queries answer for {live}"

    yield Question("metrics.queries", f"metrics, with {name}'s live colour", probe)


def tls(ports: Connections, name: str) -> Iterator[Question]:
    """The certificate of each host."""
    for host in ports.environment.tls.hosts if ports.environment.tls else ():
        yield Question(f"tls.{host.name}", f"environments.{name}.tls", lambda host=host: _certificate(  # type: ignore[misc]
            ports, host.name, host.address, host.port))  # fmt: skip


def _certificate(ports: Connections, host: str, address: str, port: int) -> str:
    found = ports.tls.certificate(host, address=address, port=port)
    if found.fault:
        raise Rejected(found.fault, where=f"TLS, {host}", mend="renew the certificate, or look at tls.ca and tls.hosts")
    return f"valid until {found.ends:%Y-%m-%d}"


#: Asked once, and asked for each environment.
SHARED: dict[str, Asks] = {
    "github": github, "metrics": metrics, "chat": chat, "errors": errors, "pager": pager, "flags": flags,
}  # fmt: skip
OWN: dict[str, Asks] = {
    "router": router, "platform": platform, "database": database, "service": service, "metrics.queries": queries,
    "tls": tls,
}  # fmt: skip
