"""What people see while a run goes on: snapshots of the agent in, a live table or plain lines out.

All of it goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.tally import Tally

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from orchestrator.slot_worker import RunningTrial

_REFRESH_S = 0.5
_PLAIN_S = 5.0
_ROWS = 16  # slots shown; a wide machine has more


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the agent."""

    total: int | None
    tally: Tally
    running: Sequence[tuple[int, RunningTrial]]  # slot and trial
    starting: int  # workers that load the objective or claim a trial
    n_slots: int
    directions: Sequence[str]


class View(Protocol):
    """Who shows a run to people."""

    def note(self, text: str) -> None:
        """Something to know, once."""

    def told(self, data: Mapping[str, Any], slot: int) -> None:
        """A trial finished."""

    def lost(self, slot: int, number: int | None, how: str) -> None:
        """A worker died."""

    def refresh(self, snapshot: Snapshot) -> None:
        """The state now; called often."""

    def close(self, snapshot: Snapshot | None) -> None:
        """The state at the end; None when the run did not begin."""


class Silent:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def told(self, data: Mapping[str, Any], slot: int) -> None:
        """Show nothing."""

    def lost(self, slot: int, number: int | None, how: str) -> None:
        """Show nothing."""

    def refresh(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def close(self, snapshot: Snapshot | None) -> None:
        """Show nothing."""


class Noting(Silent):
    """What every view for people has in common: failures and lost workers are notes."""

    def told(self, data: Mapping[str, Any], slot: int) -> None:
        """A failure is a line; the rest is in the state."""
        if data["error"]:
            self.note(f"Trial {data['number']} failed: {data['error']}")

    def lost(self, slot: int, number: int | None, how: str) -> None:
        """One line."""
        self.note(lost_line(slot, number, how))


class PlainLines(Noting):
    """Lines for a log: failures and lost workers at once, the state every few seconds and at the end."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + _PLAIN_S
        self._shown = -1

    def note(self, text: str) -> None:
        """One line."""
        print(text, file=sys.stderr, flush=True)

    def refresh(self, snapshot: Snapshot) -> None:
        """The state, when it has changed and some seconds are over."""
        if time.monotonic() >= self._next_s and snapshot.tally.finished != self._shown:
            self._show(snapshot)

    def close(self, snapshot: Snapshot | None) -> None:
        """The state at the end."""
        if snapshot is not None:
            self._show(snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        self.note(state_line(snapshot))
        self._shown = snapshot.tally.finished
        self._next_s = time.monotonic() + _PLAIN_S


class LiveTable(Noting):
    """A table of slots under a line of totals, redrawn in place in a terminal."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._next_s = 0.0

    def note(self, text: str) -> None:
        """A line above the table."""
        self._live.console.print(text, markup=False, highlight=False)

    def refresh(self, snapshot: Snapshot) -> None:
        """Redraw, at most twice a second."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _REFRESH_S
            self._live.start()  # not earlier: bad input leaves the terminal alone
            self._live.update(_render(snapshot), refresh=True)

    def close(self, snapshot: Snapshot | None) -> None:
        """Remove the table and leave the state at the end."""
        self._live.stop()
        if snapshot is not None:
            self._live.console.print(state_line(snapshot), markup=False, highlight=False)


def view_for_terminal() -> View:
    """A live table where standard error is a terminal, plain lines elsewhere."""
    if sys.stderr is None:  # closed: 2>&-
        return Silent()
    if not sys.stderr.isatty():
        return PlainLines()
    from rich.console import Console

    return LiveTable(Console(stderr=True))


def state_line(snapshot: Snapshot) -> str:
    """``12/40 finished (1 pruned), 2 running, best 0.0245 (trial 7), 1.3 trials/s, ETA 22 s``."""
    tally = snapshot.tally
    total = f"/{snapshot.total}" if snapshot.total is not None else ""
    parts = [f"{tally.finished}{total} finished{_odd_states(tally)}", f"{len(snapshot.running)} running"]
    if tally.best is not None:
        parts.append(f"best {tally.best.value:.6g} (trial {tally.best.number})")
    rate_per_s = tally.rate_per_s
    if rate_per_s is not None:
        parts.append(f"{rate_per_s:.3g} trials/s")
        if snapshot.total is not None and snapshot.total > tally.finished:
            parts.append(f"ETA {duration((snapshot.total - tally.finished) / rate_per_s)}")
    if tally.lost_attempts:
        attempts = "1 attempt" if tally.lost_attempts == 1 else f"{tally.lost_attempts} attempts"
        parts.append(f"{attempts} lost")
    return ", ".join(parts)


def lost_line(slot: int, number: int | None, how: str) -> str:
    """What a lost worker means, in one line."""
    if number is None:
        return f"The worker in slot {slot} died between trials ({how}); another takes its place."
    return f"Trial {number} lost its worker in slot {slot} ({how}); another worker takes it."


def duration(seconds: float) -> str:
    """``4.5 s``, ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _odd_states(tally: Tally) -> str:
    odd = [
        f"{tally.states[s]} {name}"
        for s, name in (("PRUNED", "pruned"), ("FAIL", "failed"))
        if tally.states[s]
    ]
    return f" ({', '.join(odd)})" if odd else ""


def _render(snapshot: Snapshot) -> RenderableType:
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(state_line(snapshot))]
    if snapshot.total is not None:
        bar = ProgressBar(total=snapshot.total, completed=snapshot.tally.finished, width=60)
        parts.append(Padding(bar, (0, 0, 1, 0)))
    table = Table("slot", "trial", "step", "last value", "for", box=None, pad_edge=False)
    now_s = time.monotonic()
    for slot, trial in snapshot.running[:_ROWS]:
        value = "" if trial.value is None else f"{trial.value:.6g}"
        step = "" if trial.step is None else str(trial.step)
        table.add_row(str(slot), str(trial.number), step, value, duration(now_s - trial.since_s))
    parts.append(table)
    rest = len(snapshot.running) - _ROWS
    if rest > 0:
        parts.append(Text(f"… and {rest} more"))
    if snapshot.starting:
        parts.append(Text(f"{snapshot.starting} of {snapshot.n_slots} workers starting", style="dim"))
    return Group(*parts)
