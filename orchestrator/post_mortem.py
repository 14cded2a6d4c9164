"""Why a worker has died: what its agent knows of it in, cause and detail out."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from affinity import read_oom_kills
from launchers import describe_exit
from orchestrator.causes import Cause
from orchestrator.limits import Verdict

STORAGE_FAILED = 75  # the exit status of a worker that the database left alone (EX_TEMPFAIL, sysexits.h)


@dataclass(slots=True)
class OomWatch:
    """Whether the kernel has killed for want of memory since the last look: in our control group, or at all.

    The kernel does not say whom; a worker that SIGKILL has ended meanwhile is the likely one.
    """

    _seen: int | None = None

    def look(self) -> bool:
        """Look, at the beginning and whenever a worker was killed."""
        before, self._seen = self._seen, read_oom_kills()
        return before is not None and self._seen is not None and self._seen > before


def cause_of_death(returncode: int, oom: OomWatch, peak_rss_mib: float | None) -> Verdict:
    """What the exit status of a worker tells that nobody has ended on purpose."""
    if returncode == STORAGE_FAILED:
        return Verdict(Cause.DATABASE_LOST, "the worker could not reach it any more")
    if returncode == -signal.SIGKILL and oom.look():
        took = "" if peak_rss_mib is None else f", it had taken {peak_rss_mib:.0f} MiB"
        return Verdict(Cause.KILLED_FOR_MEMORY, f"by the kernel{took}")
    if returncode < 0:
        return Verdict(Cause.SIGNAL, describe_exit(returncode).removeprefix("killed by "))
    return Verdict(Cause.EXITED, describe_exit(returncode))
