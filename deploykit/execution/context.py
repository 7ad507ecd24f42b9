"""What a check or an action of a run is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from deploykit import report
from deploykit.context import Context
from deploykit.execution.charge import require_charge
from deploykit.execution.rules import objection
from deploykit.guard import GuardProcess
from deploykit.journal.events import Type
from deploykit.model import Evidence, Json
from deploykit.providers import connect
from deploykit.run import Run
from deploykit.witnessing import witnessed


def make_context(
    run: Run,
    progress: Callable[[str, Evidence], None] = lambda _line, _evidence: None,
    pause: Callable[[float], None] = time.sleep,
) -> Context:
    """The context of a run, with connections of its own that are made when first used.

    Args:
        run: The run.
        progress: Called with one line and the evidence so far.
        pause: Waits for so many seconds, or raises `StopAskedError`.
    """

    def timeline() -> tuple[Json, ...]:
        return tuple(event.model_dump(mode="json") for event in run.events())

    def repeat(lost: str, effect: Callable[[], None]) -> None:
        require_charge(run, "nothing is set again")
        run.append(Type.DRIFT_FOUND, data={"text": lost})
        effect()
        require_charge(run, "what was lost was set again")

    context = Context(
        plan=run.plan,
        settings=run.settings,
        environment=run.environment,
        ports=witnessed(connect(run.settings, run.environment), run),
        guard=GuardProcess(run),
        progress=progress,
        pause=pause,
        timeline=timeline,
        incident=lambda: report.with_graphs(run),
        write=run.write,
        read=run.read,
        repeat=repeat,
    )
    return replace(context, objection=lambda: objection(run, context))
