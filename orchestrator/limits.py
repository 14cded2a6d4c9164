"""What a trial may take: its limits and a look at its worker in, the limit that it breaks out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from launchers import descendants
from orchestrator.causes import Cause
from orchestrator.spec import RunSpec

if TYPE_CHECKING:
    from orchestrator.slot_worker import SlotWorker


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a worker is ended by its agent."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Of every trial: seconds from its claim, and memory of the worker with all that it has started.

    What a trial waits for a database that is away is not its time.
    """

    timeout_s: float | None
    memory_mib: float | None

    @classmethod
    def of(cls, spec: RunSpec) -> Limits:
        """The limits that a run sets."""
        return cls(spec.trial_timeout_s, spec.trial_memory_mib)

    def broken_by(self, worker: SlotWorker) -> Verdict | None:
        """The limit that the trial of a worker has broken by now."""
        trial = worker.trial
        if trial is None or worker.process is None:
            return None
        if self.timeout_s is not None and trial.ran_s > self.timeout_s:
            return Verdict(Cause.TIMED_OUT, f"it ran for more than {self.timeout_s:g} s")
        if self.memory_mib is None:
            return None
        rss_mib = tree_rss_mib(worker.process.pid)
        worker.saw_memory(rss_mib)
        if rss_mib > self.memory_mib:
            return Verdict(Cause.OVER_MEMORY, f"it took {rss_mib:.0f} MiB of {self.memory_mib:g} MiB")
        return None


def tree_rss_mib(pid: int) -> float:
    """Resident memory of a process and its descendants, in MiB; pages that they share count for each."""
    return sum(map(_rss_mib, (pid, *descendants(pid))))


def _rss_mib(pid: int) -> float:
    import psutil

    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.Error:  # it has gone, or is another user's
        return 0.0
