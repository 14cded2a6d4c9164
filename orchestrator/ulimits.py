"""The system's limits of processes and open files: slots in; room for their workers, or one line, out.

Soft limits are the shell's and may be raised to the hard ones; those are for an administrator
(getrlimit(2), limits.conf(5)).
"""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from socket import gethostname

from affinity import Slot
from orchestrator.errors import SpecError

FILES, FILES_A_WORKER = 24, 3  # an agent's own at its busiest; two pipes and the worker itself
_COMFORT = 8  # times that: relays, reports, and what an objective opens
_THREADS = 2  # an agent's own beside its main one
_MAY_EXCEED = 1 << 21 | 1 << 24  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE


def require_room(slots: Sequence[Slot], processes: Path = Path("/proc")) -> None:
    """Raise soft limits that are too low; refuse workers that the hard ones leave no room for."""
    _require_files(len(slots))
    _require_processes(slots, processes)


def _require_files(n_workers: int) -> None:
    least = FILES + FILES_A_WORKER * n_workers
    limit = _raised(resource.RLIMIT_NOFILE, _COMFORT * least)
    if limit is not None and limit < least:
        raise SpecError(
            f"{n_workers} workers need {least} open files of their agent; the limit on {gethostname()} "
            f"(ulimit -n) is {limit}. Raise it or lower n_parallels."
        )


def _require_processes(slots: Sequence[Slot], processes: Path) -> None:
    """The kernel counts threads, of all programs that the user runs on the machine."""
    user, needed = os.getuid(), _THREADS + sum(max(1, slot.threads) for slot in slots)
    in_use = 0 if _is_exempt(processes) else _tasks_of(user, processes)
    limit = _raised(resource.RLIMIT_NPROC, _COMFORT * needed + in_use)
    if limit is not None and in_use and limit < in_use + needed:
        raise SpecError(
            f"{len(slots)} workers need {needed} more processes and threads; the limit of user {user} on "
            f"{gethostname()} (ulimit -u) is {limit}, and {in_use} are in use. Raise it or lower n_parallels."
        )


def _raised(kind: int, wanted: int) -> int | None:
    """The limit after it was raised to the hard one where it is below ``wanted``; None: there is none."""
    soft, hard = resource.getrlimit(kind)
    if soft != resource.RLIM_INFINITY and soft < wanted and soft != hard:
        higher = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (higher, hard))
            soft = higher
    return None if soft == resource.RLIM_INFINITY else soft


def _is_exempt(processes: Path) -> bool:
    """Whether the kernel lets this process exceed the limit of processes."""
    with suppress(OSError, KeyError, ValueError):
        capabilities = _status(processes / "self")["CapEff"]
        return os.getuid() == 0 or bool(int(capabilities, 16) & _MAY_EXCEED)
    return True  # no Linux: nothing is known


def _tasks_of(user: int, processes: Path) -> int:
    """Processes and threads whose real user that is."""
    count = 0
    for folder in processes.glob("[0-9]*"):
        with suppress(OSError, KeyError, ValueError):  # it has ended, or is not for us to see
            status = _status(folder)
            count += int(status["Threads"]) if int(status["Uid"].split()[0]) == user else 0
    return count


def _status(folder: Path) -> dict[str, str]:
    lines = (folder / "status").read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
