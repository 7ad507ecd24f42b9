"""What the vendors are asked: reading, cheap, and so that address, token, right and place are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from deploykit.doctor.asking import Asks, Question, own
from deploykit.errors import Rejected
from deploykit.model import now
from deploykit.providers import Connections


def github(ports: Connections, _: str) -> Iterator[Question]:
    """The repository, and each kind of thing that is read there."""
    known = ports.settings.github
    yield Question("github.access", "github.token", own(ports, "repository", "access"), gate=True)
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
    yield Question("metrics.api-key", "metrics.api_key", own(ports, "metrics", "api-key"), gate=True)
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
    yield Question("chat.token", "chat.token", own(ports, "chat", "token"), gate=True)
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


#: By what they are, and asked once for all environments.
VENDORS: dict[str, Asks] = {
    "github": github, "metrics": metrics, "chat": chat, "errors": errors, "pager": pager, "flags": flags,
}  # fmt: skip
