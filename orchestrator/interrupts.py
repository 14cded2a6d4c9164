"""How an agent ends a worker in the middle of a trial: SIGTERM in; an exception that can be caught out."""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_STATUS = 128 + signal.SIGTERM


class WorkerEnded(BaseException):
    """This process is to end now: the trial is over its time, or the run stops.

    It is raised in the main thread, wherever that is. ``finally`` blocks run, and an objective may catch it
    to leave a checkpoint; seconds later the process is killed with all that it has started.
    """


_told = False


def was_told() -> bool:
    """Whether this process was told to end: an objective may have caught it; no other trial is to begin."""
    return _told


def obey() -> None:
    """Raise ``WorkerEnded`` on the first SIGTERM; later ones change nothing. Forked children die as usual."""
    signal.signal(signal.SIGTERM, _raise)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # Slurm warns all processes of a task; it is for the agent
    os.register_at_fork(after_in_child=_forget)


def _raise(_number: int, _frame: FrameType | None) -> None:
    global _told
    _told = True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise WorkerEnded


def _forget() -> None:
    if signal.getsignal(signal.SIGTERM) in (_raise, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
