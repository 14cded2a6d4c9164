"""The end of an agent's time: settings and allocation in; what may still begin, and when to stop, out.

Before the end lie two moments: the *notice*, when running trials hear that they have seconds left, and the
*release*, when those that are left go back into the queue. A trial may begin if it will finish by the notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from launchers import AllocationEnd, EndWatch
from orchestrator.agent.forecast import USUAL, Forecast
from orchestrator.progress import duration
from orchestrator.spec import RunSpec

_MARGIN_S = 30.0  # between release and end: to end workers, to write the summary and to say goodbye
_MARGIN = 1 / 6  # of the time there was, if that is less
_GRACE = 1 / 4  # of the time there was: running trials get no more than that, whatever the grace is


def seconds_until(*moments_s: float) -> float | None:
    """From now to the first of some moments (``time.monotonic()``); None when all are infinitely far."""
    first_s = min(moments_s)
    return None if first_s == math.inf else max(0.0, first_s - monotonic())


class Walltime:
    """Of one launch: when its allocation ends, and which trials still fit in. Nothing here waits."""

    def __init__(self, spec: RunSpec, environ: Mapping[str, str]) -> None:
        self._spec = spec
        self._watch = EndWatch(environ) if spec.walltime_s == "auto" else None
        self._forecast = Forecast(spec.trial_timeout_s)
        self._first_s: float | None = None  # when a trial could have begun for the first time
        self.end: AllocationEnd | None = None
        if not isinstance(spec.walltime_s, str):
            self.end = AllocationEnd(spec.asked_s + spec.walltime_s, "--walltime")
        self.look()

    def look(self) -> None:
        """See what is known of the end; it may have been put off. Call it often."""
        if self._watch is not None:
            self.end = self._watch.look()

    @property
    def may_end(self) -> bool:
        """Whether there is an end, or may turn out to be one: then trials begin by leave."""
        return self.end is not None or (self._watch is not None and self._watch.is_watching)

    def saw(self, durations_s: Iterable[float]) -> None:
        """Attempts that returned a value took so many seconds in their objective."""
        self._forecast.saw(durations_s)

    def heard(self, told: Mapping[str, Any]) -> None:
        """A worker has told of a trial."""
        if told["state"] == "COMPLETE":
            self.saw([told["objective_s"]])

    def may_begin(self) -> bool:
        """Whether a trial that begins now will finish; where too little is known of their durations, it may.

        It may as well where most trials take longer than all the time that this launch has: nothing would
        ever begin otherwise, and a trial that leaves checkpoints gets on.
        """
        now_s = monotonic()
        self._first_s = now_s if self._first_s is None else self._first_s
        return now_s + (self._needs_s() or 0.0) < self.notice_at_s

    def _needs_s(self) -> float | None:
        """What a trial takes, by which it is judged; None: nothing to go by."""
        takes_s = self._forecast.takes_s(USUAL)
        had_s = self.notice_at_s - (self._first_s or 0.0)
        return None if takes_s is None or takes_s >= had_s else takes_s

    def why_not(self) -> str:
        """Why no trial begins any more, for people."""
        needs_s = self._needs_s()
        if needs_s is None:
            return str(self.end)
        return f"{self.end}, and {USUAL:.0%} of trials take up to {duration(needs_s)}"

    @property
    def notice_at_s(self) -> float:
        """When running trials are told to finish or to checkpoint; infinite without an end."""
        return self.release_at_s - min(self._spec.grace_s, _GRACE * self._had_s)

    @property
    def release_at_s(self) -> float:
        """When they are ended; infinite without an end."""
        return math.inf if self.end is None else self.end.at_s - min(_MARGIN_S, _MARGIN * self._had_s)

    @property
    def _had_s(self) -> float:
        """The seconds that this launch has from its beginning to its end."""
        return math.inf if self.end is None else max(0.0, self.end.at_s - self._spec.asked_s)

    def is_short(self) -> bool:
        """Whether the notice is due."""
        return monotonic() >= self.notice_at_s

    def is_over(self) -> bool:
        """Whether the release is due."""
        return monotonic() >= self.release_at_s

    def close(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.close()
