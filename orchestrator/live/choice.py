"""Where a run is shown to people: what this process is in, in; the view for it out."""

from __future__ import annotations

import sys

from orchestrator.live.notebook import LivePage, is_notebook
from orchestrator.live.terminal import LiveTable
from orchestrator.progress import PlainLines, Silent, View


def view_for_people() -> View:
    """A live table in a terminal, a live page in a notebook, plain lines elsewhere."""
    if is_notebook():
        return LivePage()
    if sys.stderr is None:  # closed: 2>&-
        return Silent()
    return LiveTable() if sys.stderr.isatty() else PlainLines()
