"""Why a worker has died: what its agent knows of it in, cause and detail out."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

from affinity import read_oom_kills
from launchers import describe_exit
from orchestrator.causes import Cause, Verdict

_RECENT_S = 5.0  # workers that are killed for memory together are heard of together
STORAGE_FAILED = 75  # the exit status of a worker that the database left alone (EX_TEMPFAIL, sysexits.h)


@dataclass(slots=True)
class OomWatch:
    """Whether the kernel has killed for want of memory since the last look: in our control group, or at all.

    The kernel does not say whom; a worker that SIGKILL has ended meanwhile is the likely one.
    """

    _seen: int | None = None
    _unexplained: int = 0
    _risen_s: float = 0.0

    def look(self) -> bool:
        """Look, at the beginning and whenever a worker was killed; one kill explains one worker."""
        now, before_s = read_oom_kills(), time.monotonic() - _RECENT_S
        if self._risen_s < before_s:
            self._unexplained = 0
        if now is not None and self._seen is not None and now > self._seen:
            self._unexplained, self._risen_s = self._unexplained + now - self._seen, time.monotonic()
        self._seen = now
        is_explained = self._unexplained > 0
        self._unexplained -= is_explained
        return is_explained


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
