"""Breaking the glass is heard: each override is told to the team, once, in the thread of its run."""

from __future__ import annotations

from deploykit import templates
from deploykit.actions.announce import KIND as ANNOUNCED
from deploykit.errors import DeploykitError
from deploykit.journal.events import Type
from deploykit.model import Decision
from deploykit.providers import connect
from deploykit.run import Run
from deploykit.witnessing import witnessed


def alert(run: Run, decision: Decision) -> None:
    """Tell the team that something was overridden. Where that fails, the journal says so, and nothing waits for it.

    Args:
        run: The run.
        decision: The override.
    """
    try:
        _post(run, decision)
    except DeploykitError as error:
        channel = run.settings.chat.deployments
        text = f"#{channel} could not be told that {decision.signer} overrode {decision.item}: {error.what}"
        run.append(Type.NOTE_WRITTEN, item=decision.item, data={"text": text})


def alert_all(run: Run) -> None:
    """Tell what could not be told before; what the chat knows already is found there and not repeated."""
    for decision in run.state().words.to_review:
        alert(run, decision)


def _post(run: Run, decision: Decision) -> None:
    chat, channel = witnessed(connect(run.settings, run.environment), run).chat, run.settings.chat.deployments
    kind = f"override/{decision.statement[:16]}"
    if chat.find(channel, run.id, kind=kind) is not None:
        return
    own = run.settings.path(run.settings.templates) if run.settings.templates else None
    text = templates.environment(own).get_template("slack/override.j2").render(plan=run.plan, decision=decision)
    above = chat.find(channel, run.id, kind=ANNOUNCED)
    chat.post(channel, text.strip(), run=run.id, kind=kind, thread=above.ts if above else None)
