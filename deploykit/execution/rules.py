"""The runbook's own rules, asked before each change of production; who broke the glass is in the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.checklist import Item, checklist
from deploykit.errors import RefusedError
from deploykit.execution.checks import run_check
from deploykit.signoff import gate

if TYPE_CHECKING:
    from deploykit.context import Context
    from deploykit.run import Run

#: Asked before each change of production; `rule.documented` is asked when the run is closed.
BEFORE_CHANGES = ("rule.no-friday", "rule.window", "rule.rollback-ready")
#: Asked before a run goes on, too: they need no outside system, and nobody should be told of what may not be.
BEFORE_RUN = ("rule.no-friday", "rule.window")


def require_rules(run: Run, context: Context, rules: tuple[str, ...] = BEFORE_CHANGES) -> None:
    """Ask rules anew, and record what changed.

    Raises:
        RefusedError: One forbids it, and nobody signed an override.
    """
    objections = ask_rules(run, context, rules)
    if objections:
        mend = "; ".join(mend for _, mend in objections)
        raise RefusedError("; ".join(what for what, _ in objections), where="rules", mend=mend)


def ask_rules(run: Run, context: Context, rules: tuple[str, ...] = BEFORE_CHANGES) -> list[tuple[str, str]]:
    """Ask rules anew, record what changed, and return what they object, each with its mend."""
    return [objection for name in rules if (objection := _ask(run, context, checklist().find(name)))]


def objection(run: Run, context: Context) -> str:
    """Why the window forbids the next step of a change that is under way; empty where it does not."""
    said = _ask(run, context, checklist().find("rule.window"))
    return f"{said[0]}; {said[1]}" if said else ""


def _ask(run: Run, context: Context, item: Item) -> tuple[str, str] | None:
    """A rule's objection with its mend; None where it does not object, or is overridden."""
    found = run_check(run, context, item)
    if gate.opens(run, item.id):
        return None
    return f"{item.id}: {found.summary}", found.mend or f"deploykit sign {run.plan.number} {item.id} --override -m WHY"
