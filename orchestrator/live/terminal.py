"""The live table in a terminal: snapshots in; a screen that is redrawn in place, on standard error, out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator.progress import Noting, state_line

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.snapshot import Snapshot

REFRESH_S = 1.2  # so that it is less than a screen of bytes a second, for those behind a slow line


class LiveTable(Noting):
    """What is noted scrolls by above; the table vanishes at the end and leaves one line."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._next_s = 0.0

    def note(self, text: str) -> None:
        """A line above the table."""
        self._console.print(text, markup=False, highlight=False)

    def refresh(self, snapshot: Snapshot) -> None:
        """Redraw, but not more often than people can read."""
        if time.monotonic() < self._next_s:
            return
        from orchestrator.live.table import screen

        self._next_s = time.monotonic() + REFRESH_S
        self._live.start()  # not earlier: bad input leaves the terminal alone
        width, height = self._console.size
        blocks = (self._console.encoding or "").lower().startswith("utf")
        self._live.update(screen(snapshot, width, height, blocks), refresh=True)

    def close(self, snapshot: Snapshot | None) -> None:
        """Remove the table and leave the state at the end."""
        self._live.stop()
        if snapshot is not None:
            self._console.print(state_line(snapshot), markup=False, highlight=False)
