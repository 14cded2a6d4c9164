"""What a process has used so far: CPU seconds and memory, asked from the kernel (getrusage(2), proc(5))."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def cpu_seconds() -> float:
    """CPU time of this process, all its threads, and of the children that it has waited for."""
    return sum(map(used_seconds, map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))))


def used_seconds(usage: resource.struct_rusage) -> float:
    """CPU time, user and system."""
    return usage.ru_utime + usage.ru_stime


def peak_rss_mib(pid: int | None = None) -> float | None:
    """The largest resident memory of a process (default: this one) so far, in MiB; None when it has gone."""
    try:
        lines = Path(f"/proc/{pid or 'self'}/status").read_text(errors="replace").splitlines()
    except OSError:  # not Linux, or gone
        return None if pid else rss_mib(resource.getrusage(resource.RUSAGE_SELF))
    kib = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kib[0]) / 2**10 if kib else None


def rss_mib(usage: resource.struct_rusage) -> float:
    """The largest resident memory, in MiB.

    On Linux that of the process which has started it counts as well: a child is a copy of it for a moment.
    """
    return usage.ru_maxrss / 2**20 if sys.platform == "darwin" else usage.ru_maxrss / 2**10
