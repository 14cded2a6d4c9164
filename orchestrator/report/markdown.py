"""The tables of the report as Markdown, for a merge request or a notebook: its content in, text out."""

from __future__ import annotations

import re
from typing import Any

from orchestrator.report.page import TEMPLATES
from orchestrator.report.words import count, number, seconds

MAX_ROWS = 20  # of trials: the whole table is trials.csv
_SPECIAL = re.compile(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))")


def as_markdown(content: dict[str, Any]) -> str:
    """What ``content_of`` has gathered but drawings and single failures; what people named stays text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    document = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    document.filters.update(cell=cell, number=number, count=count, seconds=seconds)
    text = document.get_template("report.md").render(**content, most=MAX_ROWS)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def cell(value: Any) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(number(value).split()))
