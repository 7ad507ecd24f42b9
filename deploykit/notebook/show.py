"""Static bundles: what a notebook shows, in every form that a reader may have, and nothing that needs our software."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

from deploykit import redact
from deploykit.checklist import HEAD, Item, checklist
from deploykit.errors import DeploykitError
from deploykit.journal.state import State
from deploykit.model import Decision, DecisionKind, Evidence, Outcome, Plan, Result, Table

ITEM_TYPE = "application/vnd.deploykit.item+json"
SCRAP_TYPE = "application/scrapbook.scrap.json+json"

#: A sign, beside the word and the colour, for each outcome.
SIGNS = {
    Outcome.PASS: ("✔", "#1a7f37"),
    Outcome.FAIL: ("✘", "#c62828"),
    Outcome.INCONCLUSIVE: ("?", "#9a6700"),
    Outcome.ERROR: ("!", "#b35900"),
    Outcome.NOT_NEEDED: ("-", "#57606a"),
    Outcome.LEFT_OUT: ("-", "#57606a"),
    Outcome.NOT_REACHED: ("○", "#57606a"),
    Outcome.UNKNOWN: ("‽", "#8250df"),
}


@dataclass(frozen=True)
class Bundle:
    """One output: its forms by MIME type, and their metadata."""

    data: dict[str, Any]
    metadata: dict[str, Any]


def item(title: str, result: Result, decision: Decision | None = None) -> Bundle:
    """How an item ended, with its evidence folded away, and a person's word beside it."""
    sign, colour = SIGNS[result.outcome]
    word = result.outcome.value
    plain = f"{sign} {word.upper()}  {_flat(result.item)}: {_flat(result.summary)}"
    if result.mend:
        plain += f"\n  → {_flat(result.mend)}"
    badge = f'<strong style="color:{colour}">{sign} {word}</strong>'
    body = f"<p>{badge} <code>{_safe(result.item)}</code> {_safe(title)}<br>{_safe(result.summary)}</p>"
    if result.mend:
        body += f"<p>→ {_safe(result.mend)}</p>"
    if decision is not None:
        word_given = said_by(decision)
        plain += f"\n  {_flat(word_given)}"
        body += f"<p><strong>{_safe(word_given)}</strong></p>"
    data = {
        "text/plain": plain + _plain_evidence(result.evidence),
        "text/html": _block(body + _evidence(result.evidence)),
        "text/markdown": f"**{sign} {word}** {_markdown(result.item)}: {_markdown(result.summary)}",
        ITEM_TYPE: {
            "item": redact.text(result.item),
            "outcome": word,
            "summary": redact.text(result.summary),
            "mend": redact.text(result.mend),
            **({"decision": redact.text(said_by(decision))} if decision else {}),
        },
    }
    return Bundle(data, {})


def said_by(decision: Decision) -> str:
    """A person's word: refused and overridden look different from signed."""
    sign = {DecisionKind.SIGNED: "✍ signed", DecisionKind.REFUSED: "✘ REFUSED", DecisionKind.OVERRIDDEN: "⚠ OVERRIDDEN"}
    why = f": {decision.comment}" if decision.comment else ""
    return f"{sign[decision.kind]} by {decision.signer} at {decision.at:%F %T} UTC{why}"


def scraps(result: Result) -> tuple[Bundle, ...]:
    """The result, and its verdict if it has one, in scrapbook's format (version 1), for data frames over many runs."""
    said: dict[str, Any] = {"outcome": result.outcome.value, "summary": redact.text(result.summary)}
    found = [_scrap(result.item, said)]
    if result.evidence.verdict is not None:
        verdict = redact.tree(result.evidence.verdict.model_dump(mode="json"))
        found.append(_scrap(f"{result.item}/verdict", verdict))
    return tuple(found)


def _scrap(name: str, data: dict[str, Any]) -> Bundle:
    name = redact.text(name)
    scrap = {"name": name, "data": data, "encoder": "json", "version": 1}
    return Bundle({SCRAP_TYPE: scrap}, {"scrapbook": {"name": name, "data": True, "display": False}})


def working(item_id: str, title: str, line: str) -> Bundle:
    """An item that is under way."""
    plain = f"… {_flat(item_id)}: {_flat(line)}"
    body = f"<p><strong>… under way</strong> <code>{_safe(item_id)}</code> {_safe(title)}<br>{_safe(line)}</p>"
    said = f"… {_markdown(item_id)}: {_markdown(line)}"
    return Bundle({"text/plain": plain, "text/html": _block(body), "text/markdown": said}, {})


def failed(item_id: str, error: BaseException) -> Bundle:
    """An item that could not be begun, or broke off without a result."""
    said = str(error) if isinstance(error, DeploykitError) else f"{type(error).__name__}: {error}"
    body = f"<p><strong>✘ stopped</strong> <code>{_safe(item_id)}</code></p><pre>{_safe(said)}</pre>"
    return Bundle({"text/plain": f"✘ STOPPED  {_flat(item_id)}: {_flat(said)}", "text/html": _block(body)}, {})


def note(line: str) -> Bundle:
    """One line."""
    return Bundle({"text/plain": _flat(line), "text/html": f"<p>{_safe(line)}</p>"}, {})


def picture(png: bytes, text: str) -> Bundle:
    """A picture with its words."""
    import base64  # noqa: PLC0415 - only where there is a picture

    metadata = {"image/png": {"alt": _flat(text)}}
    return Bundle({"image/png": base64.b64encode(png).decode(), "text/plain": f"[picture: {_flat(text)}]"}, metadata)


def head(plan: Plan, title: str, items: tuple[Item, ...], state: State) -> Bundle:
    """The head of a notebook: what is deployed, by whom, whom to call, and where the phase stands."""
    facts = {
        "release": f"{plan.release} ({plan.commit[:9]})",
        "service": f"{plan.service} in {plan.environment}",
        "live": f"{plan.live.colour}, {plan.live.version}",
        "candidate": f"{plan.candidate.colour}, {plan.candidate.version}",
        "operator": plan.operator or "not named",
        "run": f"{plan.run} (number {plan.number})",
    }
    loud = loud_facts(plan)
    rows = "".join(f"<tr><th>{_safe(k)}</th><td>{_safe(v)}</td></tr>" for k, v in facts.items())
    everybody = checklist().items(HEAD)
    listed = "".join(f"<li><code>{_safe(i.id)}</code> {_safe(i.title)}: {_safe(_word(state, i))}</li>" for i in items)
    called = "".join(f"<tr><th>{_safe(i.id)}</th><td>{_safe(_found(state, i))}</td></tr>" for i in everybody)
    said = "".join(f"<p><strong>⚠ {_safe(line)}</strong></p>" for line in loud)
    markup = f"<h3>{_safe(title)}</h3>{said}<table>{rows}</table>"
    markup += f"<table><caption>contacts and rules</caption>{called}</table><ul>{listed}</ul>"
    plain = [title, *[f"⚠ {line}" for line in loud], *[f"{k}: {v}" for k, v in facts.items()]]
    plain += [f"{i.id}: {_found(state, i)}" for i in everybody]
    plain += [f"- {i.id}: {_word(state, i)}" for i in items]
    return Bundle({"text/plain": "\n".join(_flat(line) for line in plain), "text/html": _block(markup)}, {})


def loud_facts(plan: Plan) -> tuple[str, ...]:
    """What a reader must not miss about a run."""
    said = []
    if plan.sandbox:
        said.append("sandbox: not a production deployment")
    if plan.rehearsal:
        said.append("rehearsal: changes are left out")
    if plan.solo:
        said.append("solo: one person is author, operator and approver")
    if plan.time_scale != 1:
        said.append(f"time scale 1/{plan.time_scale:g}: a minute of the runbook lasts {60 / plan.time_scale:.1f} s")
    return tuple(said)


def gate(title: str, waiting: tuple[tuple[str, str], ...]) -> Bundle:
    """The end of a phase: open, or what keeps it shut."""
    if not waiting:
        plain = f"✔ gate open: {_flat(title)}"
        opened = _block(f"<p><strong>✔ gate open</strong>: {_safe(title)}</p>")
        return Bundle({"text/plain": plain, "text/html": opened}, {})
    listed = "".join(f"<li><code>{_safe(i)}</code>: {_safe(why)}</li>" for i, why in waiting)
    plain = "\n".join([f"✘ gate shut: {_flat(title)}", *(f"- {_flat(i)}: {_flat(why)}" for i, why in waiting)])
    shut = _block(f"<p><strong>✘ gate shut</strong>: {_safe(title)}</p><ul>{listed}</ul>")
    return Bundle({"text/plain": plain, "text/html": shut}, {})


def _block(markup: str) -> str:
    """Our markup, where no reader looks for formulas: a sum of $ is text, and so is what could be a command of TeX."""
    return f'<div class="deploykit tex2jax_ignore mathjax_ignore">{markup}</div>'


def _word(state: State, item: Item) -> str:
    settled = state.items.get(item.id)
    return f"{SIGNS[settled.outcome][0]} {settled.outcome.value}" if settled else "not done yet"


def _found(state: State, item: Item) -> str:
    """What was found of a contact or a rule, with who broke the glass."""
    settled, decision = state.items.get(item.id), state.decisions.get(item.id)
    if settled is None:
        return "not asked yet"
    said = f"{SIGNS[settled.outcome][0]} {settled.outcome.value}: {settled.summary}"
    return f"{said} ({said_by(decision)})" if decision else said


def _evidence(evidence: Evidence) -> str:
    parts = []
    if evidence.facts:
        rows = "".join(f"<tr><th>{_safe(k)}</th><td>{_safe(_value(v))}</td></tr>" for k, v in evidence.facts.items())
        parts.append(f"<table>{rows}</table>")
    if evidence.verdict is not None:
        found = "".join(f"<li>{_safe(f.metric)}: {_safe(f.reason)}</li>" for f in evidence.verdict.findings)
        said = f"verdict {evidence.verdict.answer.value}: {evidence.verdict.reason}"
        parts.append(f"<p>{_safe(said)}</p><ul>{found}</ul>")
    parts.extend(_table(table) for table in evidence.tables)
    if evidence.text:
        parts.append(f"<pre>{_safe(evidence.text)}</pre>")
    if not parts:
        return ""
    return f"<details><summary>evidence</summary>{''.join(parts)}</details>"


def _table(table: Table) -> str:
    top = "".join(f"<th>{_safe(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{_safe(_value(c))}</td>" for c in row) + "</tr>" for row in table.rows)
    return f"<table><caption>{_safe(table.title)}</caption><tr>{top}</tr>{rows}</table>"


def _plain_evidence(evidence: Evidence) -> str:
    lines = [f"\n    {_flat(k)}: {_flat(_value(v))}" for k, v in evidence.facts.items()]
    if evidence.verdict is not None:
        lines.append(f"\n    verdict: {evidence.verdict.answer.value}: {_flat(evidence.verdict.reason)}")
    for table in evidence.tables:
        lines.append(f"\n    {_flat(table.title)}: {' | '.join(map(_flat, table.columns))}")
        lines += ["\n      " + " | ".join(_flat(_value(cell)) for cell in row) for row in table.rows]
    return "".join(lines)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _safe(text: str) -> str:
    return html.escape(redact.visible(redact.text(text)))


def _flat(text: str) -> str:
    return redact.visible(redact.text(text)).replace("\n", " ").replace("\t", " ")


def _markdown(text: str) -> str:
    """Outside text is never formatted into Markdown: every character that could mean something is escaped."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|<>~$&:/@=^" else c for c in _flat(text))
