"""Binding a process: a Binding comes in, a bound process or the command line of the shim goes out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from affinity.cpuset import format_list
from affinity.errors import BindError
from affinity.mempolicy import Policy, set_policy
from affinity.threads import OmpBind, thread_variables

if TYPE_CHECKING:
    from affinity.slots import Slot

_SHIM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")  # noqa: PTH100, PTH118, PTH120


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a process runs: PUs (at least one), memory nodes (may be none), threads (at least one).

    ``omp_bind`` binds OpenMP's threads to cores of the slot, ``dataloader_workers`` of the threads are left
    to processes that the program starts (``affinity.threads``).
    """

    pus: tuple[int, ...]
    memory_nodes: tuple[int, ...]
    threads: int
    memory_policy: Policy = "preferred"
    omp_bind: OmpBind | None = None
    dataloader_workers: int = 0

    def __post_init__(self) -> None:
        if not self.pus or min(self.pus) < 0:
            raise BindError(f"PUs {self.pus} cannot be bound to; name one or more, as in 0-3.")
        if self.threads < 1:
            raise BindError(f"{self.threads} threads cannot run; ask for 1 or more.")
        if self.memory_policy not in get_args(Policy):
            known = ", ".join(get_args(Policy))
            raise BindError(f"{self.memory_policy!r} is no memory policy; there are {known}.")
        if self.omp_bind not in (None, *get_args(OmpBind)):
            raise BindError(
                f"{self.omp_bind!r} is no way to bind OpenMP's threads; there are close and spread."
            )
        if self.dataloader_workers < 0:
            raise BindError(f"{self.dataloader_workers} DataLoader workers cannot be; give 0 or more.")

    @classmethod
    def of(
        cls,
        slot: Slot,
        memory_policy: Policy = "preferred",
        omp_bind: OmpBind | None = None,
        dataloader_workers: int = 0,
    ) -> Binding:
        """The binding of a slot's worker."""
        pus, nodes, threads = slot.pus, slot.memory_nodes, slot.threads
        return cls(pus, nodes, threads, memory_policy, omp_bind, dataloader_workers)


def bind_command(binding: Binding, command: Sequence[str], *, python: str = sys.executable) -> list[str]:
    """The argv that starts ``command`` bound: ``python -P .../affinity/__main__.py bind ... -- command``.

    The shim is named by its file, and -P keeps the current directory out of sys.path: no ``affinity.py`` of
    the user's, there or on PYTHONPATH, can take its place. The command's environment stays as it is, but
    for the thread variables.
    """
    argv = [python, "-P", _SHIM, "bind", "--pus", format_list(binding.pus)]
    if binding.memory_nodes:
        argv += ["--memory-nodes", format_list(binding.memory_nodes)]
    argv += ["--memory-policy", binding.memory_policy, "--threads", str(binding.threads)]
    if binding.omp_bind is not None:
        argv += ["--omp-bind", binding.omp_bind]
    if binding.dataloader_workers:
        argv += ["--dataloader-workers", str(binding.dataloader_workers)]
    return [*argv, "--", *command]


def bind_this_process(binding: Binding) -> tuple[str, ...]:
    """Binds this process (its main thread, and what that starts later); returns one warning a line.

    For effect on thread pools call it before importing numpy, torch or TensorFlow. Raises BindError when no
    PU of the binding may be used; what the kernel cuts silently (sched_setaffinity(2) outside the cpuset) and
    a refused memory policy are warnings.
    """
    warnings = [_set_mask(binding.pus), set_policy(binding.memory_policy, binding.memory_nodes)]
    return tuple(warning for warning in warnings if warning)


def exec_bound(binding: Binding, command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Binds, then becomes ``command`` with ``environ`` and the thread variables; warnings go to stderr.

    Raises BindError when it cannot bind or there is no such command.
    """
    if not command:
        raise BindError("There is no command to start; write it after '--'.")
    warnings = bind_this_process(binding)
    settings = thread_variables(
        binding.threads,
        environ,
        dataloader_workers=binding.dataloader_workers,
        omp_bind=binding.omp_bind,
        pus=binding.pus,
    )
    for warning in (*warnings, *settings.warnings):
        print(f"affinity: {warning}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    _restore_signals()
    try:
        os.execvpe(command[0], list(command), {**environ, **settings.set})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BindError(f"{command[0]!r} cannot be started: {reason}; check the path.") from None


def _set_mask(pus: tuple[int, ...]) -> str:
    """'' or what came out different."""
    try:
        real = _affinity(list(pus))
    except (OSError, ValueError) as error:
        raise BindError(
            f"PUs {format_list(pus)} cannot be bound to: {error}. This process may use {_allowed()}."
        ) from None
    if real is None:
        return "this system cannot bind processes; only thread counts are set."
    if real != set(pus):
        got = format_list(real)
        return f"asked for PUs {format_list(pus)}, the kernel gave {got}; the cpuset holds no others."
    return ""


def _affinity(pus: list[int]) -> set[int] | None:
    """Sets the mask and reads it back; None where the system has none (macOS)."""
    process = _psutil_process()
    if process is not None:
        process.cpu_affinity(pus)
        return set(process.cpu_affinity())
    if sys.platform != "linux":
        return None
    os.sched_setaffinity(0, pus)
    return os.sched_getaffinity(0)


def _psutil_process() -> Any | None:
    try:
        import psutil
    except ImportError:  # another python than ours, say a bare one of the user's: the system call is the same
        return None
    process = psutil.Process()
    return process if hasattr(process, "cpu_affinity") else None


def _allowed() -> str:
    return format_list(os.sched_getaffinity(0)) if sys.platform == "linux" else "unknown PUs"


def _restore_signals() -> None:
    """Python ignores these for itself, and exec would hand that on: ``yes | head`` would never end."""
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
