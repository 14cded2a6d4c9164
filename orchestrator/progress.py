"""What people see while a run goes on, in words: snapshots in; lines out. ``orchestrator.live`` draws.

All of it goes to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from orchestrator.snapshot import Snapshot

_PLAIN_S = 5.0


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
        self._said: list[str] = []

    def note(self, text: str) -> None:
        """One line; the run goes on when nobody reads it any more."""
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)

    def refresh(self, snapshot: Snapshot) -> None:
        """The state, when it has changed and some seconds are over; nothing before the first trial."""
        has_begun = bool(snapshot.finished or snapshot.running)
        if has_begun and time.monotonic() >= self._next_s and snapshot.finished != self._shown:
            self._show(snapshot)

    def close(self, snapshot: Snapshot | None) -> None:
        """The state at the end, unless the last line has said it: the pace alone is no news."""
        if snapshot is not None and _state(snapshot) != self._said:
            self._show(snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        self.note(state_line(snapshot))
        self._said = _state(snapshot)
        self._shown = snapshot.finished
        self._next_s = time.monotonic() + _PLAIN_S


def state_line(snapshot: Snapshot) -> str:
    """``12/40 finished (1 pruned), 2 running, best 0.0245 (trial 7), 1.3 trials/s, ETA 22 s``."""
    return ", ".join([*_counts(snapshot), *pace(snapshot), *_lost(snapshot)])


def _state(snapshot: Snapshot) -> list[str]:
    """The line without its pace, which never stands still."""
    return [*_counts(snapshot), *_lost(snapshot)]


def _counts(snapshot: Snapshot) -> list[str]:
    total = f"/{snapshot.total}" if snapshot.total is not None else ""
    odd = _odd_states(snapshot.states)
    parts = [f"{snapshot.finished}{total} finished{odd}", f"{len(snapshot.running)} running"]
    if snapshot.best is not None:
        parts.append(f"best {snapshot.best.value:.6g} (trial {snapshot.best.number})")
    return parts


def _lost(snapshot: Snapshot) -> list[str]:
    if not snapshot.lost_attempts:
        return []
    attempts = "1 attempt" if snapshot.lost_attempts == 1 else f"{snapshot.lost_attempts} attempts"
    return [f"{attempts} lost"]


def pace(snapshot: Snapshot) -> list[str]:
    """How fast it goes, and when it will be done: ``1.3 trials/s``, ``ETA 22 s``."""
    rate_per_s, eta_s = snapshot.rate_per_s, snapshot.eta_s
    parts = [f"{rate(rate_per_s)}"] if rate_per_s is not None else []
    return parts + ([f"ETA {duration(eta_s)}"] if eta_s is not None else [])


def rate(per_s: float) -> str:
    """In the unit that makes a number of it: ``1.3 trials/s``, ``14 trials/min``, ``2.5 trials/h``."""
    for unit_s, unit in ((1, "s"), (60, "min")):
        if per_s * unit_s >= 1:
            return f"{per_s * unit_s:.3g} trials/{unit}"
    return f"{per_s * 3600:.3g} trials/h"


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


def _odd_states(states: Mapping[str, int]) -> str:
    named = (("PRUNED", "pruned"), ("FAIL", "failed"))
    odd = [f"{states[state]} {name}" for state, name in named if states.get(state)]
    return f" ({', '.join(odd)})" if odd else ""
