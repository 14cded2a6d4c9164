"""A snapshot as a table that fits a screen: a snapshot and the size in, something that rich prints out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.live import curve
from orchestrator.names import shown_names
from orchestrator.progress import duration, pace

if TYPE_CHECKING:
    from orchestrator.snapshot import Best, BusySlot, Snapshot

_CURVE_HEIGHT = 4
_FRAME = 3  # lines: titles, what is left out, and where the cursor stands
_MAX_CURVE = 100  # columns
_LEAST_ROWS = 3  # slots that are shown before the plot is
_NAMED = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def screen(snapshot: Snapshot, width: int, height: int, blocks: bool = True) -> RenderableType:
    """At most ``height`` lines of ``width`` columns. ``blocks`` off: ASCII is all it shows."""
    head = [*_head(snapshot, width), *_best(snapshot.best, width)]
    foot = [*_causes(snapshot.causes, width)]
    plot = [Text(line, style="cyan") for line in _plot(snapshot, width, blocks)]
    room = height - _FRAME - len(head) - len(foot)
    if room < 1:  # a sliver of a terminal
        head, foot = head[: max(1, height - _FRAME - 1)], []
    elif plot and room - len(plot) - 1 >= min(_LEAST_ROWS, len(snapshot.running)):
        foot += [Text(f"best of the first n trials, n up to {snapshot.finished:,}", style="dim"), *plot]
    room = height - _FRAME - len(head) - len(foot)
    return Group(*head, *_slots(snapshot, max(1, room), width), *foot)


def _head(snapshot: Snapshot, width: int) -> list[RenderableType]:
    counted = f"{snapshot.finished:,}" + (f"/{snapshot.total:,}" if snapshot.total is not None else "")
    odd = ", ".join(f"{n:,} {_NAMED[state]}" for state, n in snapshot.states.items() if n and state in _NAMED)
    lines: list[RenderableType] = [
        _line(f"{snapshot.study}: {counted} finished" + (f" ({odd})" if odd else ""), width, "bold")
    ]
    if snapshot.total is not None:
        bar = ProgressBar(total=snapshot.total, completed=snapshot.finished, width=min(width, 60))
        lines.append(Padding(bar, (0, 0, 0, 0)))  # else no line ends after it
    words = [*pace(snapshot), *([f"{snapshot.left:,} left"] if snapshot.left else [])]
    if snapshot.time_left_s is not None:
        words.append(f"time left {duration(snapshot.time_left_s)}")
    return [*lines, _line(", ".join(words), width)] if words else lines


def _best(best: Best | None, width: int) -> list[RenderableType]:
    if best is None:
        return []
    shown = shown_names(best.params)
    params = ", ".join(f"{shown[name]} = {value}" for name, value in best.params.items())
    text = f"best {best.value:.6g} (trial {best.number})"
    return [_line(f"{text}: {params}" if params else text, width, "green")]


def _slots(snapshot: Snapshot, room: int, width: int) -> list[RenderableType]:
    """The slots whose workers are at a trial, as many as there is room for."""
    rest: list[RenderableType] = []
    words = []
    shown = snapshot.running[: room if len(snapshot.running) <= room else room - 1]
    if len(snapshot.running) > len(shown):
        words.append(f"… and {len(snapshot.running) - len(shown)} more slots at work")
    if snapshot.starting:
        words.append(f"{snapshot.starting} of {snapshot.n_slots} workers starting")
    if snapshot.several:
        words.append("of this rank; 'nano-hpo watch' shows the slots of all")
    if words:
        rest.append(_line(", ".join(words), width, "dim"))
    return [_table(shown), *rest] if shown else rest


def _table(shown: Sequence[BusySlot]) -> Table:
    has_ranks = any(one.rank for one in shown)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("host", *(("rank",) if has_ranks else ()), "slot", "CPUs", "trial", "step", "value", "for"):
        table.add_column(
            title,
            no_wrap=True,
            overflow="ellipsis",
            max_width={"host": 20, "CPUs": 16}.get(title),
            justify="left" if title in ("host", "CPUs") else "right",
        )
    for one in shown:
        table.add_row(*_cells(one, has_ranks))
    return table


def _cells(one: BusySlot, has_ranks: bool) -> list[str]:
    step = "" if one.step is None else str(one.step)
    value = "" if one.value is None else f"{one.value:.6g}"
    rank = [str(one.rank)] if has_ranks else []
    words = (str(one.slot), one.cpus, str(one.number), step, value, duration(one.age_s))
    return [_plain(one.host), *rank, *words]


def _causes(causes: Mapping[str, int], width: int) -> list[RenderableType]:
    """``trouble: 2 raised, 1 timed out``."""
    found = sorted(((n, cause) for cause, n in causes.items() if n), reverse=True)
    words = ", ".join(f"{n:,} {cause}" for n, cause in found)
    return [_line(f"trouble: {words}", width, "red")] if words else []


def _plot(snapshot: Snapshot, width: int, blocks: bool) -> list[str]:
    return curve.drawn(snapshot.curve, snapshot.finished, min(width, _MAX_CURVE), _CURVE_HEIGHT, blocks)


def _line(text: str, width: int, style: str = "") -> Text:
    """One line, cut where the screen ends."""
    line = Text(_plain(text), style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line


def _plain(text: str) -> str:
    """Without characters that would act in a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
