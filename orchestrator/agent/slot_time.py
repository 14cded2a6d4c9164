"""What the time of a slot goes into: what its agent hears of the workers in, seconds of each kind out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class SlotTime:
    """Seconds of a slot, each counted once: what is in none of these is the slot's idle time.

    ``starting_s`` is from the start of a worker to its first trial (or to its end without one), ``busy_s``
    inside objectives of finished trials, ``lost_s`` at trials that were lost. The seconds that a worker waits
    for a database out of reach are in ``waited_s`` alone.
    """

    starting_s: float = 0.0
    busy_s: float = 0.0
    lost_s: float = 0.0
    waited_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _starts_since_s: float | None = None
    _waited_before_s: float = 0.0
    _waits_since_s: float | None = None

    def starts(self) -> None:
        """A worker was started."""
        self._starts_since_s, self._waited_before_s = self.clock(), self.waited_s

    def has_started(self) -> None:
        """The worker has begun a trial; said again, it changes nothing."""
        if self._starts_since_s is not None:
            waited_s = self.waited_s - self._waited_before_s
            self.starting_s += max(0.0, self.clock() - self._starts_since_s - waited_s)
            self._starts_since_s = None

    def waits(self, is_waiting: bool) -> None:
        """The worker begins, or ends, to wait for the database."""
        if self._waits_since_s is not None:
            self.waited_s += self.clock() - self._waits_since_s
        self._waits_since_s = self.clock() if is_waiting else None

    def has_ended(self) -> None:
        """The worker has exited."""
        self.waits(False)
        self.has_started()
