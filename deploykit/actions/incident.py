"""`rollback.incident-report`: an incident report exists, rendered from the journal."""

from __future__ import annotations

import re

from deploykit.actions.notify import key_of
from deploykit.actions.step import Step, Unseen
from deploykit.context import Context
from deploykit.errors import DeploykitError
from deploykit.model import Evidence, Json, Outcome, Result, sha256
from deploykit.templates import markdown

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
        self._written = f"{self.context.incident().rstrip()}\n\n## At the pager\n\n{self._at_the_pager()}\n"
        self.context.write(FILE, self._written.encode())
        return {"file": FILE, "sha256": sha256(self._written.encode())}

    def _at_the_pager(self) -> str:
        """The incident with its link. A pager that does not answer must not keep the report from being written."""
        if self.context.settings.pager is None:
            return "- No pager is set."
        try:
            found = self.context.ports.pager.find(key_of(self.context.plan.run))
        except DeploykitError as error:
            return f"- It could not be asked: {markdown(error.what)}"
        if found is None:
            return "- No incident was opened."
        # An address from outside becomes a link only where it can be nothing else.
        link = f"<{found.url}>" if re.fullmatch(r"https://[\w.:-]+(/[\w./-]*)?", found.url) else markdown(found.url)
        return f"- Incident {markdown(found.id)}, {markdown(found.status)}: {markdown(found.title)} {link}"

    def _settle(self) -> Result:
        lines = len(self._written.splitlines())
        facts: Json = {"file": FILE, "lines": lines}
        summary = f"{FILE} lies in the run's folder" + (f", {lines} lines" if lines else "")
        return Result(item=ITEM, outcome=Outcome.PASS, summary=summary, evidence=Evidence(facts=facts))
