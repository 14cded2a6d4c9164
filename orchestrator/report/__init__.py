"""The report of a study: a ``Summary`` and its figures in, one offline HTML file and a Markdown file out.

``page`` and ``markdown`` render and write; ``content`` gathers what both show from a module for each section.
"""

from orchestrator.report.markdown import write_markdown
from orchestrator.report.page import render, write_report
from orchestrator.report.parameters import describe, spread
from orchestrator.report.words import duration, seconds

__all__ = ["describe", "duration", "render", "seconds", "spread", "write_markdown", "write_report"]
