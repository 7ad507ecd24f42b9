"""What an environment's own places are asked: router, platform, database, service, certificates, and its queries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

from deploykit import measure
from deploykit.doctor.asking import Asks, Question, own
from deploykit.errors import Rejected
from deploykit.journal.clock import TOLERANCE_SECONDS
from deploykit.model import Colour, now
from deploykit.platforms import newest
from deploykit.ports import as_json
from deploykit.providers import Connections


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

    yield Question("router.weights", where, weights, gate=True)
    yield Question("router.counts", where, counts)
    yield Question("router.maintenance", where, stopped)


def platform(ports: Connections, name: str) -> Iterator[Question]:
    """That it is set up right, and both services in the environment."""
    where = f"environments.{name}"
    yield Question("platform.project", f"{where}.platform", own(ports, "platform", "project"), gate=True)
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
        key = f"{place}, {where}.health.version_key"
        yield Question(f"service.{colour}.version", key, lambda url=known.url: _version(  # type: ignore[misc]
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
        mend = "let NTP set this machine's clock"
        raise Rejected(f"it is {apart:.0f} s away from the service's", where="clock", mend=mend)
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


#: Asked for each environment.
PLACES: dict[str, Asks] = {
    "router": router, "platform": platform, "database": database, "service": service, "metrics.queries": queries,
    "tls": tls,
}  # fmt: skip
