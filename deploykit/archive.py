"""A run's folder: its views written, and at the end the whole of it sealed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from deploykit import checklist, reconcile, redact, report
from deploykit.errors import BrokenRecordError, RefusedError, UsageError
from deploykit.execution import make_context, run_check
from deploykit.execution.checks import left_out
from deploykit.journal.events import Type
from deploykit.journal.state import State, Status
from deploykit.journal.store import stored
from deploykit.model import Evidence, Json, Outcome, Result, sha256
from deploykit.run import Run
from deploykit.seal import HEAD, SEAL, files, seal, sealing_key, sums_of
from deploykit.signoff import gate, ssh
from deploykit.verify import undecided

#: The rule that closing enforces.
DOCUMENTED = "rule.documented"


def export(run: Run) -> None:
    """Write the views of a run into its folder, as often as one likes. A sealed folder is left as it is.

    Raises:
        BrokenRecordError: The journal or a piece of evidence does not hold.
    """
    if (run.folder / SEAL).exists():
        return
    events = run.events()
    files = {
        "journal.jsonl": b"".join(event.line + b"\n" for event in events),
        "settings.toml": _settings(run),
        "checklist.toml": checklist.text().encode(),
        "allowed_signers": gate.allowed_signers(run).read_bytes(),
        **_points(run),
        "report.html": report.render(run),
    }
    for name, data in files.items():
        run.write(name, data)


def close(run: Run) -> None:
    """Settle what the end left behind, write everything, and seal the folder.

    Interrupted, it can be called again: nothing is settled, recorded or signed twice.

    Raises:
        RefusedError: An item that is needed has no outcome, the folder is sealed, or a secret stands in a file.
        UsageError: There is no key to seal with.
        BrokenRecordError: A decision does not hold.
    """
    if (run.folder / SEAL).exists():
        raise RefusedError("the run is sealed", where=run.id, mend="what is learnt later goes to an addendum")
    key = sealing_key(run)
    reconcile.mend(run)
    if not run.state().sealed:
        _settle_rest(run)
        run.release_lock()
        _keep_interactive(run)
        # Before the journal says sealed: what is found now can still be mended.
        export(run)
        _refuse_secrets(run)
        _require_decisions(run)
        run.append(Type.RUN_SEALED, data={"plan": run.plan.hash})
    export(run)
    last = run.events()[-1]
    run.write(HEAD, f"{last.seq} {last.hash}\n".encode())
    _refuse_secrets(run)
    with stored(run.folder):
        seal(run.folder, sums_of(run.folder), key, ssh.Namespace.SEAL)


def _settings(run: Run) -> bytes:
    """The settings that the plan names, where they were frozen beside it or still stand; else what stands now."""
    frozen = run.folder / "settings.toml"
    if frozen.is_file() and sha256(frozen.read_bytes()) == run.plan.settings:
        return frozen.read_bytes()
    path = run.settings.home / run.settings.file
    try:
        return redact.text(path.read_text("utf-8")).encode()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path.name) from error


def _points(run: Run) -> dict[str, bytes]:
    """The points behind every graph, by file name."""
    tables = {}
    for item, settled in run.state().items.items():
        for number, figure in enumerate(run.evidence(settled.evidence).figures, start=1):
            from deploykit import plots  # noqa: PLC0415 - matplotlib takes a second, and most items have no figure

            name = item.replace("/", ".") + (f"-{number}" if number > 1 else "")
            tables[f"data/{name}.csv"] = plots.csv(figure)
    return tables


def _settle_rest(run: Run) -> None:
    """Give every item that the run left behind its word, or refuse while a person or the runner still owes one."""
    state, count = run.state(), len(run.events())
    behind = [item for item in checklist.checklist().item if item.id not in state.items and item.id != DOCUMENTED]
    spared = [item.id for item in behind if item.when == "rolled-back" and not state.rolled_back]
    missing = [item.id for item in behind if item.id not in spared]
    if state.status is Status.OPEN:
        _require_complete(run, state, missing)
    for item in spared:
        why = f"no rollback in this run: no {Type.ROLLBACK_ASKED} among its {count} events"
        facts: Json = {f"{Type.ROLLBACK_ASKED} events": 0, "events looked at": count}
        run.settle(Result(item=item, outcome=Outcome.NOT_NEEDED, summary=why, evidence=Evidence(facts=facts)))
    why = f"the run ended ({state.status}) before this item"
    for item in missing:
        known = left_out(run, checklist.checklist().find(item))
        run.settle(known or Result(item=item, outcome=Outcome.NOT_REACHED, summary=why))
    run_check(run, make_context(run), checklist.checklist().find(DOCUMENTED))


def _require_complete(run: Run, state: State, missing: list[str]) -> None:
    owed = [f"{item} has no outcome" for item in missing] + [f"{step.step} is unknown" for step in state.unknown]
    if owed:
        raise RefusedError(
            f"not everything is documented: {', '.join(owed)}",
            where="rule.documented",
            mend=f"`deploykit resume {run.id}` goes on; `deploykit resolve` settles an unknown step",
        )


def _require_decisions(run: Run) -> None:
    """Every decision that the journal holds is proved once more, before it is sealed with the rest."""
    wrong = undecided(run.folder, gate.allowed_signers(run))
    if wrong:
        mend = "end a key with valid-before=..., never by taking its line out; else look who wrote to the store"
        raise BrokenRecordError(wrong[0], where=run.id, mend=mend)


def _keep_interactive(run: Run) -> None:
    """Keep what a person worked in beside the archived notebooks, and clear their desk."""
    desk = run.folder / "work"
    for path in sorted(desk.glob("*.ipynb")):
        data = path.read_bytes()
        if not _has_outputs(data):
            continue
        name = f"{path.stem}.interactive.ipynb"
        run.write(f"notebooks/{name}", data)
        run.append(Type.NOTEBOOK_ARCHIVED, data={"name": name, "sha256": sha256(data)})
    if desk.exists():
        shutil.rmtree(desk)


def _has_outputs(notebook: bytes) -> bool:
    """Whether somebody ran something in it; what cannot be read is kept, not judged."""
    try:
        cells = json.loads(notebook)["cells"]
        return any(cell.get("outputs") for cell in cells)
    except (ValueError, LookupError, AttributeError, TypeError):
        return True


def _refuse_secrets(run: Run) -> None:
    """Search every file, decoded, for every secret that the settings can resolve here."""
    run.settings.learn()
    for name in files(run.folder):
        if any(map(redact.found, _texts((run.folder / name).read_bytes()))):
            raise RefusedError(
                "a secret stands in this file", where=str(name), mend="change that secret, take it out, close again"
            )


def _texts(data: bytes) -> Iterator[str]:
    """A file as text, and every string that JSON in it stands for."""
    text = data.decode("utf-8", "replace")
    yield text
    for part in (text, *text.splitlines()):
        if part[:1] in {"{", "["}:
            with suppress(ValueError):
                yield from _strings(json.loads(part))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list):
        # A notebook keeps a text as a list of its lines.
        yield "".join(part for part in value if isinstance(part, str))
        for inner in value:
            yield from _strings(inner)
