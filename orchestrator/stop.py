"""Requests to stop: SIGINT, SIGTERM, SIGHUP, SIGUSR1 in; count, cause and a descriptor for a loop out."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from launchers import allocation_id
from orchestrator.causes import Cause

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WARNING = signal.SIGUSR1  # sbatch --signal=USR1@SECONDS: the allocation is about to end


class StopRequests:
    """A context in which the first signal asks for an orderly end and the second for one at once.

    With ``raises`` the second raises ``KeyboardInterrupt`` where it arrives: for a search in the caller's own
    process, where nobody else could end a trial. Outside the main thread, where Python delivers no signals,
    the context changes nothing. SIGUSR1, by which Slurm warns, is heard unless the program uses it itself.
    """

    def __init__(self, raises: bool = False) -> None:
        self._raises = raises
        self.wakeup_fd, self._write_fd = os.pipe()
        os.set_blocking(self.wakeup_fd, False)
        os.set_blocking(self._write_fd, False)
        self.count = 0
        self.reason = ""
        self.cause = Cause.INTERRUPTED
        self.is_warned = False  # first of all by Slurm: the time is over
        self.is_ordered = False  # by a signal that is no warning, at any time
        self._first_s = 0.0  # time.monotonic() of the first
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequests:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            heard = [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]  # nohup: not SIGHUP
            heard += [_WARNING] if signal.getsignal(_WARNING) is signal.SIG_DFL else []
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self.wakeup_fd)
        os.close(self._write_fd)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.count == 0:
            self._first_s = time.monotonic()
            self.cause = _cause(number)
            self.is_warned = number == _WARNING
        self.is_ordered |= number != _WARNING
        self.count += 1
        self.reason = f"stopped by {signal.Signals(number).name}"
        try:
            os.write(self._write_fd, b"!")
        except BlockingIOError:
            pass
        if self._raises and self.count > 1:
            raise KeyboardInterrupt

    def is_over(self, grace_s: float) -> bool:
        """Whether to wait for nothing any more: told twice, or so many seconds ago."""
        return self.count > 1 or (self.count > 0 and time.monotonic() > self._first_s + grace_s)

    def drain(self) -> None:
        """Empty the descriptor."""
        try:
            while os.read(self.wakeup_fd, 64):
                pass
        except BlockingIOError:
            pass


def _cause(number: int) -> Cause:
    """Slurm ends a job by SIGTERM, preempted or out of time; elsewhere it is a person, or a shutdown."""
    is_slurms = number == signal.SIGTERM and allocation_id(os.environ) is not None
    return Cause.PREEMPTED if is_slurms or number == _WARNING else Cause.INTERRUPTED
