"""What a run was, for people: one HTML file that works offline, and an incident report in Markdown."""

from __future__ import annotations

import base64
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from deploykit import executed, templates, timeline
from deploykit.checklist import Item, checklist
from deploykit.errors import BrokenRecordError
from deploykit.execution.figures import joined
from deploykit.journal.events import Event, Type
from deploykit.journal.state import State, fold
from deploykit.model import SEVERITY, Decision, DecisionKind, Evidence, Figure, Outcome, Plan, Verdict
from deploykit.run import Run
from deploykit.signoff import gate


class _Mark(NamedTuple):
    """How an outcome looks: a sign and a word, and a tone that is never alone."""

    sign: str
    word: str
    tone: str


_MARKS = {
    Outcome.PASS: _Mark("✓", "pass", "good"),
    Outcome.FAIL: _Mark("✗", "fail", "bad"),
    Outcome.INCONCLUSIVE: _Mark("?", "inconclusive", "care"),
    Outcome.ERROR: _Mark("!", "error", "bad"),
    Outcome.NOT_NEEDED: _Mark("–", "not needed", "plain"),  # noqa: RUF001 - a dash is the sign
    Outcome.LEFT_OUT: _Mark("○", "left out", "plain"),
    Outcome.NOT_REACHED: _Mark("…", "not reached", "plain"),
    Outcome.UNKNOWN: _Mark("⁇", "unknown", "bad"),
}
_SIGNED = _Mark("✍", "signed", "good")
_OPEN = _Mark("·", "no outcome yet", "plain")
_STATUS = {
    "open": ("care", "Open", "The run is under way."),
    "done": ("good", "Done", "The release serves all traffic."),
    "held": ("care", "Held", "It was held too long, and traffic went back to live."),
    "failed": ("bad", "Failed", "It ended before production was changed, or with production as before."),
    "rolled-back": ("bad", "Rolled back", "Traffic is back on the release that was live."),
    "aborted": ("plain", "Aborted", "A person ended it before production was touched."),
}


@dataclass(frozen=True)
class _Row:
    """An item, or a step of one, as the report shows it."""

    id: str
    title: str
    kind: str
    proof: str
    mark: _Mark
    summary: str
    mend: str
    at: str
    evidence: Evidence | None
    decision: Decision | None


def render(run: Run) -> bytes:
    """The whole run in one HTML file: no script, no network, every picture inside."""
    events = run.events()
    state = fold(events)
    jinja = templates.environment(own_templates(run))
    jinja.filters |= {"picture": _picture, "alt": _alt, "plain": _plain, "href": _is_link, "shell": shlex.quote}
    zone = ZoneInfo(run.environment.timezone)
    jinja.filters["utc"] = lambda at: f"{at:%Y-%m-%d %H:%M:%S}"
    jinja.filters["local"] = lambda at: f"{at.astimezone(zone):%H:%M:%S}"
    phases = _phases(run, state)
    page = jinja.get_template("report.html.j2").render(
        plan=run.plan,
        status=_STATUS[state.status.value],
        state=state,
        reasons=_reasons(events),
        decisions=list(_decisions(events)),
        to_review=gate.to_review(run),
        moments=list(timeline.moments(events)),
        zone=run.environment.timezone,
        phases=phases,
        counts=_counts(row for _, _, rows in phases for row in rows if "/" not in row.id),
        notebooks=_notebooks(run.folder / "notebooks"),
        sealed_at=next((datetime.fromisoformat(e.at) for e in events if e.type is Type.RUN_SEALED), None),
        head=events[-1],
    )
    return page.encode()


def incident(
    plan: Plan, events: Iterable[Event], own: Path | None = None, graphs: Mapping[str, str] | None = None
) -> str:
    """What went wrong, as Markdown.

    Args:
        plan: The run's plan.
        events: Its journal so far.
        own: The team's own templates, if it has some.
        graphs: Files of pictures beside the report, each with what it shows in words.
    """
    known = tuple(events)
    state = fold(known)
    return (
        templates.environment(own)
        .get_template("incident.md.j2")
        .render(
            plan=plan,
            status=_STATUS[state.status.value][1],
            state=state,
            moments=list(timeline.moments(known)),
            decisions=list(_decisions(known)),
            verdicts=[verdict for event in known if (verdict := _verdict(event))],
            graphs=graphs or {},
            failed=[s for s in state.items.values() if not s.outcome.opens and s.outcome is not Outcome.NOT_REACHED],
        )
    )


def with_graphs(run: Run) -> tuple[str, dict[str, bytes]]:
    """The incident report, and the pictures that it shows: what the judge saw from the first step of the shift on.

    Evidence that is not there any more costs its picture, and not the report, which says what is missing.
    """
    pictures, words, missing = {}, {}, ""
    try:
        for number, figure in enumerate(_judged(run), start=1):
            name = f"incident/{number}.png"
            pictures[name], words[name] = _drawn(figure), _alt(figure)
    except BrokenRecordError as error:
        missing = f"\nThere may be more graphs: {error.where}: {templates.markdown(error.what)}\n"
    return incident(run.plan, run.events(), own_templates(run), words) + missing, pictures


def _judged(run: Run) -> tuple[Figure, ...]:
    """The figures of the shift and of the watch, those of one title as one."""
    state = run.state()
    shift = [name for name in state.items if _parent(name) == "blue-green.traffic"]
    steps = [name for name in shift if "/" in name] if "blue-green.traffic" not in shift else ["blue-green.traffic"]
    watch = [item.id for item in checklist().items("watch") if item.id in state.items]
    return joined(tuple(run.evidence(state.items[name].evidence).figures for name in (*steps, *watch)))


def own_templates(run: Run) -> Path | None:
    """The team's own templates, if the settings name some."""
    return run.settings.path(run.settings.templates) if run.settings.templates else None


def _decisions(events: Iterable[Event]) -> Iterator[Decision]:
    """What people decided on items, and on each other's decisions."""
    for event in events:
        if event.type is Type.DECISION_MADE:
            yield Decision.model_validate({"item": event.item, **event.data})
        elif event.type in {Type.DECISION_REVOKED, Type.DECISION_REVIEWED}:
            said = event.data.get("decision")
            if isinstance(said, dict):
                yield Decision.model_validate({"item": event.item, **said})


def _verdict(event: Event) -> Verdict | None:
    """A verdict that spoke against the release, with its numbers."""
    if event.type is not Type.VERDICT_GIVEN or event.data.get("answer") in {None, "pass"}:
        return None
    return Verdict.model_validate({name: event.data[name] for name in Verdict.model_fields if name in event.data})


def _reasons(events: Iterable[Event]) -> list[str]:
    """Why the run did not simply go through."""
    kinds = {Type.ROLLBACK_ASKED, Type.TRAFFIC_RETURNED, Type.RUN_ENDED}
    reasons = [str(event.data["reason"]) for event in events if event.type in kinds and event.data.get("reason")]
    return list(dict.fromkeys(reasons))


def _phases(run: Run, state: State) -> list[tuple[str, str, list[_Row]]]:
    """Title, result and rows of each phase, with what no phase knows at the end."""
    phases, shown = [], set()
    for phase in checklist().phase:
        rows = [row for item in checklist().items(phase.id) for row in _rows(run, state, item)]
        shown |= {row.id for row in rows}
        result = state.phases.get(phase.id, "under way" if phase.id in state.started else "not started")
        phases.append((phase.title, result, rows))
    homeless = {item.id: item for item in checklist().item if item.phase not in {p.id for p in checklist().phase}}
    others = [row for item in homeless.values() for row in _rows(run, state, item)]
    strange = [
        _row(run, state, name, None) for name in state.items if name not in shown and _parent(name) not in homeless
    ]
    head = [("Contacts and rules", "", others)] if others else []
    return [*head, *phases, *([("Beside the checklist", "", strange)] if strange else [])]


def _counts(rows: Iterable[_Row]) -> list[tuple[_Mark, int]]:
    """How many items ended in which way, the worst first."""
    found = Counter(row.mark for row in rows)
    order = [_MARKS[outcome] for outcome in reversed(SEVERITY)] + [_SIGNED, _OPEN]
    return [(mark, found[mark]) for mark in order if found[mark]]


def _parent(name: str) -> str:
    return name.partition("/")[0]


def _rows(run: Run, state: State, item: Item) -> list[_Row]:
    steps = [name for name in state.items if name != item.id and _parent(name) == item.id]
    return [_row(run, state, name, item) for name in (item.id, *steps)]


def _row(run: Run, state: State, name: str, item: Item | None) -> _Row:
    settled = state.items.get(name)
    return _Row(
        id=name,
        title=item.title if item else "",
        kind=item.kind.value if item else "",
        proof=item.proof if item else "",
        mark=_mark(state, name),
        summary=settled.summary if settled else "",
        mend=settled.mend if settled else "",
        at=settled.at if settled else "",
        evidence=run.evidence(settled.evidence) if settled else None,
        decision=state.decisions.get(name),
    )


def _mark(state: State, name: str) -> _Mark:
    """A person's signature is the end of a sign-off, whose own outcome only says what was gathered."""
    settled, decision = state.items.get(name), state.decisions.get(name)
    if settled is None:
        return _OPEN
    signed = decision is not None and decision.kind is DecisionKind.SIGNED and state.gathered(name)
    return _SIGNED if signed else _MARKS[settled.outcome]


def _notebooks(folder: Path) -> list[tuple[str, dict[str, int], str]]:
    """Name, cells by how they ended, and the first error of each archived notebook."""
    found: list[tuple[str, dict[str, int], str]] = []
    for path in sorted(folder.glob("*.ipynb")):
        if path.name.endswith(".interactive.ipynb"):
            continue
        try:
            found.append((path.name, *_cells(json.loads(path.read_bytes()))))
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            # A torn notebook is told of, and does not keep the rest from being read.
            found.append((path.name, {}, f"cannot be read: {error}"))
    return found


def _cells(notebook: Any) -> tuple[dict[str, int], str]:
    """How many code cells ended how, and the first error."""
    cells = [cell for _, cell in executed.code(notebook)]
    words = Counter(str(executed.status(cell) or _theirs(cell)) for cell in cells)
    errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    return dict(words), f"{errors[0]['ename']}: {errors[0]['evalue']}" if errors else ""


def _theirs(cell: Any) -> str:
    """The word of papermill itself on a cell that our engine did not execute."""
    return str(cell["metadata"].get("papermill", {}).get("status", "not run"))


def _picture(figure: Figure) -> str:
    return f"data:image/png;base64,{base64.b64encode(_drawn(figure)).decode()}"


def _drawn(figure: Figure) -> bytes:
    from deploykit import plots  # noqa: PLC0415 - matplotlib takes a second, and a report without figures needs none

    return plots.draw(figure)


def _alt(figure: Figure) -> str:
    from deploykit import plots  # noqa: PLC0415 - likewise

    return plots.alt(figure)


def _plain(value: Any) -> str:
    """A JSON value as text for a cell of a table."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False)


def _is_link(address: str) -> bool:
    return address.startswith(("https://", "http://"))
