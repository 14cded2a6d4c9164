"""What a trial may take: limits and the workers of an agent in; those whose trial breaks one out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from launchers import families
from orchestrator.agent.slot_worker import SlotWorker
from orchestrator.causes import Cause, Verdict
from orchestrator.spec import RunSpec

_MEMORY_LOOK_S = 0.5


@dataclass(slots=True)
class Limits:
    """Of every trial: seconds from its claim, and memory of the worker with all that it has started.

    What a trial waits for a database that is away is not its time.
    """

    timeout_s: float | None
    memory_mib: float | None
    _next_look_s: float = field(default=0.0, init=False)

    @classmethod
    def of(cls, spec: RunSpec) -> Limits:
        """The limits that a run sets."""
        return cls(spec.trial_timeout_s, spec.trial_memory_mib)

    def broken_by(self, workers: Iterable[SlotWorker]) -> Iterator[tuple[SlotWorker, Verdict]]:
        """Those whose trial breaks a limit, each with the limit; who was told to end is not looked at."""
        at_trials = [one for one in workers if one.trial is not None and one.verdict is None]
        yield from self._too_long(at_trials)
        yield from self._too_large([one for one in at_trials if one.verdict is None])

    def _too_long(self, workers: Sequence[SlotWorker]) -> Iterator[tuple[SlotWorker, Verdict]]:
        if self.timeout_s is None:
            return
        for worker in workers:
            if worker.trial is not None and worker.trial.ran_s > self.timeout_s:
                yield worker, Verdict(Cause.TIMED_OUT, f"it ran for more than {self.timeout_s:g} s")

    def _too_large(self, workers: Sequence[SlotWorker]) -> Iterator[tuple[SlotWorker, Verdict]]:
        if self.memory_mib is None or not workers or time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + _MEMORY_LOOK_S
        pids = {worker.process.pid: worker for worker in workers if worker.process is not None}
        for pid, below in families(pids).items():
            if sum(map(_rss_mib, (pid, *below))) <= self.memory_mib:
                continue
            mib = sum(map(_own_mib, (pid, *below)))
            pids[pid].usage.saw_memory(mib)
            if mib > self.memory_mib:
                detail = f"it took {mib:.0f} MiB of {self.memory_mib:g} MiB"
                yield pids[pid], Verdict(Cause.OVER_MEMORY, detail)


def _own_mib(pid: int) -> float:
    """Resident memory, of pages that processes share its part (PSS); where that is not told, all of them."""
    import psutil

    try:
        return float(psutil.Process(pid).memory_full_info().pss / 2**20)
    except (psutil.Error, AttributeError):
        return _rss_mib(pid)


def _rss_mib(pid: int) -> float:
    """Resident memory; pages that processes share count for each. Quick to ask."""
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.Error:  # it has gone, or is another user's
        return 0.0
