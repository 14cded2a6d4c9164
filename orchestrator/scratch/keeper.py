"""The thread that keeps a study safe while it is at work on this node's disk.

Of the processes that use the file, one at a time is its keeper: it copies the file every minute, and tells
other nodes that this one is at work. Another one takes over when it ends, or dies.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO

from orchestrator.scratch.marker import BEAT_S
from orchestrator.scratch.shared_folder import lock, opened

log = logging.getLogger("nano_hpo")

EVERY_S = 60.0


class Keeper:
    """Calls ``beat`` every few seconds and ``copy`` every minute, while this process is the keeper."""

    def __init__(
        self,
        lock_file: Path,
        beat: Callable[[], None],
        copy: Callable[[], object],
        beat_s: float = BEAT_S,
        every_s: float = EVERY_S,
    ) -> None:
        self._lock_file = lock_file
        self._beat = beat
        self._copy = copy
        self._limits_s = beat_s, every_s
        self._is_over = Event()
        self._held: IO[str] | None = None
        self._look()
        self._thread = Thread(target=self._run, name="nano-hpo-keeper", daemon=True)
        self._thread.start()

    def _look(self) -> bool:
        """Become the keeper if nobody is, and tell others; whether this process is it."""
        if self._held is None:
            file = opened(self._lock_file)
            if not lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                file.close()
                return False
            self._held = file
        with suppress(OSError):  # said when it cannot be copied either
            self._beat()
        return True

    def _run(self) -> None:
        beat_s, every_s = self._limits_s
        copy_at_s = time.monotonic() + every_s
        while not self._is_over.wait(beat_s):
            try:
                if self._look() and time.monotonic() >= copy_at_s:
                    self._copy()
                    copy_at_s = time.monotonic() + every_s
            except Exception:  # a bug of ours: the file itself is whole
                log.exception("The keeper of the study has failed")

    def close(self) -> None:
        """Keep no longer."""
        self._is_over.set()
        self._thread.join()
        if self._held is not None:
            self._held.close()
            self._held = None
