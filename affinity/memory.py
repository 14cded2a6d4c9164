"""Memory that this process may use, and kills for want of it: a file system root in, MiB and counts out.

Sources: Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.events),
Documentation/admin-guide/cgroup-v1/memory.rst (memory.limit_in_bytes, memory.oom_control), proc(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affinity.cgroup import memory_groups
from affinity.files import read_int, read_text

_LIMITS = ("memory.max", "memory.limit_in_bytes")
_EVENTS = ("memory.events.local", "memory.events", "memory.oom_control")
_UNLIMITED = 1 << 60  # v1 says "no limit" by a number close to 2**63


@dataclass(frozen=True, slots=True)
class Memory:
    """So many MiB, and what says so."""

    mib: int
    source: str


def read_memory(root: Path = Path("/")) -> Memory | None:
    """The least of the machine's memory and the limits of this process's control group and its ancestors.

    None where nothing tells. What others use of it now is not considered.
    """
    limits = [*_machine(root), *_limits(root)]
    return min(limits, key=lambda limit: limit.mib, default=None)


def _machine(root: Path) -> Iterator[Memory]:
    for line in (read_text(str(root / "proc/meminfo")) or "").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal" and rest.split()[0].isdigit():
            yield Memory(int(rest.split()[0]) // 1024, "/proc/meminfo")


def _limits(root: Path) -> Iterator[Memory]:
    for folder, path in memory_groups(root):
        for name in _LIMITS:
            limit = read_int(f"{path}/{name}")
            if limit is not None and 0 < limit < _UNLIMITED:
                yield Memory(limit // 2**20, f"{folder}/{name}")


def read_oom_kills(root: Path = Path("/")) -> int | None:
    """How often the kernel has killed in this process's own control group; where that is not told, at all.

    None where nothing tells (before Linux 4.13).
    """
    for _, path in memory_groups(root):
        for name in _EVENTS:
            count = _counted(f"{path}/{name}")
            if count is not None:
                return count
    return _counted(str(root / "proc/vmstat"))


def _counted(path: str) -> int | None:
    for line in (read_text(path) or "").splitlines():
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdigit():
            return int(number)
    return None
