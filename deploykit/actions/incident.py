"""`rollback.incident-report`: an incident report exists, rendered from the journal."""

from __future__ import annotations

from deploykit.actions.step import Step, Unseen
from deploykit.context import Context
from deploykit.model import Evidence, Json, Outcome, Result, sha256

ITEM = "rollback.incident-report"
FILE = "incident.md"


class IncidentReport:
    """Writes `incident.md` into the run's folder.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._written = ""

    def steps(self) -> tuple[Step, ...]:
        """The one step. Writing the file again has no second effect."""
        return (Step(id=ITEM, intent={"file": FILE}, do=self._do, probe=Unseen.REPEAT, settle=self._settle),)

    def _do(self, _op: str) -> Json:
        self._written = self.context.incident()
        self.context.write(FILE, self._written.encode())
        return {"file": FILE, "sha256": sha256(self._written.encode())}

    def _settle(self) -> Result:
        lines = len(self._written.splitlines())
        facts: Json = {"file": FILE, "lines": lines}
        summary = f"{FILE} lies in the run's folder" + (f", {lines} lines" if lines else "")
        return Result(item=ITEM, outcome=Outcome.PASS, summary=summary, evidence=Evidence(facts=facts))
