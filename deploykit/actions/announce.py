"""`prepare.announced` and `finish.announced`: the team knows what comes, and that it came."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from deploykit.actions.messages import Posting, at, happened
from deploykit.actions.step import Step
from deploykit.context import Context
from deploykit.errors import Rejected
from deploykit.model import now

ANNOUNCED, FINISHED = "prepare.announced", "finish.announced"
KIND, FINISHED_KIND = "announced", "finished"
#: Seconds from the announcement to the first change, and from there to 100 % traffic, at most.
NOTICE, WINDOW = 900.0, 3600.0


class Announced:
    """Says in the channel of deployments what comes, when, and by whom.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...]:
        """The one step."""
        return (Posting(self.context, ANNOUNCED, KIND, "announced", self._values).step(),)

    def _values(self) -> dict[str, Any]:
        plan, zone = self.context.plan, ZoneInfo(self.context.environment.timezone)
        begins = now() + timedelta(seconds=plan.scaled(NOTICE))
        ends = begins + timedelta(seconds=plan.scaled(WINDOW))
        return {"begins": begins.astimezone(zone), "ends": ends.astimezone(zone), "changes": _changes(self.context)}


class Finished:
    """Says in the announcement's thread that the release serves all traffic.

    Args:
        context: The run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def steps(self) -> tuple[Step, ...]:
        """The one step."""
        return (Posting(self.context, FINISHED, FINISHED_KIND, "finished", self._values, under=KIND).step(),)

    def _values(self) -> dict[str, Any]:
        """When the release got all traffic.

        Raises:
            Rejected: It did not, or lost it again: there is no success to announce.
        """
        plan = self.context.plan
        all_of_it = happened(self.context, "step.happened", f"blue-green.traffic/{plan.steps[-1].percent}")
        lost = happened(self.context, "rollback.asked") or happened(self.context, "traffic.returned")
        if all_of_it is None or lost is not None:
            mend = "announce nothing; the rollback's own message tells the team"
            raise Rejected(f"{plan.release} does not serve all traffic", where=FINISHED, mend=mend)
        zone = ZoneInfo(self.context.environment.timezone)
        return {"since": at(all_of_it).astimezone(zone)}


def _changes(context: Context) -> str:
    """Where the changes of the release can be read: GitHub's pages lie beside its API."""
    github, plan = context.settings.github, context.plan
    web = github.url.replace("//api.", "//", 1).removesuffix("/").removesuffix("/api/v3")
    return f"{web}/{github.repository}/compare/{quote(plan.live.version, safe='')}...{quote(plan.release, safe='')}"
