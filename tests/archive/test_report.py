from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import mistune
import pytest

from deploykit import redact
from deploykit.files import write_atomically
from deploykit.journal.events import Type
from deploykit.model import (
    Answer,
    DecisionKind,
    Evidence,
    Figure,
    Finding,
    Outcome,
    Result,
    Series,
    Table,
    Verdict,
)
from deploykit.report import incident, render, with_graphs
from deploykit.run import Run
from deploykit.signoff.policy import decide
from deploykit.templates import markdown
from tests.archive.archived import figure, go_through, notebook
from tests.signoff.team import Team, settle

#: HTML, an attribute's end, Markdown, a terminal's colours, a direction override, a template, and a form feed.
HOSTILE = (
    '<img src=x onerror=alert(1)>"><script>x</script> [a](javascript:b) ![c](http://d) **e** `f`'
    " \x1b[31mg\u202eh {{ 7 * 7 }} \x0c"
)


class Page(HTMLParser):
    """What a browser would make of the report."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


@pytest.fixture
def run(team: Team) -> Iterator[Run]:
    with team.run() as run:
        yield run


def page(run: Run) -> Page:
    return Page(render(run).decode())


def hostile() -> Evidence:
    series = Series(name=HOSTILE, unit="ms", query=HOSTILE, points=((0.0, 1.0), (60.0, 2.0)))
    finding = Finding(metric=HOSTILE, answer=Answer.HOLD, reason=HOSTILE, numbers={HOSTILE: 1.0})
    return Evidence(
        facts={HOSTILE: HOSTILE, "list": [HOSTILE]},
        tables=(Table(title=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),)),),
        figures=(Figure(title=HOSTILE, series=(series,), marks=((0.0, HOSTILE),)),),
        verdict=Verdict(answer=Answer.HOLD, reason=HOSTILE, findings=(finding,)),
        text=HOSTILE,
        links={"bad": "javascript:alert(1)", HOSTILE: "https://example.com/" + HOSTILE},
    )


def fill(run: Run, team: Team) -> None:
    """Hostile text in every place where text from outside can stand."""
    run.settle(result := _result("blue-green.deploy"))
    run.settle(result.model_copy(update={"item": f"strange/{HOSTILE}"}))
    decide(run, "blue-green.deploy", DecisionKind.OVERRIDDEN, key=team.key("ann"), comment=HOSTILE)
    run.append(Type.NOTE_WRITTEN, data={"text": HOSTILE})
    run.append(Type.PHASE_ENDED, item="blue-green", data={"result": HOSTILE})
    run.append(Type.VERDICT_GIVEN, data=Verdict(answer=Answer.ROLL_BACK, reason=HOSTILE).model_dump(mode="json"))
    run.append(Type.STEP_UNKNOWN, item="blue-green.traffic", step=HOSTILE, data={"reason": HOSTILE})
    run.append(Type.ROLLBACK_ASKED, data={"reason": HOSTILE})
    book = notebook("x").replace(b'"output_type": "stream"', b'"output_type": "error", "ename": "<b>", "evalue": "<i>"')
    write_atomically(run.folder / "notebooks" / "<b>.ipynb", book)


def _result(item: str) -> Result:
    return Result(item=item, outcome=Outcome.FAIL, summary=HOSTILE, mend=HOSTILE, evidence=hostile())


def test_hostile_text_is_inert_wherever_it_stands(run: Run, team: Team) -> None:
    fill(run, team)
    shown = page(run)
    assert {name for name, _ in shown.tags} <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "header",
            "main",
            "section",
            "article",
            "details",
            "summary",
        ),
        *(
            "div",
            "span",
            "p",
            "h1",
            "h2",
            "h3",
            "ul",
            "li",
            "strong",
            "code",
            "pre",
            "a",
            "time",
            "figure",
            "figcaption",
        ),
        *("img", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in shown.all("img"))
    assert all(str(link["href"]).startswith(("https://", "notebooks/")) for link in shown.all("a"))
    assert "\\u202eh {{ 7 * 7 }} \\u000c" in shown.text
    assert not set("\x1b\u202e\x0c") & set(render(run).decode())


def test_the_incident_report_is_inert_and_tells_what_happened(run: Run, team: Team) -> None:
    fill(run, team)
    text = incident(run.plan, run.events())
    shown = Page(
        f"<body>{mistune.create_markdown(escape=False, plugins=['url', 'strikethrough', 'table'])(text)}</body>"
    )
    assert {name for name, _ in shown.tags} == {"body", "h1", "h2", "ul", "li", "strong"}
    assert "Rolled back because: <img src=x" in shown.text
    assert "**e**" in shown.text
    assert "ann@example.com overrode blue-green.deploy" in shown.text
    assert "\x1b" not in text


def test_the_incident_report_shows_what_the_judge_saw_beside_itself(run: Run) -> None:
    hostile = figure("Errors ](x) <b>")
    for name, seen in (("10", (figure(), hostile)), ("50", (figure(),))):
        evidence = Evidence(figures=seen)
        run.settle(Result(item=f"blue-green.traffic/{name}", outcome=Outcome.FAIL, summary="s", evidence=evidence))
    text, pictures = with_graphs(run)
    assert sorted(pictures) == ["incident/1.png", "incident/2.png"], "figures of one title are one"
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    html = str(mistune.create_markdown(escape=False)(text))
    assert re.findall(r'<img src="([^"]*)"', html) == ["incident/1.png", "incident/2.png"]
    assert "<b>" not in html


def test_an_incident_report_is_written_where_evidence_is_gone_and_says_so(run: Run) -> None:
    run.settle(
        Result(item="blue-green.traffic", outcome=Outcome.FAIL, summary="s", evidence=Evidence(figures=(figure(),)))
    )
    for path in (run.folder / "evidence").iterdir():
        path.unlink()
    text, pictures = with_graphs(run)
    assert pictures == {}
    assert "There may be more graphs: evidence/" in text


@pytest.mark.parametrize(
    "text", ["https://x.example", "www.x.example", "a@x.example", "- a\n- b", "&lt;", "#12", "| a |"]
)
def test_text_in_markdown_reads_as_it_was(text: str) -> None:
    html = mistune.create_markdown(escape=False, plugins=["url", "table"])(f"- at: {markdown(text)}")
    shown = Page(str(html))
    assert {name for name, _ in shown.tags} == {"ul", "li"}
    assert shown.text.strip() == f"at: {text.replace(chr(10), ' ')}"


def test_known_secrets_are_masked_in_both(run: Run) -> None:
    redact.learn("s3cret_value")
    try:
        run.append(Type.ROLLBACK_ASKED, data={"reason": "token s3cret_value refused"})
        assert "token [redacted] refused" in page(run).text
        assert "redacted" in incident(run.plan, run.events())
        assert "value" not in incident(run.plan, run.events())
    finally:
        redact.forget()


def test_it_is_one_file_that_asks_nothing_of_the_network(run: Run, team: Team) -> None:
    go_through(run, team)
    html = render(run).decode()
    shown = Page(html)
    assert not shown.open
    assert not {"script", "link", "iframe", "object", "form"} & {name for name, _ in shown.tags}
    assert not re.search(r"url\(|@import", html)
    assert all(image["alt"] for image in shown.all("img"))


def test_it_says_what_was_decided_by_whom_and_how_each_item_ended(run: Run, team: Team) -> None:
    go_through(run, team)
    shown = page(run)
    text = " ".join(shown.text.split())
    for said in (
        "shop v2 to production",
        "✓ pass The release runs in the idle environment",
        "✗ fail Error rates are watched",
        "overridden by ann@example.com",
        "known noise",
        "10 % held for 60 s",
        "0.02 % under 0.1 %",
        "blue-green.traffic/10 happened",
        "1 completed",
        "Not sealed",
        "Europe/Berlin",
        "-I olga@example.com -n deploykit-seal",
    ):
        assert said in text


def test_an_override_that_nobody_reviewed_is_said(run: Run, team: Team) -> None:
    settle(run, "watch.latency", Outcome.FAIL)
    decide(run, "watch.latency", DecisionKind.OVERRIDDEN, key=team.key("ann"), comment="one slow page")
    said = "Not reviewed yet: ann@example.com overrode watch.latency"
    assert said in " ".join(page(run).text.split())
    decide(run, "watch.latency", DecisionKind.REVIEWED, key=team.key("dev"), comment="it was")
    shown = " ".join(page(run).text.split())
    assert said not in shown
    assert "dev@example.comreviewedwatch.latencyit was" in shown


@pytest.mark.parametrize(
    ("status", "words"),
    [("done", "Done"), ("rolled-back", "Rolled back"), ("held", "Held"), ("failed", "Failed"), ("aborted", "Aborted")],
)
def test_the_banner_is_the_runs_end_and_its_reason(run: Run, status: str, words: str) -> None:
    run.append(Type.RUN_ENDED, data={"status": status, "reason": "because of that"})
    html = render(run).decode()
    assert re.search(rf'<div class="banner \w+" role="status"><strong>{words}</strong>[^<]*because of that</div>', html)


def test_what_makes_a_run_less_than_production_is_loud(tmp_path: Path) -> None:
    team = Team(tmp_path, solo=True)
    with team.run(sandbox=True) as run:
        run.plan = run.plan.model_copy(update={"time_scale": 60.0, "rehearsal": True})
        text = page(run).text
        for said in (
            "Solo: one person",
            "Sandbox: the outside systems",
            "a minute of the runbook lasted 1 s",
            "Rehearsal:",
        ):
            assert said in text


def test_an_unknown_step_is_said_at_the_top(run: Run) -> None:
    run.append(Type.STEP_INTENDED, item="blue-green.traffic", step="blue-green.traffic/50")
    assert "nobody saw the end of blue-green.traffic/50" in page(run).text
    assert "blue-green.traffic/50: **its end is unknown**" in incident(run.plan, run.events())


def test_of_the_judges_looks_only_the_changes_are_told(run: Run) -> None:
    for answer in ("pass", "pass", "hold", "hold", "pass", "rollback"):
        run.append(Type.VERDICT_GIVEN, step="blue-green.traffic/10", data={"answer": answer, "reason": "so"})
    told = re.findall(r"judge on blue-green.traffic/10: (\w+)", page(run).text)
    assert told == ["hold", "pass", "rollback"]


def test_the_teams_own_template_comes_first(run: Run, team: Team) -> None:
    (team.home / "own").mkdir()
    (team.home / "own" / "report.html.j2").write_text("ours: {{ plan.release }}", "utf-8")
    run.settings = run.settings.model_copy(update={"templates": Path("own")})
    assert render(run) == b"ours: v2"
    settle(run, "watch.errors", Outcome.PASS)
    assert incident(run.plan, run.events(), team.home / "own").startswith("# Incident: shop v2 in production")


def test_a_torn_notebook_is_told_of_and_the_rest_is_read(run: Run) -> None:
    write_atomically(run.folder / "notebooks" / "00_readiness.ipynb", b'{"cells"')
    write_atomically(run.folder / "notebooks" / "01_prepare.ipynb", notebook())
    text = page(run).text
    assert "cannot be read" in text
    assert "1 completed" in text
