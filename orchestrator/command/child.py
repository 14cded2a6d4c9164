"""A command as a process: words and an environment in; what it writes, as it comes, and its end out."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal

from orchestrator.command.echo import Echo
from orchestrator.command.errors import CommandFailed

Source = Literal["stdout", "stderr"]
_LINGER_S = 1.0  # for what it has left behind to pass on what it said, as `tee` does
_POLL_S = 0.02  # how often its end is looked for where the kernel has no pidfd (before Linux 5.3)
_LONG_S = 3600.0
_CHUNK = 2**16
_FIXES = {
    errno.ENOEXEC: "begin it with a line like #!/bin/sh",
    errno.ENOENT: "is it, or the interpreter that its first line names, on this node?",
    errno.EACCES: "make it executable",
    errno.E2BIG: "its arguments and environment are too long",
}


class Child:
    """A command while it runs: a context that is left only when the command and its process group are gone.

    It leads a process group of its own in this session, its input is ``/dev/null``, its working directory is
    this process's. What it writes goes on to this process's own output too. Left by an exception (also one
    that a signal handler raises) the context sends SIGTERM to the group, waits ``grace_s`` seconds for the
    command and all that hold its output, and sends SIGKILL. What left the group by itself is not ended here.
    """

    def __init__(self, words: Sequence[str], env: Mapping[str, str], grace_s: float) -> None:
        self._words, self._env, self._grace_s = words, env, grace_s
        self._echoes: dict[Source, Echo] = {"stdout": Echo(sys.stdout), "stderr": Echo(sys.stderr)}
        self._open: set[Source] = set()
        self._knows_exit = False

    def __enter__(self) -> Child:
        """Start it; ``CommandFailed`` when that is not possible."""
        self._popen = _started(self._words, self._env)
        try:
            self._selector = selectors.DefaultSelector()
            self._listen()
        except BaseException:
            self._kill()
            raise
        return self

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self._selector.register(self._popen.stdout, selectors.EVENT_READ, "stdout")
        self._selector.register(self._popen.stderr, selectors.EVENT_READ, "stderr")
        self._open |= {"stdout", "stderr"}
        with contextlib.suppress(OSError):  # a kernel before 5.3, or a sandbox without pidfds
            self._selector.register(os.pidfd_open(self._popen.pid), selectors.EVENT_READ, "exit")
            self._knows_exit = True

    def has_exited(self) -> bool:
        """Whether the command itself is over; it stays unreaped, so that its group's number stays its own."""
        try:
            return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # SIGCHLD is ignored in this process, so the kernel reaped it
            return True

    def chunks(self) -> Iterator[tuple[Source, bytes]]:
        """What it writes, as it comes, until it has exited.

        Others that hold its output have a second longer to pass something on.
        """
        while not self.has_exited():
            yield from self._read(_LONG_S)
        yield from self._rest(_LINGER_S)

    def _rest(self, seconds: float) -> Iterator[tuple[Source, bytes]]:
        """What is written until it is over and its output closed, and at most for so long."""
        end_s = time.monotonic() + seconds
        while not (self.has_exited() and not self._open) and (left_s := end_s - time.monotonic()) > 0:
            yield from self._read(left_s)

    def _read(self, limit_s: float) -> Iterator[tuple[Source, bytes]]:
        """Wait until something happens, at most for so long; what was written."""
        for key, _ in self._selector.select(limit_s if self._knows_exit else min(limit_s, _POLL_S)):
            if key.data == "exit":
                self._selector.unregister(key.fd)
                os.close(key.fd)
                continue
            chunk = os.read(key.fd, _CHUNK)
            if not chunk:
                self._selector.unregister(key.fd)
                self._open.remove(key.data)
                continue
            self._echoes[key.data].write(chunk)
            yield key.data, chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is left of it."""
        try:
            if kind is not None and not self.has_exited():
                self._signal(signal.SIGTERM)
                for _ in self._rest(self._grace_s):
                    pass
        finally:
            self._kill()

    @property
    def returncode(self) -> int:
        """Its exit status, or the negative number of the signal that ended it; when the context was left."""
        return int(self._popen.returncode)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # gone, or only a setuid program is left
            os.killpg(self._popen.pid, number)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._popen.wait()
        for key in list((self._selector.get_map() or {}).values()):
            self._selector.unregister(key.fd)
            if key.data == "exit":
                os.close(key.fd)
        self._selector.close()
        for pipe in (self._popen.stdout, self._popen.stderr):
            assert pipe is not None
            pipe.close()
        for echo in self._echoes.values():
            echo.finish()


def _started(words: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            process_group=0,
        )
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        fix = f" ({_FIXES[number]})" if number in _FIXES else ""
        raise CommandFailed(f"{words[0]} cannot be started: {said}{fix}") from error
