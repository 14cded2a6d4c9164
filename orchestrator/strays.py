"""What a trial has started and left running: nothing of it outlives the trial.

DataLoader workers, shells and daemons are descendants of the worker process for as long as they run: it
adopts those that have lost their parent (prctl(2), PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from launchers import descendants, kill_all

_ADOPT = 36  # PR_SET_CHILD_SUBREAPER, <linux/prctl.h>
_OBEY_S = 1.0  # between SIGTERM and SIGKILL
_PATIENCE_S = 3.0  # for all of it: something may start others as fast, or belong to somebody else
_LOOK_S = 0.01
_TRACKERS = (  # of Python's and joblib's shared resources: they serve the process, not a trial
    ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
    ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ("joblib.externals.loky.backend.resource_tracker", "_resource_tracker", "_pid"),
    ("loky.backend.resource_tracker", "_resource_tracker", "_pid"),
)
_SERVANTS = (  # words in the command lines of what serves the process, and the next trial too
    b"loky",  # joblib's pool
    b"\0--singleton",  # Open MPI's daemon of a process that no launcher started: it would die with it
)
_POOLS = (  # of processes that the next trial takes up as well, while somebody holds them
    ("multiprocessing.pool", "Pool", "_pool"),
    ("concurrent.futures.process", "ProcessPoolExecutor", "_processes"),
)


class Strays:
    """Ends what trials have left running; what was there before the first trial stays.

    Pools of processes that are kept for the next trial (joblib's, ``multiprocessing``'s, those of
    ``concurrent.futures``) stay too, and so does the daemon of an MPI: they go with this process.
    """

    def __init__(self) -> None:
        _adopt_orphans()
        self._kept = frozenset(descendants(os.getpid())) if _has_children() else frozenset()
        self.are_left = False  # some could not be ended: this process should be, by its agent

    def end(self) -> int:
        """End them, first by SIGTERM, and say how many there were."""
        if not _has_children():
            return 0
        found, deadline = self._found(), time.monotonic() + _PATIENCE_S
        if found:
            kill_all(found, signal.SIGTERM)
            _wait_for(found, _OBEY_S)
        while (again := self._found()) and time.monotonic() < deadline:
            kill_all(again)
            _wait_for(again, _OBEY_S)
        self.are_left = bool(again)
        return len(found)

    def _found(self) -> list[int]:
        """Without zombies, which are laid to rest on the way."""
        kept = self._kept | set(_trackers())
        others = [pid for pid in descendants(os.getpid()) if pid not in kept and not _serves_us(pid)]
        running = [pid for pid in others if not _is_over(pid)]
        pooled = set(_in_pools()) if running else set()
        return [pid for pid in running if pid not in pooled]


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_ADOPT, ctypes.c_ulong(1), 0, 0, 0)


def _has_children() -> bool:
    """One system call, for the many trials that start nothing."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _trackers() -> Iterator[int]:
    for module, name, field in _TRACKERS:
        pid = getattr(getattr(sys.modules.get(module), name, None), field, None)
        if pid is not None:
            yield pid


def _in_pools() -> Iterator[int | None]:
    """The processes of pools that somebody holds."""
    kinds = [
        (getattr(sys.modules[module], name), field) for module, name, field in _POOLS if module in sys.modules
    ]
    for one in gc.get_objects() if kinds else ():
        for kind, field in kinds:
            if isinstance(one, kind):
                processes = getattr(one, field, None) or ()
                values = processes.values() if isinstance(processes, dict) else processes
                yield from [process.pid for process in list(values)]


def _serves_us(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return any(word in command for word in _SERVANTS)


def _is_over(pid: int) -> bool:
    """Whether a process has ended; a child of ours is reaped, by ``multiprocessing`` if it is one of its."""
    if pid in _of_multiprocessing():
        return False
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # not our own child, or no more
        return _state(pid) in ("", "Z")


def _of_multiprocessing() -> set[int | None]:
    """The children that it has started and that run; it reaps the others here, and would miss them else."""
    multiprocessing = sys.modules.get("multiprocessing")
    return {child.pid for child in multiprocessing.active_children()} if multiprocessing else set()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _wait_for(pids: Iterable[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(map(_is_over, pids)):
        time.sleep(_LOOK_S)
