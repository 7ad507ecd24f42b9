"""Whatever text comes from outside, a notebook shows it as text: in HTML, in Markdown and plain."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

import mistune
import pytest

from deploykit import redact
from deploykit.checklist import Item
from deploykit.errors import DeploykitError
from deploykit.journal.state import Settled, State
from deploykit.model import Answer, Evidence, Finding, Kind, Outcome, Plan, Result, Table, Verdict, now
from deploykit.notebook import show
from tests.signoff.team import arm

#: What our own markup is made of.
TAGS = {
    "div",
    "p",
    "strong",
    "code",
    "br",
    "table",
    "caption",
    "tr",
    "th",
    "td",
    "ul",
    "li",
    "pre",
    "details",
    "summary",
}
TAGS |= {"h3"}
ATTRIBUTES = {"class", "style"}

SCRIPTS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<img/src='x'/onerror=alert(1)//",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1&#41;</script></svg>",
    "<math><mtext></table><img src onerror=alert(1)></math>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<form action=//evil.example><input name=password></form>",
    "<button onclick=alert(1)>Approve</button>",
    "<a href=javascript:alert(1)>mend</a>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>*{display:none}</style>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src onerror=alert(1)>'>",
    "<textarea><script>alert(1)</script>",
    "<plaintext>",
    "<xmp><p>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php alert(1) ?>",
    "<!DOCTYPE html>",
    "</div></p></table></td></pre></details><h1>passed</h1>",
    "</pre><strong style='color:#1a7f37'>✔ pass</strong>",
    "</code><b>bold</b>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "` onmouseover=`alert(1)",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "&amp;lt;script&amp;gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "<\x00script>alert(1)</script>",
    "<\u200bscript>alert(1)</script>",
    "<p>paragraph",
    "<",
    ">",
    "&",
    "<<<>>>",
]
MARKDOWN = [
    "[mend](javascript:alert(1))",
    "[mend](https://evil.example)",
    "![](https://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "[ref]: https://evil.example",
    "[x][ref]",
    "<https://evil.example>",
    "<mailto:a@evil.example>",
    "https://evil.example",
    "http://evil.example/?a=b&c=d",
    "www.evil.example",
    "a@evil.example",
    "ftp://evil.example",
    "**bold** __bold__ *em* _em_",
    "`code` ``more``",
    "```\nfence\n```",
    "~~~\nfence\n~~~",
    "# heading",
    "\n# heading\n",
    "heading\n===",
    "- item\n- item",
    "1. item\n2. item",
    "1) item",
    "> quote",
    "---",
    "***",
    "a | b\n--|--\n1 | 2",
    "\n\n    indented code",
    "~~struck~~",
    "footnote[^1]\n\n[^1]: text",
    "\\[x\\](y)",
    "\\",
    "trailing\\",
    "two spaces  \nand a break",
    "$\\href{javascript:alert(1)}{x}$",
    "$$x$$ \\(x\\) \\[x\\]",
    "==mark== ^sup^ ~sub~ ++ins++",
    ":::note\nx\n:::",
    "<!-- comment -->",
    "&copy; &#x1F4A9;",
    "- [ ] task",
]
CONTROLS = [
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31mred",
    "\r\x1b[Kpassed",
    "\b\b\b\bpass",
    "NUL\x00NUL",
    "\x07\x08\x0b\x0c\x7f",
    "\u202egnp.exe\u202c",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200c\u200d\ufeff",
    "line\u2028separator\u2029",
    "soft\u00adhyphen",
    "\U000e0041\U000e0042 tags",
    "tab\tand\nline\r\n",
    "{{ 7 * 7 }} {% raw %} {{cycler.__init__.__globals__}}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "%(x)s {0} {x!r} %s",
    "ä ö ü 漢字 🦊 \u0301",
    "x" * 100_000,
    "<b>" * 2_000,
    "[" * 2_000 + "](x)" * 2_000,
    " ",
]
HOSTILE = SCRIPTS + MARKDOWN + CONTROLS


def bundles(text: str) -> list[show.Bundle]:
    """Everything that a notebook can show, with this text in every field that may come from outside."""
    finding = Finding(metric=text, answer=Answer.HOLD, reason=text)
    evidence = Evidence(
        facts={text: text, "listed": [text, {text: text}]},
        tables=(Table(title=text, columns=(text, "n"), rows=((text, 1), (None, 2.5))),),
        verdict=Verdict(answer=Answer.HOLD, reason=text, findings=(finding,)),
        text=text,
        links={text: text},
    )
    result = Result(item=text, outcome=Outcome.FAIL, summary=text, evidence=evidence, mend=text or "mend")
    settled = Settled(text, Outcome.FAIL, text, text, "0" * 64, 1, "")
    return [
        show.item(text, result),
        *show.scraps(result),
        show.working(text, text, text),
        show.failed(text, DeploykitError(text, where=text, mend=text)),
        show.picture(b"png", text),
        show.head(plan(text), text, (row(text, text), row("other", text)), State(items={text: settled})),
        show.gate(text, ((text, text),)),
        show.gate(text, ()),
    ]


def row(name: str, title: str) -> Item:
    return Item(id=name, phase=name, kind=Kind.CHECK, title=title, proof=title, provider=title, by="checks.none:none")


def plan(text: str) -> Plan:
    return Plan(
        run=text,
        number=1,
        service=text,
        environment=text,
        release=text,
        commit=text,
        operator=text,
        solo=True,
        sandbox=True,
        rehearsal=True,
        time_scale=60,
        made_at=now(),
        made_with=text,
        live=arm("green", "v1").model_copy(update={"version": text}),
        candidate=arm("blue", "v2").model_copy(update={"version": text}),
        steps=(),
        watch_seconds=1,
        hold_limit_seconds=1,
        guard_seconds=1,
        notebooks={},
        settings="0" * 64,
    )


class Parsed(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.other: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_decl(self, decl: str) -> None:
        self.other.append(decl)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


def forms(text: str, kind: str) -> list[str]:
    return [bundle.data[kind] for bundle in bundles(text) if kind in bundle.data]


def test_there_are_a_hundred_of_them() -> None:
    assert len(HOSTILE) >= 100
    assert len(set(HOSTILE)) == len(HOSTILE)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_adds_no_element_and_no_attribute_to_our_html(text: str) -> None:
    harmless = [Parsed(markup) for markup in forms("x", "text/html")]
    found = [Parsed(markup) for markup in forms(text, "text/html")]
    assert [parsed.tags for parsed in found] == [parsed.tags for parsed in harmless]
    assert [parsed.attributes for parsed in found] == [parsed.attributes for parsed in harmless]
    for parsed in found:
        assert set(parsed.tags) <= TAGS
        assert {name for name, _ in parsed.attributes} <= ATTRIBUTES
        assert parsed.other == []
    assert redact.visible(text).strip() in found[0].text


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_words_in_markdown(text: str) -> None:
    render = mistune.create_markdown(
        escape=False, plugins=["url", "table", "strikethrough", "footnotes", "math", "mark"]
    )
    for source in forms(text, "text/markdown"):
        assert "\n" not in source
        parsed = Parsed(str(render(source)))
        assert set(parsed.tags) <= {"p", "strong"}
        assert parsed.tags.count("strong") <= 1, "the outcome's own word"
        assert parsed.attributes == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_moves_no_cursor(text: str) -> None:
    for plain in forms(text, "text/plain"):
        controls = {c for c in plain if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
        assert controls <= {"\n"}
    assert "\x1b" not in str([bundle.metadata for bundle in bundles(text) if "image/png" in bundle.metadata])


@pytest.mark.parametrize("text", ["x\n✔ PASS  blue-green.deploy: fine", "x\r\n- other: ✔ pass"])
def test_text_cannot_pass_for_a_line_of_its_own(text: str) -> None:
    lines = [[len(plain.splitlines()) for plain in forms(each, "text/plain")] for each in ("x", text)]
    assert lines[0] == lines[1]


def test_no_secret_is_shown_in_any_form() -> None:
    redact.learn("hunter2-hunter2")
    assert "hunter2" not in str(bundles("the token hunter2-hunter2 did not work"))


def test_formulas_are_not_looked_for_in_what_we_show() -> None:
    for markup in forms("$5 to $6", "text/html"):
        assert markup.startswith('<div class="deploykit tex2jax_ignore mathjax_ignore">')
        assert markup.endswith("</div>")


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_has_a_word_and_a_sign_beside_its_colour(outcome: Outcome) -> None:
    sign, _ = show.SIGNS[outcome]
    bundle = show.item("Title", Result(item="a.b", outcome=outcome, summary="As it went"))
    assert bundle.data["text/plain"] == f"{sign} {outcome.value.upper()}  a.b: As it went"
    assert f"{sign} {outcome.value}</strong>" in bundle.data["text/html"]
    assert bundle.data[show.ITEM_TYPE] == {"item": "a.b", "outcome": outcome.value, "summary": "As it went", "mend": ""}


def test_scraps_carry_the_outcome_and_the_verdict() -> None:
    verdict = Verdict(answer=Answer.PASS, reason="fine")
    result = Result(item="a.b", outcome=Outcome.PASS, summary="s", evidence=Evidence(verdict=verdict))
    outcome, judged = (bundle.data[show.SCRAP_TYPE] for bundle in show.scraps(result))
    assert (outcome["name"], outcome["data"], outcome["encoder"], outcome["version"]) == (
        "a.b",
        {"outcome": "pass", "summary": "s"},
        "json",
        1,
    )
    assert (judged["name"], judged["data"]["answer"]) == ("a.b/verdict", "pass")


def test_the_head_says_loudly_what_must_not_be_missed() -> None:
    said = show.head(plan("x"), "Title", (row("a.b", "An item"),), State()).data["text/plain"].splitlines()
    assert [line[:10] for line in said if line.startswith("⚠")] == [
        "⚠ sandbox:",
        "⚠ rehearsa",
        "⚠ solo: on",
        "⚠ time sca",
    ]
    assert said[-1] == "- a.b: not done yet"
    quiet = {"sandbox": False, "rehearsal": False, "solo": False, "time_scale": 1.0}
    assert show.loud_facts(plan("x").model_copy(update=quiet)) == ()
