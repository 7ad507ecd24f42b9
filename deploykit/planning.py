"""Makes a plan: everything a run will do, decided and frozen before anything is touched."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from deploykit import measure, redact
from deploykit.checklist import checklist
from deploykit.context import Ports
from deploykit.errors import ProviderError, Rejected, UsageError
from deploykit.journal.events import Actor
from deploykit.journal.store import RunRow
from deploykit.model import Arm, Colour, Plan, canonical, now, sha256
from deploykit.providers import connect
from deploykit.run import MADE_WITH, Run, new_id
from deploykit.settings import EnvironmentSettings, Settings
from deploykit.signoff.kept import PLAN_SIGNATURE, sign_plan

#: Where the frozen notebooks and the person's copies lie in a run's folder.
FROZEN, WORK = "frozen", "work"


def make(settings: Settings, environment: str, release: str, actor: Actor, *, rehearse: bool = False) -> Run:
    """Plan one deployment and open its run.

    Args:
        settings: The settings, frozen with the plan.
        environment: Where to.
        release: The tag.
        actor: Who opens it.
        rehearse: Read what is real, and leave out every change.

    Raises:
        UsageError: The environment, the release or a notebook is not there, a query of the metrics is wrong, or the
            router does not serve live alone.
        ProviderError: A system that the plan needs does not answer, or does not know who wrote the release.
    """
    target = settings.environment(environment)
    require_known_items(settings)
    ports = connect(settings, target)
    notebooks, commit = _notebooks(settings), _commit(ports, release)
    live, candidate = _arms(ports, target, release)
    found = _Found(commit, live, candidate, notebooks, _authors(settings, ports, live.version, commit))
    serving = ports.router.counts().get(live.colour, 0) > 0
    measure.probe(ports.metrics, settings.metrics, live.colour, serving=serving)
    service = settings.service.name
    row = RunRow(run=new_id(service, environment), number=0, service=service, environment=environment, release=release)

    def plan_of(number: int) -> tuple[Plan, dict[str, bytes]]:
        plan = _plan(settings, row.model_copy(update={"number": number}), found, rehearse=rehearse)
        files = {f"{FROZEN}/{name}": data for name, data in found.notebooks.items()}
        files |= {f"{WORK}/{name}": for_run(data, row.run) for name, data in found.notebooks.items()}
        files["settings.toml"] = redact.text((settings.home / settings.file).read_text("utf-8")).encode()
        if settings.signing.key is not None:
            files[PLAN_SIGNATURE] = sign_plan(plan, settings.path(settings.signing.key))
        return plan, files

    return Run.create(settings, row, actor, plan_of)


class _Found(NamedTuple):
    """What was asked of the outside before anything is written."""

    commit: str
    live: Arm
    candidate: Arm
    notebooks: dict[str, bytes]
    authors: tuple[str, ...]


def _plan(settings: Settings, row: RunRow, found: _Found, *, rehearse: bool) -> Plan:
    shift = settings.shift
    return Plan(
        run=row.run,
        number=row.number,
        service=row.service,
        environment=row.environment,
        release=row.release,
        commit=found.commit,
        operator=settings.signing.operator,
        solo=settings.signing.solo,
        made_at=now(),
        made_with=MADE_WITH,
        live=found.live,
        candidate=found.candidate,
        steps=shift.steps,
        watch_seconds=shift.watch,
        hold_limit_seconds=shift.hold_limit,
        guard_seconds=shift.guard,
        time_scale=shift.time_scale,
        rehearsal=rehearse,
        sandbox=settings.environment(row.environment).sandbox,
        notebooks={name: code_hash(data) for name, data in found.notebooks.items()},
        settings=settings.digest,
        authors=found.authors,
    )


def require_known_items(settings: Settings) -> None:
    """What the settings say of an item must be of one that there is; the rules are not for leaving out.

    Raises:
        UsageError: It is of another.
    """
    known = {item.id for item in checklist().item}
    for place, names in (("left_out", settings.left_out), ("rules.rehearse", settings.rules.rehearse)):
        wrong = sorted(set(names) - known)
        if wrong:
            mend = "`deploykit checklist` lists them"
            raise UsageError(f"no such item: {', '.join(wrong)}", where=f"{settings.file}: {place}", mend=mend)
    rules = sorted(name for name in settings.left_out if name.startswith("rule."))
    if rules:
        mend = "take it out; an exception is a signed override: deploykit sign RUN ITEM --override"
        raise UsageError(f"a rule is not left out: {', '.join(rules)}", where=f"{settings.file}: left_out", mend=mend)


def _commit(ports: Ports, release: str) -> str:
    try:
        return ports.repository.commit(release)
    except Rejected as error:
        mend = "name a tag that is pushed; `git tag --list` shows them"
        raise UsageError(f"there is no release {release!r}: {error.what}", where="--release", mend=mend) from error


def _authors(settings: Settings, ports: Ports, live: str, commit: str) -> tuple[str, ...]:
    """Who wrote the release, so that none of them approves it. Where one person may be all, nobody needs to know."""
    return () if settings.signing.solo else ports.repository.authors(live, commit)


def _arms(ports: Ports, target: EnvironmentSettings, release: str) -> tuple[Arm, Arm]:
    """Live is the colour that has all traffic; its version is what its own address says. The other is the candidate."""
    weights = ports.router.weights()
    serving = [colour for colour, weight in weights.items() if weight > 0]
    if len(serving) != 1:
        raise UsageError(
            f"the router splits the traffic: {dict(weights)}",
            where="router",
            mend="finish or roll back what is under way (`deploykit runs`), or send everything to one colour by hand",
        )
    (colour,) = serving
    idle: Colour = "green" if colour == "blue" else "blue"
    live, candidate = target.colours[colour], target.colours[idle]
    path, key = target.health.version_path, target.health.version_key
    version = str((ports.http.get(live.url + path).body or {}).get(key, ""))
    if not version:
        raise ProviderError(
            f"{live.url}{path} does not say which release is live",
            where=f"environments.*.colours.{colour}",
            mend="check the address, health.version_path and health.version_key",
        )
    if version == release:
        raise UsageError(f"{release} is live already", where="--release", mend="there is nothing to deploy")
    return (
        Arm(colour=colour, version=version, url=live.url, platform_service=live.platform_service),
        Arm(colour=idle, version=release, url=candidate.url, platform_service=candidate.platform_service),
    )


def _notebooks(settings: Settings) -> dict[str, bytes]:
    """The runbook's notebooks: the team's own, else the ones that came with the package."""
    found = {}
    for phase in checklist().phase:
        name = f"{phase.notebook}.ipynb"
        path = runbooks(settings) / name
        if not path.is_file():
            raise UsageError(f"{name} is missing", where=str(settings.runbooks), mend="`deploykit init` writes it anew")
        found[name] = path.read_bytes()
    return found


def runbooks(settings: Settings) -> Path:
    """The folder of the notebooks: the team's own, else the package's."""
    own = settings.path(settings.runbooks)
    return own if own.is_dir() else packed_runbooks()


def packed_runbooks() -> Path:
    """The notebooks that come with the package; in a checkout, the ones at its top."""
    packed = Path(str(resources.files("deploykit"))) / "_data" / "runbooks"
    return packed if packed.is_dir() else Path(__file__).parents[1] / "runbooks"


def for_run(notebook: bytes, run: str) -> bytes:
    """A person's own copy: the parameters cell names the run, so that nobody has to type it."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if _tagged(cell, "parameters"):
            cell["source"] = f"run = {json.dumps(run)}  # type: str"
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def code_hash(notebook: bytes) -> str:
    """SHA-256 of a notebook's code cells in order, without outputs, ids and parameters.

    Raises:
        UsageError: It is not a notebook.
    """
    try:
        cells: list[dict[str, Any]] = json.loads(notebook)["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        injected = (cell for cell in code if "injected-parameters" in cell.get("metadata", {}).get("tags", []))
        # Only the first: papermill writes that one anew, and another of that tag would run as it is.
        left_out = next(injected, None)
        return sha256(canonical(["".join(cell["source"]) for cell in code if cell is not left_out]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError("not a notebook", where="runbooks", mend="open it in JupyterLab and save it") from error


def _tagged(cell: dict[str, Any], *tags: str) -> bool:
    return any(tag in cell.get("metadata", {}).get("tags", []) for tag in tags)
