"""When an agent ends: signals, timeout and walltime in; no more trials, and seconds for running ones, out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.agent.walltime import Walltime, seconds_until
from orchestrator.causes import Cause, Verdict
from orchestrator.progress import View
from orchestrator.spec import RunSpec
from orchestrator.stop import StopRequests
from orchestrator.storage.runs import FINISHED, STOPPED


@dataclass(frozen=True, slots=True)
class Ending:
    """How this agent's part ended: the run's state as seen from here, and why, for people.

    ``is_out_of_time``: because its allocation, or its walltime, ends; the same command goes on.
    ``is_asked_for``: because somebody has asked for it elsewhere (``nano-hpo stop``).
    """

    state: str
    reason: str | None = None
    is_out_of_time: bool = False
    is_asked_for: bool = False


class Stopping:
    """What makes an agent stop, and how much time its workers have then.

    ``ending`` is set once no trial is to begin any more, ``hurried`` (why) once running ones are to end soon.
    """

    def __init__(
        self,
        spec: RunSpec,
        stops: StopRequests,
        walltime: Walltime,
        workers: Sequence[SlotWorker],
        view: View,
    ) -> None:
        self._spec = spec
        self._stops = stops
        self._walltime = walltime
        self._workers = workers
        self._view = view
        self.ending: Ending | None = None
        self.hurried: Verdict | None = None
        self._grace_until_s = math.inf
        self._deadline_s = math.inf

    def begin(self) -> None:
        """The run is begun: its timeout counts from now."""
        if self._spec.timeout_s is not None:
            self._deadline_s = time.monotonic() + self._spec.timeout_s

    def outcome(self) -> Ending:
        """How it ended, now that it has."""
        ending = self.ending or Ending(FINISHED)
        return replace(ending, is_out_of_time=ending.is_out_of_time and not self._stops.is_ordered)

    @property
    def time_left_s(self) -> float | None:
        """Until the launch's timeout, or until running trials are released for the end of the allocation."""
        return seconds_until(self._deadline_s, self._walltime.release_at_s)

    def stop(self, ending: Ending) -> None:
        """Begin no further trial; running ones may finish within the grace."""
        if self.ending is not None:
            return
        self.ending = ending
        for worker in self._workers:
            worker.stop()
            if worker.process is not None and not worker.has_order:
                worker.process.end(0.0)

    def look(self) -> None:
        """Obey signals; mind the end of the allocation."""
        self._obey_signals()
        self._mind_the_end()

    def _obey_signals(self) -> None:
        if self._stops.count >= 1 and self.hurried is None:
            self._view.note(f"Stopping: running trials have {self._spec.grace_s:g} s. Again: stop at once.")
            self.stop(Ending(STOPPED, self._stops.reason, self._stops.is_warned))
            until_s = time.monotonic() + self._spec.grace_s
            why = Verdict(self._stops.cause, self._stops.reason)
            self._hurry(why, min(until_s, self._walltime.release_at_s))
        if self._stops.count >= 2:
            self._grace_until_s = time.monotonic()

    def heed(self, reason: str | None) -> None:
        """Somebody has asked the whole run to end, which is as a first signal; None: nobody has."""
        if reason is None or self.hurried is not None:
            return
        self._view.note(f"Stopping: {reason}; running trials have {self._spec.grace_s:g} s.")
        self.stop(Ending(STOPPED, reason, is_asked_for=True))
        self._hurry(Verdict(Cause.INTERRUPTED, reason), time.monotonic() + self._spec.grace_s)

    def _mind_the_end(self) -> None:
        """Of the allocation: before it, running trials are told as by a first signal."""
        self._walltime.look()
        if self.hurried is None and self._walltime.is_short():
            end, until_s = str(self._walltime.end), self._walltime.release_at_s
            left_s = max(0.0, until_s - time.monotonic())
            self._view.note(f"Stopping: {end}; running trials have {left_s:.3g} s.")
            self.stop(Ending(STOPPED, end, is_out_of_time=True))
            self._hurry(Verdict(Cause.PREEMPTED, end), until_s)

    def _hurry(self, why: Verdict, until_s: float) -> None:
        """Running trials may finish, or leave a checkpoint, until then."""
        self.hurried, self._grace_until_s = why, until_s
        for worker in self._workers:
            worker.hurry()

    def let_begin_or_stop(self, worker: SlotWorker) -> None:
        """A worker asks whether there is time for another trial."""
        if self.ending is None and not self._walltime.may_begin():
            why = self._walltime.why_not()
            self._view.note(f"No further trial begins: {why}.")
            self.stop(Ending(STOPPED, why, is_out_of_time=True))
        if self.ending is None:
            worker.let_begin()
        else:
            worker.stop()

    def is_grace_over(self) -> bool:
        """Whether running trials are to be ended now. Minds the timeout as well."""
        now_s = time.monotonic()
        if now_s > self._deadline_s and self.ending is None:
            bounded = self._spec.n_trials is not None
            self.stop(Ending(STOPPED if bounded else FINISHED, f"timeout of {self._spec.timeout_s:g} s"))
        return now_s >= self._grace_until_s
