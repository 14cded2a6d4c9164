"""The tables of the report as Markdown, for a merge request or a notebook: a ``Summary`` in, one file out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from orchestrator.paths import write_whole
from orchestrator.report.content import content_of
from orchestrator.report.page import TEMPLATES
from orchestrator.report.words import count, number, seconds
from orchestrator.summary import Summary

MAX_ROWS = 20  # of trials: the whole table is trials.csv
_SPECIAL = re.compile(r"([\\`*\[\]<>|~#]|(?<!\w)_|_(?!\w))")


def write_markdown(summary: Summary, path: Path) -> None:
    """Write the tables whole or not at all."""
    write_whole(path, as_markdown(summary, path.parent))


def as_markdown(summary: Summary, folder: Path | None = None) -> str:
    """Result, parameters, machines, slots, failures and the best trials; what people named stays text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    document = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    document.filters.update(cell=cell, number=number, count=count, seconds=seconds)
    content = content_of(summary, folder)
    text = document.get_template("report.md").render(**content, most=MAX_ROWS)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def cell(value: Any) -> str:
    """Text that Markdown shows as it is, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(number(value).split()))
