"""`WorkerSpec` in, `WorkerProcess` out: a local process in its own process group, bound, logged, awaited.

A worker leads its own session, so a Ctrl-C in the terminal reaches the agent only. It dies with its agent
(Linux's parent-death signal, set by the shim), and all that it has started dies with it: by its process group
and, where something has left that, by the mark in its environment. Where memory is short the kernel is to
choose a worker, and not the agent or a database beside it (oom_score_adj, proc(5)).
"""

import contextlib
import errno
import math
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO

from affinity import Binding, bind_command

from .descent import MARK, descendants, kill_all, kill_marked
from .errors import LauncherError, SpawnError
from .lifeline import new_mark

__all__ = ["WorkerProcess", "WorkerSpec", "describe_exit", "start_worker"]

GUARD = Path(__file__).with_name("guard.py")
OOM_SCORE = 500  # more than our own: of 1000
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
POLL_S = 0.02  # how often an exit is looked for where the kernel has no pidfd (before Linux 5.3)

EXPLANATIONS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGBUS: "bus error",
    signal.SIGILL: "illegal instruction",
    signal.SIGFPE: "arithmetic error",
    signal.SIGABRT: "aborted by itself",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
}

FIXES = {
    errno.ENOENT: "Is the Python environment visible on this node?",
    errno.EACCES: "Make it executable, or move it off a file system mounted with noexec.",
    errno.EAGAIN: "The limit of processes is reached (ulimit -u is {processes}, or the cgroup's pids.max): "
    "raise it or lower n_parallels.",
    errno.ENOMEM: "Memory is short: lower n_parallels or ask for more memory.",
    errno.EMFILE: "The limit of open files is reached (ulimit -n is {files}): raise it or lower n_parallels.",
    errno.E2BIG: "Its arguments and environment are too long: pass large values in a file.",
}


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All that is needed to start one worker.

    argv: the program and its arguments; a path may hold spaces, no shell reads it.
    binding: what the bind shim sets before `argv` runs; `None` leaves masks and thread counts alone.
    env: the whole environment (see `worker_environment`), before the binding adds its variables.
    cwd: where it runs. log: the file to which its output is appended; its folder is made if missing.
    pass_fds: descriptors it inherits under the same numbers, apart from 0, 1 and 2.
    mark: what it and all that it starts have in their environment, as `NANO_HPO_WORKER`.
    """

    argv: tuple[str, ...]
    binding: Binding | None
    env: Mapping[str, str]
    cwd: Path
    log: Path
    pass_fds: tuple[int, ...] = ()
    mark: str = field(default_factory=new_mark)

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise LauncherError(f"argv={self.argv!r} names no program to start.")
        object.__setattr__(self, "env", MappingProxyType(dict(self.env)))


def start_worker(spec: WorkerSpec) -> "WorkerProcess":
    """Start the worker that `spec` describes and return without waiting for it.

    Input is /dev/null, output and errors are appended to `spec.log`. Linux sends the parent-death signal when
    the *thread* that started the worker ends, so call this in a thread that lives as long as the agent.
    Raises `SpawnError` when the process cannot be started. A program that is missing is told by the log and
    the exit status instead, as it is looked up behind the bind shim. A log for which the disk has no room is
    left out.
    """
    command = _command(spec)
    _check_cwd(spec.cwd)
    with _open_log(spec.log) as log:
        try:
            popen = subprocess.Popen(
                command,
                env={**spec.env, MARK: spec.mark},
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=spec.pass_fds,
            )
        except OSError as error:
            raise SpawnError(_explain_spawn_error(command[0], error)) from error
    _prefer_for_oom(popen.pid)
    return WorkerProcess(popen, _open_pidfd(popen.pid), spec.mark)


def _command(spec: WorkerSpec) -> list[str]:
    """`spec.argv` behind the program that binds it (or not) and ties its life to ours."""
    if spec.binding is None:
        return [sys.executable, "-P", str(GUARD), str(os.getpid()), *spec.argv]
    bound = bind_command(spec.binding, spec.argv)
    end_of_options = bound.index("--")
    lifeline = ["--parent-death-signal", str(int(signal.SIGKILL)), "--parent-pid", str(os.getpid())]
    return bound[:end_of_options] + lifeline + bound[end_of_options:]


def _check_cwd(cwd: Path) -> None:
    if not cwd.is_dir():
        raise SpawnError(f"The worker cannot start in {cwd}: no such folder. Create it or choose another.")


def _open_log(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab", buffering=0)
    except OSError as error:
        if error.errno in NO_ROOM and path.parent.is_dir():
            return open(os.devnull, "ab", buffering=0)  # noqa: PTH123 - the trials matter more
        fix = FIXES[errno.EMFILE] if error.errno == errno.EMFILE else "Choose another run directory."
        raise SpawnError(
            f"The worker's log {path} cannot be written: {error.strerror}. {_with_limits(fix)}"
        ) from error


def _explain_spawn_error(program: str, error: OSError) -> str:
    reason = f"{program} cannot be started: {error.strerror}."
    fix = FIXES.get(error.errno or 0, "Try the command by hand on this node.")
    return f"{reason} {_with_limits(fix)}"


def _with_limits(fix: str) -> str:
    return fix.format(processes=_limit(resource.RLIMIT_NPROC), files=_limit(resource.RLIMIT_NOFILE))


def _limit(kind: int) -> int | str:
    soft = resource.getrlimit(kind)[0]
    return "unlimited" if soft == resource.RLIM_INFINITY else soft


def _prefer_for_oom(pid: int) -> None:
    """Raise the worker's chance of being chosen by the kernel, above ours; all that it starts inherits it."""
    with contextlib.suppress(OSError, ValueError):  # no Linux, or it has gone
        mine = int(Path("/proc/self/oom_score_adj").read_text())
        Path(f"/proc/{pid}/oom_score_adj").write_text(f"{min(1000, mine + OOM_SCORE)}\n")


def _open_pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or a sandbox without it
        return None


@dataclass(slots=True)
class WorkerProcess:
    """One started worker; every one must be ended with `end()` or waited for, for one thread at a time.

    When the leader's exit is seen, what is left of its process group is killed *before* the leader is reaped:
    until then the kernel cannot give the group's number to somebody else. `usage` is known after that: its
    resources, with those of its children that it has waited for (getrusage(2)).
    """

    _popen: subprocess.Popen[bytes]
    pidfd: int | None  # readable once the worker has exited: for selectors; closed when the worker is reaped
    mark: str
    usage: resource.struct_rusage | None = None

    @property
    def pid(self) -> int:
        """The worker's process id, which is its process group's and session's too."""
        return self._popen.pid

    def poll(self) -> int | None:
        """The return code, `None` while it runs; negative is the number of the signal that killed it."""
        if self._popen.returncode is None and _has_exited(self.pid):
            self._reap()
        return self._popen.returncode

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the exit, at most `timeout_s` seconds (`None`: for ever); then like `poll`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while self.poll() is None:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                return None
            self._sleep_until_exit(left_s)
        return self._popen.returncode

    def terminate(self) -> None:
        """Ask the worker, and it alone, to end: it may end what it has started in good order."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the worker, its group and all that descends from it; does nothing once it has been reaped."""
        if self._popen.returncode is None:
            started = descendants(self.pid)
            _kill_group(self.pid)
            kill_all(started)

    def end(self, grace_s: float = 5.0) -> int:
        """End it: SIGTERM, `grace_s` seconds to obey, SIGKILL to the group; returns the worker's return code.

        What is left behind by the worker's exit is killed as well. Calling it again is harmless.
        """
        self.terminate()
        if self.wait(grace_s) is None:
            self.kill()
        returncode = self.wait()
        assert returncode is not None
        return returncode

    def _sleep_until_exit(self, left_s: float | None) -> None:
        if self.pidfd is None:
            time.sleep(POLL_S if left_s is None else min(POLL_S, left_s))
            return
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        poller.poll(None if left_s is None else math.ceil(left_s * 1000))

    def _reap(self) -> None:
        _kill_group(self.pid)
        try:
            _, status, self.usage = os.wait4(self.pid, 0)
            self._popen.returncode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:  # somebody else has reaped it
            self._popen.wait()
        kill_marked(self.mark)
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


def _has_exited(pid: int) -> bool:
    """Whether our child `pid` has exited, leaving it to be reaped (waitid(2), WNOWAIT)."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # SIGCHLD is ignored in this process, so the kernel reaped it
        return True


def _kill_group(pgid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or only a setuid program is left
        os.killpg(pgid, signal.SIGKILL)


def describe_exit(returncode: int) -> str:
    """How a process ended, in words: «exit status 3», «killed by SIGSEGV (segmentation fault)»."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        number = signal.Signals(-returncode)
    except ValueError:  # a real-time signal has no name in Python
        return f"killed by signal {-returncode}"
    explanation = EXPLANATIONS.get(number)
    return f"killed by {number.name} ({explanation})" if explanation else f"killed by {number.name}"
