"""The report of a study: a ``Summary`` and its figures in, one offline HTML file and a Markdown file out.

``content`` gathers what is shown from a module for each section; ``page`` and ``markdown`` render it.
"""

from orchestrator.report.content import content_of
from orchestrator.report.markdown import as_markdown
from orchestrator.report.page import page_of, render, write_report
from orchestrator.report.parameters import describe, spread
from orchestrator.report.words import duration, seconds

__all__ = [
    "as_markdown",
    "content_of",
    "describe",
    "duration",
    "page_of",
    "render",
    "seconds",
    "spread",
    "write_report",
]
