"""What a worker process takes: the kernel's figures in; its largest memory and its trial's CPU time out."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from orchestrator.meter import peak_rss_mib, rss_mib, used_seconds

_ROUGHLY = 1.02  # the kernel counts memory in batches


@dataclass(slots=True)
class WorkerUsage:
    """Memory and CPU time of one worker process, with all that it has started, as far as they are known."""

    peak_rss_mib: float | None = None
    cpu_s: float | None = None  # that the trial took which was lost with it; known once it has exited
    inherited_rss_mib: float = 0.0  # the kernel counts ours as the worker's

    @classmethod
    def of_new_worker(cls) -> WorkerUsage:
        """Of a worker that this process has just started."""
        return cls(inherited_rss_mib=(peak_rss_mib() or 0.0) * _ROUGHLY)

    def saw_memory(self, rss_mib: float | None) -> None:
        """It takes so much, or has taken it."""
        if rss_mib is not None:
            self.peak_rss_mib = max(self.peak_rss_mib or 0.0, rss_mib)

    def sample_memory(self, pid: int) -> None:
        """Note what it has taken at most, for the record should it be killed."""
        self.saw_memory(peak_rss_mib(pid))

    def take_stock(self, usage: resource.struct_rusage, cpu_before_s: float) -> None:
        """It has exited: what the kernel says of it. ``cpu_before_s`` it had used before its last trial."""
        if rss_mib(usage) > self.inherited_rss_mib:
            self.saw_memory(rss_mib(usage))
        self.cpu_s = max(0.0, used_seconds(usage) - cpu_before_s)
