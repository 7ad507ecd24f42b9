"""Where templates are, and what happens to every value that goes into one."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from deploykit import redact

#: What means something in Markdown within a line; the templates never begin a line with a value.
_MARKDOWN = re.compile(r"([\\`*_\[\]<|~&@#$])")
_LINK = re.compile(r"(?i)(?<=[a-z])(:)(?=//)|(?<=www)(\.)")


def environment(folder: Path | None = None) -> Environment:
    """Jinja that finds the team's templates first, then ours, and shows no value unmasked or invisible.

    Args:
        folder: The team's own templates, as the settings name them.
    """
    loader = ChoiceLoader([FileSystemLoader(path) for path in ([folder] if folder else []) + [packed()]])
    jinja = Environment(
        loader=loader,
        autoescape=select_autoescape(("html.j2", "html")),
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["md"] = markdown
    jinja.filters["line"] = line
    return jinja


def packed() -> Path:
    """The templates that come with the package; in a checkout, the ones at its top."""
    ours = Path(str(resources.files("deploykit"))) / "_data" / "templates"
    return ours if ours.is_dir() else Path(__file__).parents[1] / "templates"


def markdown(value: object) -> str:
    """Text from outside within a line of Markdown: nothing in it is markup, a link, a mention or a new line."""
    text = _MARKDOWN.sub(r"\\\1", redact.text(redact.visible(str(value))))
    return " ".join(_LINK.sub(lambda match: f"\\{match[0]}", text).split())


def line(value: object) -> str:
    """Text from outside within a line of plain text: it begins no other."""
    return " ".join(redact.text(redact.visible(str(value))).split())


def _safe(value: Any) -> Any:
    # Markup is a subclass of str that the templates made themselves; only plain text comes from outside.
    return redact.text(redact.visible(value)) if type(value) is str else value
