"""A warden beside an agent: marks of its workers in; nothing of theirs left, however the agent ends."""

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

from .descent import MARK
from .errors import SpawnError

__all__ = ["Warden", "new_mark"]

PROGRAM = Path(__file__).with_name("warden.py")
END_S = 30.0


def new_mark() -> str:
    """A mark for a worker and all that it starts; below our own where we were started by a worker."""
    mine, own = os.environ.get(MARK), secrets.token_hex(8)
    return f"{mine}/{own}" if mine else own


class Warden:
    """A small process that kills what workers have started once the agent has died without doing so.

    The kernel kills the workers with their agent (parent-death signal), but not what they have started.
    """

    def __init__(self) -> None:
        """Start it. Raises `SpawnError`."""
        command = [sys.executable, "-E", "-S", str(PROGRAM)]
        null = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=null, stderr=null, start_new_session=True, cwd="/"
            )
        except OSError as error:
            raise SpawnError(f"{sys.executable} cannot be started: {error.strerror}.") from error

    def watch(self, mark: str) -> None:
        """A worker with this mark is about to start."""
        self._say(f"+{mark}\n")

    def forget(self, mark: str) -> None:
        """It has gone with all that it had started."""
        self._say(f"-{mark}\n")

    def close(self) -> None:
        """It ends by itself at the end of its input."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
