"""The folder of a new run while it begins: one launch at a time begins there, or takes back what it made.

Between a plan («there is no run here») and its fulfilment (study, run and run.json are written) lies the time
that the objective takes to load. A lock on a file in the folder covers it; the kernel releases it when its
holder dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from typing import IO

from orchestrator.errors import RunDirError
from orchestrator.launching.launch import Launch
from orchestrator.paths import RunPaths

_PATIENCE_S = 600.0


class Beginning:
    """Holds the folder of a run from now until :meth:`done` or :meth:`cancel`."""

    def __init__(self, paths: RunPaths, note: Callable[[str], None]) -> None:
        """Make the folder and lock it, waiting for another launch that is beginning there.

        Raises ``RunDirError`` when the folder cannot be made, or the other does not come to an end.
        """
        self._paths = paths
        self._made = paths.create()
        self._lock = self._hold(note)
        self._made += paths.create()  # the one before us may have taken folders away

    def _hold(self, note: Callable[[str], None]) -> IO[str]:
        deadline = time.monotonic() + _PATIENCE_S
        has_said = False
        while True:
            file = self._paths.lock.open("a", encoding="utf-8")
            if _lock(file.fileno()) and self._is_the_file(file):
                return file
            file.close()
            if not has_said:
                note(f"Another launch is beginning in {self._paths.root}; waiting for it.")
                has_said = True
            if time.monotonic() > deadline:
                raise RunDirError(f"Another launch has been beginning in {self._paths.root} for too long.")
            time.sleep(0.2)
            self._made += self._paths.create()

    def _is_the_file(self, file: IO[str]) -> bool:
        """Whether what we locked still stands in the folder."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._paths.lock.stat())
        except FileNotFoundError:
            return False

    def done(self) -> None:
        """The run stands: others may see it."""
        self._paths.lock.unlink(missing_ok=True)
        self._lock.close()

    def cancel(self) -> None:
        """There will be no run: take away what was made for it, and the lock with it or after it."""
        self._paths.remove(self._made)
        self._paths.lock.unlink(missing_ok=True)
        self._lock.close()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks: as if nobody else were there
        return True
    return True


def settle(
    launch: Launch, replan: Callable[[], Launch], note: Callable[[str], None]
) -> tuple[Launch, Beginning | None]:
    """A plan that still holds, with the folder of its run held for it; None where a run is only continued."""
    while not launch.continues:
        beginning = Beginning(launch.paths, note)
        try:
            again = replan()
        except BaseException:
            beginning.cancel()
            raise
        if not again.continues and again.paths == launch.paths:
            return again, beginning
        beginning.cancel()
        launch = again
    if not launch.is_over:  # else it only tells what others have found, and leaves no folder
        launch.paths.create()
    return launch, None
