"""What the settings say of the team: who may approve, the notebooks, and what is left unset."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from deploykit.checklist import Phase, checklist
from deploykit.doctor.asking import Question, answers, well, wrong
from deploykit.errors import Rejected, UsageError
from deploykit.model import Outcome, Result
from deploykit.planning import require_known_items, runbooks
from deploykit.settings import EnvironmentSettings, Settings
from deploykit.signoff.rules import APPROVER

#: Optional sections, and the items that stay inconclusive without them.
SECTIONS: dict[str, tuple[str, ...]] = {
    "logs": ("monitoring.log-aggregation",),
    "monitoring": ("monitoring.datadog-alerts",),
    "errors": ("monitoring.sentry-project", "success.no-critical-errors"),
    "pager": ("prepare.on-call", "contact.on-call"),
    "flags": (),
    "contacts.product": ("contact.product",),
}
OWN_SECTIONS: dict[str, tuple[str, ...]] = {
    "database": ("database.backup-completed", "database.migrations-reviewed", "database.migrate", "watch.database"),
    "variables": ("configuration.environment-variables",),
    "tls": ("configuration.tls-certificates",),
    "rate_limit": ("configuration.rate-limits",),
    "cors": ("configuration.cors",),
    "staging": ("prepare.staging-stable",),
    "smoke": ("blue-green.smoke",),
}
#: How a notebook works through an item, by the name of `notebook.Phase`'s method.
_WORKS = frozenset({"check", "act", "sign"})


def look(settings: Settings) -> Iterator[Result]:
    """People, notebooks, what is left out, and what is not set."""
    yield from answers(
        (
            Question("settings.people", "people", lambda: _approvers(settings)),
            Question("settings.left-out", "left_out, rules.rehearse", lambda: _left_out(settings)),
            Question("settings.notebooks", "runbooks", lambda: _notebooks(settings)),
        )
    )
    for name, items in SECTIONS.items():
        yield from _section(settings, settings, name, f"[{name}]", items)
    for environment, known in settings.environments.items():
        for name, items in OWN_SECTIONS.items():
            yield from _section(settings, known, name, f"[environments.{environment}.{name}]", items)


def _approvers(settings: Settings) -> str:
    signing = settings.signing
    allowed = settings.path(signing.allowed_signers)
    if not allowed.is_file():
        raise UsageError(f"{allowed} is not there", where="signing.allowed_signers", mend="a line each: NAME KEY")
    if signing.solo:
        return "solo: one person may be author, operator and approver"
    who = [p.principal for p in settings.people.values() if APPROVER in p.roles and p.principal != signing.operator]
    if not who:
        mend = 'give somebody beside the operator roles = ["approver"] under [people.NAME]'
        raise Rejected("nobody but the operator may approve", where="people", mend=mend)
    lines = [line.split() for line in allowed.read_text("utf-8").splitlines() if not line.startswith("#")]
    known = {name for line in lines if line for name in line[0].strip('"').split(",")}
    unknown = sorted(set(who) - known)
    if unknown:
        mend = f"have their public keys added to {signing.allowed_signers.name} by review"
        raise Rejected(f"{', '.join(unknown)} may approve, and has no key", where=str(allowed), mend=mend)
    return f"{', '.join(sorted(who))} may approve"


def _left_out(settings: Settings) -> str:
    require_known_items(settings)
    return f"{len(settings.left_out)} items are left out, each with its reason"


def _notebooks(settings: Settings) -> str:
    """Whether each phase's notebook is there, works through each item of its phase, and ends with the gate."""
    folder = runbooks(settings)
    for phase in checklist().phase:
        wanted = [item.id for item in checklist().items(phase.id)]
        missing = [item for item in wanted if item not in _worked(folder, phase)]
        if missing:
            mend = f"put them back, or write it anew: deploykit init --force runbooks/{phase.notebook}.ipynb"
            raise Rejected(f"{phase.notebook}.ipynb lacks {', '.join(missing)}", where=str(folder), mend=mend)
    return f"{len(checklist().phase)} notebooks in {folder}, each with all of its items"


def _worked(folder: Path, phase: Phase) -> frozenset[str]:
    """The items that a notebook works through, up to its gate; none where there is no gate."""
    path, mend = folder / f"{phase.notebook}.ipynb", "`deploykit init` writes it anew"
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        trees = [ast.parse(source) for source in code]
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise Rejected(f"{path.name} is not there, or no notebook", where=str(folder), mend=mend) from error
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [(call.func.attr, call) for call in calls if isinstance(call.func, ast.Attribute)]
    if not any(name == "gate" for name, _ in named):
        raise Rejected(f"{path.name} has no gate", where=str(folder), mend="let its last cell be phase.gate()")
    given = [call.args[0] for name, call in named if name in _WORKS and call.args]
    return frozenset(str(argument.value) for argument in given if isinstance(argument, ast.Constant))


def _section(
    settings: Settings, place: Settings | EnvironmentSettings, name: str, shown: str, items: tuple[str, ...]
) -> Iterator[Result]:
    value: object = place
    for part in name.split("."):
        value = getattr(value, part)
    if name == "smoke" and isinstance(place, EnvironmentSettings):
        value = place.smoke or place.smoke_tests
    where = f"settings.{shown.strip('[]')}"
    waiting = [item for item in items if item not in settings.left_out]
    if value or not items:
        return
    if not waiting:
        yield well(where, "it is not set, and its items are left out", where=shown)
        return
    what, mend = f"it is not set, so {', '.join(waiting)} will be inconclusive", f"write {shown}, or leave them out"
    yield wrong(where, what, mend, where=shown, outcome=Outcome.LEFT_OUT)
