"""The live view in a notebook: snapshots in; one output of HTML that is brought up to date out."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import TYPE_CHECKING, Any

from orchestrator.names import shown_names
from orchestrator.progress import Noting, duration, state_line

if TYPE_CHECKING:
    from orchestrator.snapshot import BusySlot, Snapshot

_REFRESH_S = 1.0
_ROWS = 32  # slots shown; a wide machine has more
_NOTES = 20  # shown, the latest
_WIDTH, _HEIGHT = 480, 90  # of the plot, in pixels
_CELL = 'style="padding: 1px 10px; text-align: left"'


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, and not IPython in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class LivePage(Noting):
    """One output of the cell, redrawn once a second; notes stand below the table."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._notes: list[str] = []
        self._last: Snapshot | None = None
        self._next_s = 0.0

    def note(self, text: str) -> None:
        """A line below the table, until newer ones push it out."""
        self._notes = [*self._notes, text][-_NOTES:]
        self._show()

    def refresh(self, snapshot: Snapshot) -> None:
        """Redraw, at most once a second."""
        self._last = snapshot
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _REFRESH_S
            self._show()

    def close(self, snapshot: Snapshot | None) -> None:
        """The state at the end stays."""
        self._last = snapshot or self._last
        self._show()

    def _show(self) -> None:
        from IPython.display import HTML, display

        html = HTML(page(self._last, self._notes))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(html, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(html)


def page(snapshot: Snapshot | None, notes: list[str]) -> str:
    """The view as HTML; everything that people named is escaped."""
    parts = _parts(snapshot) if snapshot is not None else []
    parts += [f'<div style="opacity: 0.75">{escape(note)}</div>' for note in notes]
    return f'<div class="nano-hpo">{"".join(parts)}</div>'


def _parts(snapshot: Snapshot) -> list[str]:
    parts = [f"<div><b>{escape(snapshot.study)}</b>: {escape(state_line(snapshot))}</div>"]
    if snapshot.total is not None:
        numbers = f'max="{snapshot.total}" value="{snapshot.finished}"'
        parts.append(f'<progress {numbers} style="width: {_WIDTH}px"></progress>')
    if snapshot.time_left_s is not None:
        parts.append(f"<div>time left {escape(duration(snapshot.time_left_s))}</div>")
    if snapshot.best is not None:
        shown = shown_names(snapshot.best.params)
        params = ", ".join(f"{shown[name]} = {value}" for name, value in snapshot.best.params.items())
        parts.append(f"<div>best {snapshot.best.value:.6g}: {escape(params)}</div>")
    return [*parts, _plot(snapshot), _table(snapshot)]


def _table(snapshot: Snapshot) -> str:
    if not snapshot.running:
        return ""
    titles = "".join(
        f"<th {_CELL}>{t}</th>" for t in ("host", "slot", "CPUs", "trial", "step", "value", "for")
    )
    rows = "".join(_row(one) for one in snapshot.running[:_ROWS])
    rest = len(snapshot.running) - _ROWS
    more = f"<div>… and {rest} more slots at work</div>" if rest > 0 else ""
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(one: BusySlot) -> str:
    step = "" if one.step is None else str(one.step)
    value = "" if one.value is None else f"{one.value:.6g}"
    cells = (one.host, str(one.slot), one.cpus, str(one.number), step, value, duration(one.age_s))
    return "<tr>" + "".join(f"<td {_CELL}>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _plot(snapshot: Snapshot) -> str:
    """The best so far over the trials finished, as a line."""
    steps = [(n, value) for n, value in snapshot.curve if abs(value) < float("inf")]
    if len(steps) < 2 or not snapshot.finished:
        return ""
    low, high = min(v for _, v in steps), max(v for _, v in steps)
    points: list[str] = []
    last_y = 0.0
    for n, value in steps:
        x = _WIDTH * n / snapshot.finished
        y = _HEIGHT * (1 - (value - low) / (high - low)) if high > low else _HEIGHT / 2
        points += [f"{x:.1f},{last_y:.1f}"] if points else []
        points.append(f"{x:.1f},{y:.1f}")
        last_y = y
    points.append(f"{_WIDTH},{last_y:.1f}")
    title = f"best value so far, from {steps[0][1]:.6g} to {steps[-1][1]:.6g}"
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 4}" viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 4}" role="img" '
        f'aria-label="{title}"><title>{title}</title><polyline points="{" ".join(points)}" fill="none" '
        'stroke="#0072b2" stroke-width="2"/></svg>'
    )
