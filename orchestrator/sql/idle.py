"""Closing what nobody uses: signs of use in; one call to close after a while without any out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager


class IdleCloser:
    """Calls ``close`` when :meth:`used` was not called for ``idle_s`` seconds; after the next use, again.

    One daemon thread, which sleeps until the moment that the last use has set and ends when it has closed.
    ``turn`` is held while it looks a last time and closes, so that a user who holds it is never disturbed.
    """

    def __init__(
        self, idle_s: float, turn: AbstractContextManager[object], close: Callable[[], None]
    ) -> None:
        self._idle_s = idle_s
        self._turn = turn
        self._close = close
        self._used_s = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def used(self) -> None:
        """Something was used just now. The caller holds ``turn``."""
        self._used_s = time.monotonic()
        if not self._is_watched():
            self._stopped = threading.Event()
            arguments = (self._stopped,)
            self._thread = threading.Thread(
                target=self._watch, args=arguments, name="nano-hpo-idle", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Closed by its owner: nothing is left to do. The caller holds ``turn``."""
        if self._is_watched():
            self._stopped.set()
        self._thread = None

    def _is_watched(self) -> bool:
        """False in a forked child as well: its parent's thread, and what that held, is not to be touched."""
        return self._thread is not None and self._thread.is_alive()

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(max(0.0, self._used_s + self._idle_s - time.monotonic())):
            with self._turn:
                if stopped.is_set() or time.monotonic() < self._used_s + self._idle_s:
                    continue
                self._thread = None
                self._close()
                return
