"""The judge over recorded deployments: cases in, one verdict a line out, and a page with every picture."""

from __future__ import annotations

import base64
import gzip
import html
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from deploykit import redact
from deploykit.analysis.cases import Case, CaseError, Judged, judge, parse
from deploykit.errors import UsageError
from deploykit.journal.events import Type
from deploykit.measure import past
from deploykit.measure.past import Moment
from deploykit.providers import connect
from deploykit.run import Run
from deploykit.settings import Settings


def read(path: Path) -> Iterator[Case]:
    """The cases of a file, one after the other; `-` is standard input, `.gz` is unpacked.

    Raises:
        UsageError: The file cannot be read, or a line is no case; the line is named.
    """
    try:
        with _lines(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parsed(path, number, line)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path), mend="give a file of JSON Lines") from error


def _parsed(path: Path, number: int, line: str) -> Case:
    try:
        return parse(line)
    except CaseError as error:
        mend = "each line is a case: id, change_at, step_s and metrics with baseline, control and live"
        raise UsageError(str(error), where=f"{path}, line {number}", mend=mend) from error


@contextmanager
def _lines(path: Path) -> Iterator[IO[str]]:
    if str(path) == "-":
        yield sys.stdin
    elif path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield lines
    else:
        with path.open(encoding="utf-8") as lines:
            yield lines


def from_metrics(
    settings: Settings, environment: str, moments: Iterable[Moment], window: tuple[float, float], keep: Path | None
) -> Iterator[Case]:
    """Past deployments of the team's own, cut out of its metrics.

    Args:
        settings: With the queries and the limits.
        environment: One of the settings'.
        moments: The deployments.
        window: Seconds before and after each.
        keep: A file to write the cases to, to be judged again without the metrics.

    Raises:
        UsageError: There is nothing to judge at a moment.
        ProviderError: The metrics do not answer.
    """
    metrics = connect(settings, settings.environment(environment)).metrics
    lines = []
    for moment in moments:
        lines.append(json.dumps(past.case(metrics, settings, moment, *window)))
        if keep:
            keep.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        yield parse(lines[-1])


def moment_of(run: Run) -> Moment:
    """When a run gave its candidate the first traffic.

    Raises:
        UsageError: It never did.
    """
    for event in run.events():
        if event.type is Type.STEP_HAPPENED and event.step.startswith("blue-green.traffic/"):
            return Moment(datetime.fromisoformat(event.at).timestamp(), run.plan.candidate.colour, run.id)
    raise UsageError("it never gave its candidate any traffic", where=run.id, mend="`deploykit runs` lists others")


def run(given: Iterable[Case], tell: Callable[[Judged], None], report: Path | None = None) -> dict[str, int]:
    """Judge cases in turn, and write the report as it grows.

    Args:
        given: The cases.
        tell: Called with each judged case.
        report: An HTML file to write, with each case's pictures; needs the `notebooks` extra.

    Returns:
        How many verdicts of each kind there were.

    Raises:
        UsageError: The file cannot be read, or a line is no case.
    """
    counted: dict[str, int] = {}
    page = report.open("w", encoding="utf-8") if report else None
    try:
        if page:
            page.write(_HEAD)
        for case in given:
            judged = judge(case)
            counted[judged.verdict.answer.value] = counted.get(judged.verdict.answer.value, 0) + 1
            tell(judged)
            if page:
                page.write(_section(judged))
        if page:
            page.write("</body></html>\n")
    finally:
        if page:
            page.close()
    return counted


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Backtest</title>
<meta name="viewport" content="width=device-width">
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
img{max-width:100%;height:auto}section{border-top:1px solid #ccc;padding:1rem 0}h2{font-size:1.1rem}</style></head>
<body><h1>The judge over recorded deployments</h1>
<p>Each case was judged point by point, without looking ahead. Grey is what is usual; the evidence is enough at 1.</p>
"""


def _section(judged: Judged) -> str:
    from deploykit import plots  # noqa: PLC0415 - a report alone needs pictures
    from deploykit.analysis.pictures import case_figures  # noqa: PLC0415 - likewise

    said = f"{judged.case.id}: {judged.verdict.answer.value}"
    parts = [f"<section><h2>{_text(said)}</h2><p>{_text(judged.verdict.reason)}</p>"]
    for figure in case_figures(judged):
        data = base64.b64encode(plots.draw(figure)).decode()
        parts.append(f'<img alt="{_text(plots.alt(figure))}" src="data:image/png;base64,{data}">')
    return "\n".join([*parts, "</section>\n"])


def _text(text: str) -> str:
    return html.escape(redact.visible(redact.text(text)))
