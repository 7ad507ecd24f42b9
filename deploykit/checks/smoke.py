"""`blue-green.smoke`: the team's requests, and the team's own pytest file, against the candidate's own address."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from deploykit.context import Context
from deploykit.errors import ProviderError
from deploykit.model import Evidence, Outcome, Result, Table, worst
from deploykit.ports import Answered
from deploykit.settings import SmokeRequest

ITEM = "blue-green.smoke"
#: What a smoke test finds in its environment.
ADDRESS, RELEASE = "DEPLOYKIT_URL", "DEPLOYKIT_RELEASE"
#: What pytest says before it begins; a file may end the session early, and look well in what is left of it.
COLLECTED = re.compile(r"^collected (\d+) items?(?:.* / (\d+) selected)?", re.MULTILINE)
#: Characters of pytest's output that are kept: its end.
KEPT = 20_000


@dataclass(frozen=True)
class Part:
    """What the requests, or the file, came to."""

    outcome: Outcome
    summary: str
    table: Table | None = None
    text: str = ""
    mend: str = "ask the candidate yourself, and read its log on the platform"


def smoke(context: Context) -> Result:
    """`blue-green.smoke`: both, where both are set; the worse counts."""
    environment, section = context.environment, f"environments.{context.plan.environment}"
    parts = []
    if environment.smoke:
        parts.append(_requests(context, environment.smoke))
    if environment.smoke_tests:
        parts.append(_tests(context, context.settings.path(environment.smoke_tests)))
    if not parts:
        mend = f"list requests under [[{section}.smoke]], or name a pytest file as smoke_tests"
        return Result(item=ITEM, outcome=Outcome.INCONCLUSIVE, summary="no smoke test is set", mend=mend)
    outcome = worst([part.outcome for part in parts])
    return Result(
        item=ITEM,
        outcome=outcome,
        summary="; ".join(part.summary for part in parts),
        evidence=Evidence(
            tables=tuple(part.table for part in parts if part.table), text="".join(part.text for part in parts)
        ),
        mend="" if outcome is Outcome.PASS else next(part.mend for part in parts if part.outcome is outcome),
    )


def _requests(context: Context, requests: tuple[SmokeRequest, ...]) -> Part:
    rows, failed, silent = [], 0, 0
    for request in requests:
        try:
            answer = context.ports.http.get(context.plan.candidate.url + request.path)
        except ProviderError as error:
            silent += 1
            rows.append((request.path, str(request.status), "no answer", error.what))
            continue
        fault = _fault(answer, request.status, request.contains)
        failed += bool(fault)
        rows.append((request.path, str(request.status), str(answer.status), fault or "ok"))
    outcome = Outcome.FAIL if failed else Outcome.ERROR if silent else Outcome.PASS
    table = Table(title="Smoke test", columns=("path", "expected", "answered", "result"), rows=tuple(rows))
    good = len(requests) - failed - silent
    return Part(outcome, f"{good} of {len(requests)} requests answered as they must", table)


def _fault(answer: Answered, status: int, contains: str) -> str:
    if answer.status != status:
        return f"answered {answer.status}"
    return f"the answer lacks {contains!r}" if contains and contains not in answer.text else ""


def _tests(context: Context, file: Path) -> Part:
    """Run the file, and believe what pytest wrote of each test; its exit code alone proves nothing."""
    if not file.is_file():
        return Part(Outcome.ERROR, f"there is no {file.name}", mend="mend the path smoke_tests")
    limit = context.environment.smoke_timeout
    with tempfile.TemporaryDirectory(prefix="deploykit-smoke-") as folder:
        report = Path(folder) / "report.xml"
        code, said = _run(context, file, report, limit)
        if code is None:
            return Part(Outcome.ERROR, f"{file.name} was not done within {limit:g} s", text=said[-KEPT:])
        try:
            tests = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314 - our own child wrote it
        except (OSError, ET.ParseError) as error:
            mend = "read its output; pytest must be installed beside deploykit"
            return Part(
                Outcome.ERROR, f"{file.name} left no results ({type(error).__name__})", text=said[-KEPT:], mend=mend
            )
    return _judged(file.name, code, tests, said)


def _run(context: Context, file: Path, report: Path, limit: float) -> tuple[int | None, str]:
    """Run pytest in a process group of its own; None for its code where it took too long and was ended."""
    command = [sys.executable, "-m", "pytest", str(file), f"--junitxml={report}", "-o", "addopts="]
    command += ["-p", "no:cacheprovider", "--color=no"]
    candidate = context.plan.candidate
    process = subprocess.Popen(
        command,
        cwd=file.parent,
        env={**os.environ, ADDRESS: candidate.url, RELEASE: candidate.version},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=limit)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        code = None
        said = b""
    finally:
        # What a test started ends with it, however it ended.
        _end_group(process.pid)
        if process.returncode is None:
            said, _ = process.communicate()
    return code, said.decode("utf-8", "replace")


def _end_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it has ended by itself


def _judged(name: str, code: int, tests: Iterable[ET.Element], said: str) -> Part:
    rows = tuple(_row(test) for test in tests)
    found = COLLECTED.search(said)
    wanted = int(found[2] or found[1]) if found else len(rows) + 1
    counts = {word: sum(row[1] == word for row in rows) for word in ("passed", "failed", "error", "skipped")}
    shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no test was found"
    if counts["failed"]:
        outcome = Outcome.FAIL
    elif counts["error"] or (code and counts["passed"]):
        outcome = Outcome.ERROR
    elif not counts["passed"] or len(rows) < wanted:
        outcome = Outcome.INCONCLUSIVE
    else:
        outcome = Outcome.PASS
    table = Table(title=f"Smoke tests of {name}", columns=("test", "result", "seconds", "message"), rows=rows)
    mend = "run the file yourself with DEPLOYKIT_URL set, and read its output"
    ended = f", pytest ended with {code}" if code else ""
    left = f", of {wanted} that were found" if len(rows) < wanted else ""
    return Part(outcome, f"{name}: {shown}{left}{ended}", table, said[-KEPT:], mend)


def _row(test: ET.Element) -> tuple[str, str, str, str]:
    """Name, result, seconds and message of one `testcase` of a JUnit report."""
    for tag, word in (("error", "error"), ("failure", "failed"), ("skipped", "skipped")):
        found = test.find(tag)
        if found is not None:
            return test.get("name", ""), word, test.get("time", ""), found.get("message", "")[:500]
    return test.get("name", ""), "passed", test.get("time", ""), ""
