"""Who is still there: looks at signs of life in; who has moved lately and who stood still for long out.

An old heartbeat alone proves nothing: after an outage of the database all heartbeats are old. What counts is
a heartbeat that one has seen standing still while one could read the database all the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from orchestrator.storage.runs import STALE_AFTER_S

LONGEST_GAP_S = 15.0  # between two looks, a beat is 5 s; after a longer one nothing is known any more


@dataclass(frozen=True, slots=True)
class _Seen:
    sign: Hashable
    since_s: float
    has_moved: bool


class Watch:
    """Remembers since when the sign of each agent is the same, by this process's own monotonic clock.

    It begins anew when the looks were interrupted: by a gap, or where somebody says so.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_s = 0.0
        self._seen: dict[str, _Seen] = {}

    def look(self, signs: Mapping[str, Hashable]) -> None:
        """Take in the signs as they are now; a sign may be anything that changes while its agent lives."""
        now_s = self._clock()
        if now_s - self._looked_s > LONGEST_GAP_S:
            self.interrupted()
        self._looked_s = now_s
        for who, sign in signs.items():
            before = self._seen.get(who)
            if before is None or before.sign != sign:
                self._seen[who] = _Seen(sign, now_s, has_moved=before is not None)

    def interrupted(self) -> None:
        """The database could not be read: others could not write to it either."""
        self._seen.clear()

    def is_silent(self, who: str) -> bool:
        """Whether it stood still for ``STALE_AFTER_S`` of looks without a gap."""
        seen = self._seen.get(who)
        return seen is not None and self._looked_s - seen.since_s >= STALE_AFTER_S

    def is_moving(self, who: str) -> bool:
        """Whether it was seen to move a moment ago."""
        seen = self._seen.get(who)
        return seen is not None and seen.has_moved and self._looked_s - seen.since_s <= LONGEST_GAP_S
