"""Requests to stop: SIGINT, SIGTERM, SIGHUP in; a count and a descriptor for the agent's loop out."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequests:
    """A context in which the first signal asks for an orderly end and the second for one at once.

    With ``raises`` the second raises ``KeyboardInterrupt`` where it arrives: for a search in the caller's own
    process, where nobody else could end a trial. Outside the main thread, where Python delivers no signals,
    the context changes nothing.
    """

    def __init__(self, raises: bool = False) -> None:
        self._raises = raises
        self.wakeup_fd, self._write_fd = os.pipe()
        os.set_blocking(self.wakeup_fd, False)
        os.set_blocking(self._write_fd, False)
        self.count = 0
        self.reason = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequests:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            heard = (n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN)  # nohup: not SIGHUP
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.wakeup_fd)
        os.close(self._write_fd)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self.reason = f"stopped by {signal.Signals(number).name}"
        try:
            os.write(self._write_fd, b"!")
        except BlockingIOError:
            pass
        if self._raises and self.count > 1:
            raise KeyboardInterrupt

    def drain(self) -> None:
        """Empty the descriptor."""
        try:
            while os.read(self.wakeup_fd, 64):
                pass
        except BlockingIOError:
            pass
